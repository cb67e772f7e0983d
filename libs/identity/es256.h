// ES256 of RFC 7518 on OpenSSL: ECDSA with P-256 and SHA-256, signatures as the 64 bytes r || s.
// Private to libs/identity.
#pragma once

#include <openssl/evp.h>

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace buurtlog::identity {

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using KeyPair = std::unique_ptr<EVP_PKEY, FreeKey>;

KeyPair NewP256Key();
std::string PrivateKeyToPem(EVP_PKEY& key);
// DATA_LOSS unless the text is the private key of a P-256 pair in PEM.
absl::StatusOr<KeyPair> ParseP256Key(std::string_view pem);

std::string SignEs256(EVP_PKEY& key, std::string_view text);
bool VerifyEs256(EVP_PKEY& key, std::string_view text, std::string_view signature);

}  // namespace buurtlog::identity
