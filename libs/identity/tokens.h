// Bearer tokens. Today there is the built-in issuer of `--insecure-dev`: ES256-signed JWTs, for
// trying out on loopback only. Claims: iss "buurtlog-dev", sub (person id), role, team,
// organisation, iat, exp, jti.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/files.h"
#include "libs/base/random.h"
#include "libs/identity/caller.h"

namespace buurtlog::identity {

// Thread-safe.
class TokenVerifier {
 public:
  virtual ~TokenVerifier() = default;
  // UNAUTHENTICATED when the token is malformed, not signed by the issuer, or out of its time; the
  // message says which, and nothing of the token's content. Verified tokens are remembered
  // (bounded, until they expire), so a repeat costs a hash.
  virtual absl::StatusOr<Caller> Verify(std::string_view token) = 0;
};

// Issues and verifies. The key pair lives in <data>/keys/dev_issuer.pem, made at first use, so that
// services on one data folder accept each other's tokens.
class DevIssuer final : public TokenVerifier {
 public:
  static constexpr absl::Duration kTokenLifetime = absl::Hours(12);
  static constexpr size_t kRememberedTokensMax = 10'000;

  static absl::StatusOr<std::unique_ptr<DevIssuer>> Open(const std::string& data_folder,
                                                         Files& files, Clock& clock,
                                                         Random& random);
  ~DevIssuer() override;
  std::string Issue(const Caller& caller);
  absl::StatusOr<Caller> Verify(std::string_view token) override;

  class Impl;

 private:
  explicit DevIssuer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace buurtlog::identity
