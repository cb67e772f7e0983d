#include "libs/identity/es256.h"

#include <openssl/bio.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <climits>

#include "libs/base/check.h"

namespace buurtlog::identity {
namespace {

constexpr int kCoordinateBytes = 32;
constexpr size_t kSignatureBytes = 2 * kCoordinateBytes;
constexpr int kDerBytesMax = 80;

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using Bio = std::unique_ptr<BIO, FreeBio>;
struct FreeDigestContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using DigestContext = std::unique_ptr<EVP_MD_CTX, FreeDigestContext>;
struct FreeKeyContext {
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
};
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, FreeKeyContext>;
struct FreeSignature {
  void operator()(ECDSA_SIG* signature) const { ECDSA_SIG_free(signature); }
};
using Signature = std::unique_ptr<ECDSA_SIG, FreeSignature>;

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

// An encrypted key would make OpenSSL ask at the terminal; no password ends that.
int NoPassword(char*, int, int, void*) { return -1; }

bool IsP256(EVP_PKEY& key) {
  char group[32] = {};
  size_t length = 0;
  return EVP_PKEY_get_group_name(&key, group, sizeof(group), &length) == 1 &&
         std::string_view(group, length) == "prime256v1";
}

// With a half that is not of the other, signing fails, or nothing that was signed verifies.
bool IsPair(EVP_PKEY& key) {
  const KeyContext context(EVP_PKEY_CTX_new_from_pkey(nullptr, &key, nullptr));
  const bool pair = context != nullptr && EVP_PKEY_check(context.get()) == 1;
  ERR_clear_error();
  return pair;
}

}  // namespace

KeyPair NewP256Key() {
  KeyPair key(EVP_EC_gen("P-256"));
  CHECK(key != nullptr);
  return key;
}

std::string PrivateKeyToPem(EVP_PKEY& key) {
  const Bio bio(BIO_new(BIO_s_mem()));
  CHECK(bio != nullptr);
  CHECK(PEM_write_bio_PKCS8PrivateKey(bio.get(), &key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  char* text = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &text);
  CHECK(length > 0);
  return std::string(text, static_cast<size_t>(length));
}

absl::StatusOr<KeyPair> ParseP256Key(std::string_view pem) {
  const absl::Status damaged = absl::DataLossError("not a private P-256 key in PEM");
  if (pem.empty() || pem.size() > INT_MAX) return damaged;
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  CHECK(bio != nullptr);
  KeyPair key(PEM_read_bio_PrivateKey(bio.get(), nullptr, &NoPassword, nullptr));
  ERR_clear_error();
  if (key == nullptr || !IsP256(*key) || !IsPair(*key)) return damaged;
  return key;
}

std::string SignEs256(EVP_PKEY& key, std::string_view text) {
  const DigestContext context(EVP_MD_CTX_new());
  CHECK(context != nullptr);
  CHECK(EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, &key) == 1);
  unsigned char der[kDerBytesMax];
  size_t der_length = sizeof(der);
  CHECK(EVP_DigestSign(context.get(), der, &der_length, Bytes(text), text.size()) == 1);
  const unsigned char* at = der;
  const Signature signature(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der_length)));
  CHECK(signature != nullptr);
  unsigned char raw[kSignatureBytes];
  CHECK(BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), raw, kCoordinateBytes) == kCoordinateBytes);
  CHECK(BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), raw + kCoordinateBytes, kCoordinateBytes) ==
        kCoordinateBytes);
  return std::string(reinterpret_cast<const char*>(raw), sizeof(raw));
}

bool VerifyEs256(EVP_PKEY& key, std::string_view text, std::string_view signature) {
  if (signature.size() != kSignatureBytes) return false;
  const Signature parsed(ECDSA_SIG_new());
  BIGNUM* const r = BN_bin2bn(Bytes(signature), kCoordinateBytes, nullptr);
  BIGNUM* const s = BN_bin2bn(Bytes(signature) + kCoordinateBytes, kCoordinateBytes, nullptr);
  CHECK(parsed != nullptr && r != nullptr && s != nullptr);
  CHECK(ECDSA_SIG_set0(parsed.get(), r, s) == 1);  // owns both from here
  unsigned char der[kDerBytesMax];
  unsigned char* at = der;
  const int der_length = i2d_ECDSA_SIG(parsed.get(), &at);
  CHECK(der_length > 0 && der_length <= kDerBytesMax);
  const DigestContext context(EVP_MD_CTX_new());
  CHECK(context != nullptr);
  CHECK(EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, &key) == 1);
  const int result = EVP_DigestVerify(context.get(), der, static_cast<size_t>(der_length),
                                      Bytes(text), text.size());
  ERR_clear_error();
  return result == 1;
}

}  // namespace buurtlog::identity
