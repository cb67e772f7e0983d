#include "tools/region/region_maker.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "absl/strings/str_cat.h"
#include "buurtlog/clients/v1/clients_events.pb.h"
#include "libs/base/files.h"
#include "libs/base/ids.h"
#include "libs/base/scheduler.h"
#include "libs/eventlog/sqlite_event_log.h"
#include "libs/eventsourcing/event_codec.h"
#include "libs/identity/people.h"
#include "services/clients/domain/bsn.h"

namespace buurtlog::region {
namespace {

class RegionMakerTest : public ::testing::Test {
 protected:
  RegionMakerTest() {
    options_.data_folder = absl::StrCat(::testing::TempDir(), "/region-",
                                        NewUuid(absl::Now(), SystemRandom()).ToString());
    options_.teams = 1;
    options_.years = 0.03;
    options_.today = absl::CivilDay(2026, 6, 1);
  }
  ~RegionMakerTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(options_.data_folder, ignored);
  }

  // Calls `visit` with every event of the clients' log.
  template <typename Visit>
  void ForEachClientEvent(Visit visit) {
    const std::unique_ptr<Scheduler> scheduler = NewThreadPoolScheduler(1);
    eventlog::SqliteLogOptions log_options;
    log_options.folder = absl::StrCat(options_.data_folder, "/clients/log");
    auto log = eventlog::SqliteEventLog::OpenReader(log_options, SystemFiles(), *scheduler);
    ASSERT_TRUE(log.ok()) << log.status();
    for (uint32_t partition = 0; partition < (*log)->identity().partitions; ++partition) {
      eventlog::FoldState at = eventlog::InitialFoldState((*log)->identity(), partition);
      const absl::Status read = (*log)->Read(
          partition, at, {.entries_max = 100'000}, [&](const eventlog::EntryView& entry) {
            if (entry.header.kind != eventlog::EntryKind::kRecord) return absl::OkStatus();
            auto record = eventsourcing::EventCodec::ParseRecord(entry);
            if (!record.ok()) return record.status();
            for (const log::v1::StoredEvent& stored : record->events()) {
              clients::v1::ClientEvent event;
              EXPECT_TRUE(event.ParseFromString(stored.payload()));
              visit(event);
            }
            return absl::OkStatus();
          });
      ASSERT_TRUE(read.ok()) << read;
    }
  }

  RegionOptions options_;
};

TEST_F(RegionMakerTest, ARegionWhoseMakingWasInterruptedIsNotTakenForAWholeOne) {
  options_.progress = [&](const RegionProgress&) {
    EXPECT_TRUE(IsUnfinished(options_.data_folder));
  };
  ASSERT_TRUE(MakeRegion(options_).ok());
  EXPECT_FALSE(IsUnfinished(options_.data_folder));
  // As it stood before its end.
  std::filesystem::remove(identity::PeopleFile(options_.data_folder));
  ASSERT_TRUE(SystemFiles().WriteAtomically(options_.data_folder + "/region.unfinished", {}).ok());
  const absl::Status again = MakeRegion(options_).status();
  EXPECT_TRUE(absl::IsAlreadyExists(again));
  EXPECT_NE(again.ToString().find("was not finished"), std::string::npos) << again;
}

TEST_F(RegionMakerTest, EveryClientIsInventedWithABsnOfTheTestRange) {
  const auto made = MakeRegion(options_);
  ASSERT_TRUE(made.ok()) << made.status();
  std::set<std::string> bsns;
  uint64_t clients = 0;
  ForEachClientEvent([&](const clients::v1::ClientEvent& event) {
    if (!event.has_client_taken_in()) return;
    ++clients;
    bsns.insert(event.client_taken_in().bsn());
    EXPECT_TRUE(
        clients::ParseBsn(event.client_taken_in().bsn(), clients::BsnRange::kTestOnly).ok());
  });
  EXPECT_EQ(clients, made->clients);
  EXPECT_EQ(bsns.size(), clients);
}

TEST_F(RegionMakerTest, EveryNurseCanSignInAndBelongsToATeam) {
  const auto made = MakeRegion(options_);
  ASSERT_TRUE(made.ok()) << made.status();
  const auto people = identity::LoadPeople(options_.data_folder, SystemFiles());
  ASSERT_TRUE(people.ok()) << people.status();
  uint64_t nurses = 0;
  for (const identity::Person& person : *people) {
    if (person.role != access::v1::ROLE_NURSE) continue;
    ++nurses;
    EXPECT_FALSE(person.team_id.IsNil());
    EXPECT_FALSE(person.name.empty());
  }
  EXPECT_EQ(nurses, made->nurses);
}

TEST_F(RegionMakerTest, NoTwoPeopleHaveTheSameNameAsTheySignInByIt) {
  options_.teams = 24;
  options_.years = 0.003;
  ASSERT_TRUE(MakeRegion(options_).ok());
  const auto people = identity::LoadPeople(options_.data_folder, SystemFiles());
  ASSERT_TRUE(people.ok()) << people.status();
  std::set<std::string> names;
  for (const identity::Person& person : *people) {
    EXPECT_TRUE(names.insert(person.name).second) << person.person_id.ToString();
  }
}

TEST_F(RegionMakerTest, AFolderTakesOneRegion) {
  ASSERT_TRUE(MakeRegion(options_).ok());
  EXPECT_EQ(MakeRegion(options_).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(RegionMakerTest, ARegionThatWasNotFinishedIsNotTakenForOne) {
  ASSERT_TRUE(MakeRegion(options_).ok());
  std::filesystem::remove(identity::PeopleFile(options_.data_folder));
  EXPECT_EQ(MakeRegion(options_).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(RegionMakerTest, SizesOutOfRangeAreRefused) {
  options_.teams = 0;
  EXPECT_EQ(MakeRegion(options_).status().code(), absl::StatusCode::kInvalidArgument);
  options_.teams = kTeamsMax + 1;
  EXPECT_EQ(MakeRegion(options_).status().code(), absl::StatusCode::kInvalidArgument);
  options_.teams = 1;
  options_.years = 0;
  EXPECT_EQ(MakeRegion(options_).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(options_.data_folder));
}

}  // namespace
}  // namespace buurtlog::region
