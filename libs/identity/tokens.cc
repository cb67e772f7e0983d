#include "libs/identity/tokens.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "libs/base/absl_view.h"
#include "libs/base/check.h"
#include "libs/base/status_macros.h"
#include "libs/identity/es256.h"

namespace buurtlog::identity {
namespace {

constexpr std::string_view kIssuer = "buurtlog-dev";
constexpr std::string_view kHeader = R"({"alg":"ES256","typ":"JWT"})";
constexpr size_t kTokenBytesMax = 4096;
// Clocks of processes on one machine agree; the rest is for a clock that was set back a little.
constexpr absl::Duration kIssuedAheadMax = absl::Minutes(1);
constexpr double kSecondsMax = 253402300799;  // the year 9999

using Digest = std::array<uint8_t, 32>;
using JsonFields = google::protobuf::Map<std::string, google::protobuf::Value>;

Digest DigestOf(std::string_view token) {
  Digest digest{};
  CHECK(EVP_Digest(token.data(), token.size(), digest.data(), nullptr, EVP_sha256(), nullptr) == 1);
  return digest;
}

absl::Status Unauthenticated(std::string_view why) {
  return absl::UnauthenticatedError(absl::StrCat("the token ", AbslView(why)));
}

absl::StatusOr<google::protobuf::Struct> ParseJson(std::string_view base64) {
  std::string json;
  google::protobuf::Struct parsed;
  if (!absl::WebSafeBase64Unescape(AbslView(base64), &json) ||
      !google::protobuf::util::JsonStringToMessage(json, &parsed).ok()) {
    return Unauthenticated("is malformed");
  }
  return parsed;
}

std::string TextOf(const JsonFields& fields, const std::string& name) {
  const auto found = fields.find(name);
  return found == fields.end() ? "" : found->second.string_value();
}

absl::StatusOr<absl::Time> TimeOf(const JsonFields& fields, const std::string& name) {
  const auto found = fields.find(name);
  if (found == fields.end()) return Unauthenticated("is malformed");
  const double seconds = found->second.number_value();
  // Written so that a NaN is refused too.
  if (!(seconds > 0 && seconds <= kSecondsMax)) return Unauthenticated("is malformed");
  return absl::FromUnixSeconds(static_cast<int64_t>(seconds));
}

absl::StatusOr<Uuid> IdOf(const JsonFields& fields, const std::string& name) {
  const std::string text = TextOf(fields, name);
  if (text.empty()) return Uuid();
  absl::StatusOr<Uuid> id = ParseUuid(text);
  if (!id.ok()) return Unauthenticated("is malformed");
  return id;
}

struct Verified {
  Caller caller;
  absl::Time issued;
  absl::Time expires;
};

absl::StatusOr<Verified> ReadClaims(std::string_view base64) {
  ABSL_ASSIGN_OR_RETURN(const google::protobuf::Struct claims, ParseJson(base64));
  const JsonFields& fields = claims.fields();
  if (TextOf(fields, "iss") != kIssuer) return Unauthenticated("is of another issuer");
  Verified verified;
  ABSL_ASSIGN_OR_RETURN(verified.issued, TimeOf(fields, "iat"));
  ABSL_ASSIGN_OR_RETURN(verified.expires, TimeOf(fields, "exp"));
  ABSL_ASSIGN_OR_RETURN(verified.caller.person_id, IdOf(fields, "sub"));
  ABSL_ASSIGN_OR_RETURN(verified.caller.team_id, IdOf(fields, "team"));
  ABSL_ASSIGN_OR_RETURN(verified.caller.organisation_id, IdOf(fields, "organisation"));
  ABSL_ASSIGN_OR_RETURN(verified.caller.on_behalf_of, IdOf(fields, "on_behalf_of"));
  if (!access::v1::Role_Parse(TextOf(fields, "role"), &verified.caller.role) ||
      verified.caller.role == access::v1::ROLE_UNSPECIFIED) {
    return Unauthenticated("names no role");
  }
  return verified;
}

absl::Status CheckTimes(const Verified& verified, absl::Time now) {
  if (now >= verified.expires) return Unauthenticated("has expired");
  if (verified.issued > now + kIssuedAheadMax) return Unauthenticated("is of the future");
  return absl::OkStatus();
}

// Two services may open one new data folder at the same time; both take the key of the first.
absl::Status MakeKeyUnlessThere(const std::string& path, Files& files) {
  if (files.Exists(path)) return absl::OkStatus();
  const absl::Status made = files.WriteOnce(path, PrivateKeyToPem(*NewP256Key()));
  return absl::IsAlreadyExists(made) ? absl::OkStatus() : made;
}

}  // namespace

class DevIssuer::Impl {
 public:
  Impl(KeyPair key, Clock& clock, Random& random)
      : key_(std::move(key)), clock_(clock), random_(random) {}

  std::string Issue(const Caller& caller) {
    CHECK(caller.role != access::v1::ROLE_UNSPECIFIED);
    const absl::Time now = clock_.Now();
    std::string claims = absl::StrCat(
        R"({"iss":")", AbslView(kIssuer), R"(","sub":")", caller.person_id.ToString(),
        R"(","role":")", access::v1::Role_Name(caller.role), R"(","iat":)",
        absl::ToUnixSeconds(now), R"(,"exp":)", absl::ToUnixSeconds(now + kTokenLifetime),
        R"(,"jti":")", NewUuid(now, random_).ToString(), "\"");
    AppendId(claims, "team", caller.team_id);
    AppendId(claims, "organisation", caller.organisation_id);
    AppendId(claims, "on_behalf_of", caller.on_behalf_of);
    claims += "}";
    const std::string signed_part = absl::StrCat(absl::WebSafeBase64Escape(AbslView(kHeader)), ".",
                                                 absl::WebSafeBase64Escape(claims));
    return absl::StrCat(signed_part, ".", absl::WebSafeBase64Escape(SignEs256(*key_, signed_part)));
  }

  absl::StatusOr<Caller> Verify(std::string_view token) {
    if (token.size() > kTokenBytesMax) return Unauthenticated("is malformed");
    const Digest digest = DigestOf(token);
    const absl::Time now = clock_.Now();
    {
      absl::ReaderMutexLock lock(&mutex_);
      const auto found = remembered_.find(digest);
      if (found != remembered_.end()) {
        ABSL_RETURN_IF_ERROR(CheckTimes(found->second, now));
        return found->second.caller;
      }
    }
    ABSL_ASSIGN_OR_RETURN(const Verified verified, VerifyAnew(token));
    ABSL_RETURN_IF_ERROR(CheckTimes(verified, now));
    Remember(digest, verified, now);
    return verified.caller;
  }

 private:
  static void AppendId(std::string& claims, std::string_view name, const Uuid& id) {
    if (!id.IsNil()) absl::StrAppend(&claims, ",\"", AbslView(name), "\":\"", id.ToString(), "\"");
  }

  absl::StatusOr<Verified> VerifyAnew(std::string_view token) const {
    const std::vector<std::string> parts = absl::StrSplit(AbslView(token), '.');
    if (parts.size() != 3) return Unauthenticated("is malformed");
    ABSL_ASSIGN_OR_RETURN(const google::protobuf::Struct header, ParseJson(parts[0]));
    // The algorithm is ours to choose, not the token's: `none` and every other name are refused.
    if (TextOf(header.fields(), "alg") != "ES256") {
      return Unauthenticated("is not signed with ES256");
    }
    std::string signature;
    if (!absl::WebSafeBase64Unescape(parts[2], &signature)) return Unauthenticated("is malformed");
    const std::string_view signed_part = token.substr(0, parts[0].size() + 1 + parts[1].size());
    if (!VerifyEs256(*key_, signed_part, signature)) {
      return Unauthenticated("is not signed by the issuer");
    }
    return ReadClaims(parts[1]);
  }

  void Remember(const Digest& digest, const Verified& verified, absl::Time now) {
    absl::MutexLock lock(&mutex_);
    if (remembered_.size() >= kRememberedTokensMax) {
      absl::erase_if(remembered_, [&](const auto& entry) { return entry.second.expires <= now; });
    }
    // A full memory of good tokens starts afresh, which costs each bearer one verification.
    if (remembered_.size() >= kRememberedTokensMax) remembered_.clear();
    remembered_[digest] = verified;
  }

  const KeyPair key_;
  Clock& clock_;
  Random& random_;
  absl::Mutex mutex_;
  absl::flat_hash_map<Digest, Verified> remembered_ ABSL_GUARDED_BY(mutex_);
};

DevIssuer::DevIssuer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DevIssuer::~DevIssuer() = default;

absl::StatusOr<std::unique_ptr<DevIssuer>> DevIssuer::Open(const std::string& data_folder,
                                                           Files& files, Clock& clock,
                                                           Random& random) {
  const std::string folder = absl::StrCat(data_folder, "/keys");
  const std::string path = absl::StrCat(folder, "/dev_issuer.pem");
  ABSL_RETURN_IF_ERROR(files.MakeFolder(folder));
  ABSL_RETURN_IF_ERROR(MakeKeyUnlessThere(path, files));
  ABSL_ASSIGN_OR_RETURN(const std::string pem, files.Read(path));
  absl::StatusOr<KeyPair> key = ParseP256Key(pem);
  if (!key.ok()) {
    return absl::Status(key.status().code(), absl::StrCat(path, ": ", key.status().message()));
  }
  return std::unique_ptr<DevIssuer>(
      new DevIssuer(std::make_unique<Impl>(*std::move(key), clock, random)));
}

std::string DevIssuer::Issue(const Caller& caller) { return impl_->Issue(caller); }

absl::StatusOr<Caller> DevIssuer::Verify(std::string_view token) { return impl_->Verify(token); }

}  // namespace buurtlog::identity
