#include "libs/identity/people.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"

namespace buurtlog::identity {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class PeopleTest : public ::testing::Test {
 protected:
  PeopleTest() { std::filesystem::create_directories(folder_); }
  ~PeopleTest() override { std::filesystem::remove_all(folder_); }

  const std::string folder_ = absl::StrCat(::testing::TempDir(), "/people-", getpid());
  ManualClock clock_{absl::FromUnixSeconds(1'790'000'000)};
  SeededRandom random_{1};
  IdGenerator ids_{clock_, random_};
};

TEST_F(PeopleTest, PeopleComeBackAsTheyWereSaved) {
  const std::vector<Person> people = {
      {ids_.New(), "Ánna \"van\" Dijk", access::v1::ROLE_NURSE, ids_.New(), "Team Zuid",
       ids_.New()},
      {ids_.New(), "operator", access::v1::ROLE_OPERATOR, Uuid(), "", Uuid()}};
  ASSERT_TRUE(SavePeople(folder_, people, SystemFiles()).ok());
  const absl::StatusOr<std::vector<Person>> loaded = LoadPeople(folder_, SystemFiles());
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(*loaded, people);
  const auto mode = std::filesystem::status(PeopleFile(folder_)).permissions();
  EXPECT_EQ(mode, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(PeopleTest, AFolderWithoutPeopleIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(LoadPeople(folder_, SystemFiles()).status()));
}

TEST_F(PeopleTest, ADamagedFileIsDataLossAndNobodyIsNamed) {
  for (const std::string_view json :
       {R"({"people":[{"name":"Anna"}]})", R"({"people":[{"person_id":"Anna"}]})", R"(["Anna"])",
        R"({"Anna)"}) {
    ASSERT_TRUE(SystemFiles().WriteAtomically(PeopleFile(folder_), json).ok());
    const absl::Status status = LoadPeople(folder_, SystemFiles()).status();
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_THAT(status.ToString(), Not(HasSubstr("Anna")));
  }
}

TEST_F(PeopleTest, SomebodyWithoutARoleIsNotSaved) {
  const Person nobody = {ids_.New(), "Anna", access::v1::ROLE_UNSPECIFIED, Uuid(), "", Uuid()};
  const absl::Status status = SavePeople(folder_, {nobody}, SystemFiles());
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_FALSE(SystemFiles().Exists(PeopleFile(folder_)));
}

}  // namespace
}  // namespace buurtlog::identity
