#include "libs/eventsourcing/follower_file.h"

#include <gtest/gtest.h>

#include "libs/sqlite/testing/simulated_disk.h"

namespace buurtlog::eventsourcing {
namespace {

using sqlite::testing::AfterCrash;
using sqlite::testing::SimulatedDisk;

constexpr char kPath[] = "/disk/lists.db";

// Makes a file with rows, in which the `failing`th sync fails.
absl::Status MakeNew(SimulatedDisk& disk, int failing) {
  disk.OnSync([&disk, failing]() mutable {
    if (--failing == 0) disk.FailSyncs(1);
  });
  auto file = OpenNew(disk.files(), kPath);
  if (!file.ok()) return file.status();
  absl::Status status = file->Execute(
      "CREATE TABLE rows(x); WITH RECURSIVE i(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM i "
      "WHERE k < 1000) INSERT INTO rows SELECT randomblob(100) FROM i");
  if (status.ok()) status = FinishNew(*file);
  disk.OnSync(nullptr);
  return status;
}

bool HasAllRows(SimulatedDisk& disk) {
  auto file = OpenForReading(disk.files(), kPath);
  if (!file.ok()) return false;
  auto select = file->Prepare("SELECT count(x), sum(length(x)) FROM rows");
  return select.ok() && select->Step().value_or(false) && select->Int(0) == 1000 &&
         select->Int(1) == 100'000;
}

TEST(FollowerFileTest, ANewFileIsFinishedOnlyWhenItsSyncsSucceeded) {
  for (int failing = 1; failing <= 3; ++failing) {
    SimulatedDisk disk("disk", static_cast<uint64_t>(failing));
    const absl::Status made = MakeNew(disk, failing);
    if (failing == 1) {
      EXPECT_FALSE(made.ok());
    }
    disk.Crash();
    disk.Restart(AfterCrash::kInOrder);
    if (made.ok()) {
      EXPECT_TRUE(HasAllRows(disk)) << "failing sync " << failing;
    }
  }
}

}  // namespace
}  // namespace buurtlog::eventsourcing
