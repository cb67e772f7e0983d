#include "libs/identity/tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace buurtlog::identity {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string NewFolder() {
  static std::atomic<int> number = 0;
  return absl::StrCat(::testing::TempDir(), "/tokens-", getpid(), "-", number++);
}

class TokensTest : public ::testing::Test {
 protected:
  TokensTest() { std::filesystem::create_directories(folder_); }
  ~TokensTest() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<DevIssuer> Open(const std::string& folder) {
    absl::StatusOr<std::unique_ptr<DevIssuer>> issuer =
        DevIssuer::Open(folder, SystemFiles(), clock_, random_);
    EXPECT_TRUE(issuer.ok()) << issuer.status();
    return *std::move(issuer);
  }

  Caller Nurse() {
    Caller caller;
    caller.person_id = ids_.New();
    caller.role = access::v1::ROLE_NURSE;
    caller.team_id = ids_.New();
    caller.organisation_id = ids_.New();
    return caller;
  }

  const std::string folder_ = NewFolder();
  ManualClock clock_{absl::FromUnixSeconds(1'790'000'000)};
  SeededRandom random_{1};
  IdGenerator ids_{clock_, random_};
};

void ExpectRefused(DevIssuer& issuer, std::string_view token, std::string_view why) {
  const absl::StatusOr<Caller> caller = issuer.Verify(token);
  EXPECT_TRUE(absl::IsUnauthenticated(caller.status())) << caller.status();
  EXPECT_THAT(std::string(caller.status().message()), HasSubstr(std::string(why)));
}

// The token with `from` replaced by `to` in its claims; the signature stays.
std::string Altered(const std::string& token, const std::string& from, const std::string& to) {
  std::vector<std::string> parts = absl::StrSplit(token, '.');
  std::string claims;
  EXPECT_TRUE(absl::WebSafeBase64Unescape(parts[1], &claims));
  const size_t at = claims.find(from);
  EXPECT_NE(at, std::string::npos);
  claims.replace(at, from.size(), to);
  return absl::StrCat(parts[0], ".", absl::WebSafeBase64Escape(claims), ".", parts[2]);
}

TEST_F(TokensTest, ATokenGivesItsCallerBack) {
  const auto issuer = Open(folder_);
  Caller caller = Nurse();
  caller.on_behalf_of = ids_.New();
  const std::string token = issuer->Issue(caller);
  for (int i = 0; i < 2; ++i) {  // the second time from memory
    const absl::StatusOr<Caller> verified = issuer->Verify(token);
    ASSERT_TRUE(verified.ok()) << verified.status();
    EXPECT_EQ(*verified, caller);
  }
}

TEST_F(TokensTest, EveryRoleIsKept) {
  const auto issuer = Open(folder_);
  for (int role = access::v1::Role_MIN + 1; role <= access::v1::Role_MAX; ++role) {
    Caller caller;
    caller.role = static_cast<access::v1::Role>(role);
    const absl::StatusOr<Caller> verified = issuer->Verify(issuer->Issue(caller));
    ASSERT_TRUE(verified.ok()) << verified.status();
    EXPECT_EQ(*verified, caller);
  }
}

TEST_F(TokensTest, ServicesOnOneDataFolderAcceptEachOthersTokens) {
  const auto one = Open(folder_);
  const auto other = Open(folder_);
  EXPECT_TRUE(other->Verify(one->Issue(Nurse())).ok());
  EXPECT_TRUE(one->Verify(other->Issue(Nurse())).ok());
}

TEST_F(TokensTest, ServicesThatStartTogetherMakeOneKey) {
  std::vector<std::unique_ptr<DevIssuer>> issuers(4);
  std::vector<std::thread> threads;
  for (auto& issuer : issuers) threads.emplace_back([&] { issuer = Open(folder_); });
  for (std::thread& thread : threads) thread.join();
  const std::string token = issuers[0]->Issue(Nurse());
  for (auto& issuer : issuers) EXPECT_TRUE(issuer->Verify(token).ok());
}

TEST_F(TokensTest, TheKeyIsForItsOwnerOnly) {
  Open(folder_);
  const auto mode = std::filesystem::status(folder_ + "/keys/dev_issuer.pem").permissions();
  EXPECT_EQ(mode, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(TokensTest, ADamagedKeyFileIsDataLoss) {
  ASSERT_TRUE(SystemFiles().MakeFolder(folder_ + "/keys").ok());
  ASSERT_TRUE(SystemFiles().WriteAtomically(folder_ + "/keys/dev_issuer.pem", "no key").ok());
  const auto issuer = DevIssuer::Open(folder_, SystemFiles(), clock_, random_);
  EXPECT_TRUE(absl::IsDataLoss(issuer.status())) << issuer.status();
}

TEST_F(TokensTest, AFlippedBitInTheKeyFileIsDataLossOrChangesNothing) {
  const std::string token = Open(folder_)->Issue(Nurse());
  const std::string path = folder_ + "/keys/dev_issuer.pem";
  const std::string pem = *SystemFiles().Read(path);
  for (size_t at = 0; at < pem.size(); ++at) {
    std::string damaged = pem;
    damaged[at] ^= 1;
    ASSERT_TRUE(SystemFiles().WriteAtomically(path, damaged).ok());
    const auto issuer = DevIssuer::Open(folder_, SystemFiles(), clock_, random_);
    if (!issuer.ok()) {
      EXPECT_TRUE(absl::IsDataLoss(issuer.status())) << issuer.status();
    } else {
      EXPECT_TRUE((*issuer)->Verify(token).ok()) << "byte " << at;
    }
  }
}

TEST_F(TokensTest, AnAlteredTokenIsRefused) {
  const auto issuer = Open(folder_);
  const std::string token = issuer->Issue(Nurse());
  ASSERT_TRUE(issuer->Verify(token).ok());
  ExpectRefused(*issuer, Altered(token, "ROLE_NURSE", "ROLE_COACH"), "not signed by the issuer");
  ExpectRefused(*issuer, Altered(token, "\"exp\":1", "\"exp\":2"), "not signed by the issuer");
  // Each character of it matters.
  for (size_t at = 0; at < token.size(); at += 7) {
    std::string altered = token;
    altered[at] = altered[at] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(issuer->Verify(altered).ok()) << at;
  }
}

TEST_F(TokensTest, ATokenOfAnotherIssuersKeyIsRefused) {
  const std::string elsewhere = NewFolder();
  std::filesystem::create_directories(elsewhere);
  const std::string token = Open(elsewhere)->Issue(Nurse());
  std::filesystem::remove_all(elsewhere);
  ExpectRefused(*Open(folder_), token, "not signed by the issuer");
}

TEST_F(TokensTest, ATokenWithoutSignatureIsRefused) {
  const auto issuer = Open(folder_);
  const std::vector<std::string> parts = absl::StrSplit(issuer->Issue(Nurse()), '.');
  for (const std::string algorithm : {"none", "None", "HS256", "RS256", ""}) {
    const std::string header =
        absl::WebSafeBase64Escape(absl::StrCat(R"({"alg":")", algorithm, "\"}"));
    ExpectRefused(*issuer, absl::StrCat(header, ".", parts[1], "."), "not signed with ES256");
    ExpectRefused(*issuer, absl::StrCat(header, ".", parts[1], ".", parts[2]),
                  "not signed with ES256");
  }
  ExpectRefused(*issuer, absl::StrCat(parts[0], ".", parts[1], "."), "not signed by the issuer");
}

TEST_F(TokensTest, AnExpiredTokenIsRefusedEvenWhenRemembered) {
  const auto issuer = Open(folder_);
  const std::string remembered = issuer->Issue(Nurse());
  const std::string unseen = issuer->Issue(Nurse());
  clock_.Advance(DevIssuer::kTokenLifetime - absl::Seconds(1));
  EXPECT_TRUE(issuer->Verify(remembered).ok());
  clock_.Advance(absl::Seconds(1));
  ExpectRefused(*issuer, remembered, "has expired");
  ExpectRefused(*issuer, unseen, "has expired");
}

TEST_F(TokensTest, ATokenOfTheFutureIsRefused) {
  const auto issuer = Open(folder_);
  clock_.Advance(absl::Hours(1));
  const std::string token = issuer->Issue(Nurse());
  clock_.Advance(-absl::Hours(1));
  ExpectRefused(*issuer, token, "of the future");
}

TEST_F(TokensTest, MalformedTokensAreRefusedAndNotRepeated) {
  const auto issuer = Open(folder_);
  for (const std::string& token :
       {std::string(), std::string("secret"), std::string("secret.secret.secret"),
        std::string("..."), std::string(".."), std::string(5000, 'x'),
        std::string("\0\1\2.a.b", 7)}) {
    const absl::StatusOr<Caller> caller = issuer->Verify(token);
    EXPECT_TRUE(absl::IsUnauthenticated(caller.status())) << caller.status();
    EXPECT_THAT(std::string(caller.status().message()), Not(HasSubstr("secret")));
  }
}

TEST_F(TokensTest, AnActorHoldsWhatTheCallerIs) {
  const Caller caller = Nurse();
  const log::v1::Actor actor = ToActor(caller, "grpc");
  EXPECT_EQ(actor.person_id(), caller.person_id.ToBytes());
  EXPECT_EQ(actor.role(), access::v1::ROLE_NURSE);
  EXPECT_EQ(actor.team_id(), caller.team_id.ToBytes());
  EXPECT_EQ(actor.organisation_id(), caller.organisation_id.ToBytes());
  EXPECT_EQ(actor.on_behalf_of(), "");
  EXPECT_EQ(actor.access_point(), "grpc");
}

}  // namespace
}  // namespace buurtlog::identity
