// A full disk under the real processes: what is refused, what goes on, and that it goes on by
// itself when there is room again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "libs/base/testing/patience.h"
#include "tests/end_to_end/running_system.h"
#include "tests/faults/care_load.h"
#include "tests/faults/log_audit.h"
#include "tests/faults/system_processes.h"

namespace buurtlog::faults {
namespace {

using end_to_end::Caller;
using end_to_end::Program;

class DiskFullTest : public ::testing::Test {
 protected:
  DiskFullTest() { std::filesystem::create_directory(system_.data_folder()); }

  void Start() {
    system_.Launch(0);
    ASSERT_EQ(system_.AwaitServing(0), absl::OkStatus());
    load_.Reconnect();
  }
  void StartAndBegin() {
    Start();
    ASSERT_EQ(load_.Begin(), absl::OkStatus());
    WorkUntil(load_.answered() + 30);
  }
  // The callers work until so many are answered, or half a minute has passed.
  void WorkUntil(size_t answered) {
    const absl::Time give_up = absl::Now() + absl::Seconds(30);
    load_.Resume();
    while (load_.answered() < answered && absl::Now() < give_up) {
      ASSERT_FALSE(system_.AwaitEnd(0, absl::Milliseconds(20))) << system_.TakeLogLines();
    }
  }
  // They work on a full disk for a while: until so many calls were told to try again. A log goes on
  // in the room that it has made for itself, which takes some time to fill.
  void WorkInVain(size_t calls) {
    const size_t before = load_.tried_again();
    const absl::Time give_up = absl::Now() + absl::Minutes(2);
    load_.Resume();
    while (load_.tried_again() < before + calls && absl::Now() < give_up) {
      ASSERT_FALSE(system_.AwaitEnd(0, absl::Milliseconds(20))) << system_.TakeLogLines();
    }
    EXPECT_GE(load_.tried_again(), before + calls);
  }
  absl::StatusOr<visits::v1::GetDaySheetResponse> Look() {
    visits::v1::GetDaySheetRequest request;
    request.set_nurse_id(load_.nurse_ids().front());
    request.set_date("2026-01-05");
    const command::Session session = load_.SessionOf(0, "visits");
    return Caller<visits::v1::VisitsService>(session)(&visits::v1::VisitsService::Stub::GetDaySheet,
                                                      request);
  }
  // Nothing was lost, doubled or answered otherwise, and what is shown is what the log says.
  void EndWell() {
    load_.Pause();
    load_.Repeat(load_.done(), absl::Seconds(30));
    EXPECT_EQ(load_.OneMore(absl::Seconds(30)), absl::OkStatus());
    EXPECT_THAT(load_.violations(), ::testing::IsEmpty());
    LogAudit audit(system_.data_folder());
    const std::vector<Done> done = load_.done();
    ASSERT_EQ(audit.ReadOn(), absl::OkStatus());
    EXPECT_THAT(audit.Compare(done), ::testing::IsEmpty());
    AwaitReady();
    const auto verified = end_to_end::RunProgram(
        {Program("buurtlog"), "--data", system_.data_folder(), "replay", "--verify"},
        absl::Minutes(1));
    ASSERT_TRUE(verified.ok()) << verified.status();
    EXPECT_EQ(verified->exit_code, 0) << verified->out << verified->err;
    system_.Signal(0, SIGTERM);
    EXPECT_EQ(system_.Wait(0), 0);
    const std::string lines = system_.TakeLogLines();
    for (const char* word : {"Truus", "Visser", "9999000"}) {
      EXPECT_FALSE(absl::StrContains(lines, word)) << lines;
    }
  }
  end_to_end::ProgramResult Status(const std::vector<std::string>& more) {
    std::vector<std::string> words = {Program("buurtlog"),         "--data",
                                      system_.data_folder(),       "--address",
                                      system_.AddressOf("visits"), "status"};
    words.insert(words.end(), more.begin(), more.end());
    const auto status = end_to_end::RunProgram(words, absl::Minutes(1));
    EXPECT_TRUE(status.ok()) << status.status();
    return status.ok() ? *status : end_to_end::ProgramResult();
  }
  void AwaitReady() {
    const end_to_end::ProgramResult status = Status({"--wait", "30"});
    EXPECT_EQ(status.exit_code, 0) << status.out << status.err;
  }

  const end_to_end::TemporaryFolder folder_;
  SystemProcesses system_{Shape::kServe, folder_.path() + "/data", folder_.path()};
  // Long reports, so that a log soon needs more room than it has made for itself.
  CareLoad load_{system_, 1, 8, 4'000};
};

TEST_F(DiskFullTest, CommandsAreRefusedReadsGoOnAndItGoesOnWithoutARestart) {
  StartAndBegin();
  // Filled in the middle of a write.
  system_.faults().Full("/data/", 20'000);
  WorkInVain(12);
  const size_t answered = load_.answered();
  EXPECT_TRUE(Look().ok());
  system_.faults().None();
  WorkUntil(answered + 30);
  EXPECT_GE(load_.answered(), answered + 30);
  EndWell();
}

TEST_F(DiskFullTest, WhatIsFoldedIsLeftBehindAndTheLogGoesOn) {
  StartAndBegin();
  system_.faults().Full("/read_models/", 0);
  system_.faults().Full("/state.db", 0);
  system_.faults().Full("/processes/", 0);
  const size_t answered = load_.answered();
  WorkUntil(answered + 40);
  // Commands that wait for what a read model has not seen are told so; the others are taken.
  EXPECT_GT(load_.answered(), answered);
  load_.Pause();
  const end_to_end::ProgramResult status = Status({});
  EXPECT_EQ(status.exit_code, 5);
  EXPECT_TRUE(absl::StrContains(status.out, "not ready: ")) << status.out;
  // The log line comes when the service next looks at itself.
  std::string lines = system_.TakeLogLines();
  const absl::Time give_up = absl::Now() + Patience(absl::Seconds(20));
  while (!absl::StrContains(lines, "not_ready") && absl::Now() < give_up) {
    system_.AwaitEnd(0, absl::Milliseconds(50));
    lines += system_.TakeLogLines();
  }
  EXPECT_TRUE(absl::StrContains(lines, "not_ready")) << lines;
  EXPECT_TRUE(absl::StrContains(lines, R"("reason":"RESOURCE_EXHAUSTED: )")) << lines;
  system_.faults().None();
  EndWell();
}

TEST_F(DiskFullTest, AHeadFileThatCannotBeWrittenTakesNothingDown) {
  StartAndBegin();
  system_.faults().Full("/log/heads", 0);
  WorkUntil(load_.answered() + 40);
  system_.faults().None();
  WorkUntil(load_.answered() + 10);
  EndWell();
}

TEST_F(DiskFullTest, ADiskThatIsFullAtTheStartIsSaidAndTheNextStartIsWhole) {
  StartAndBegin();
  load_.Pause();
  system_.Signal(0, SIGKILL);
  system_.Wait(0);
  system_.faults().Full("/data/", 4'000);
  system_.Launch(0);
  // It may come up and wait for room, or say what is wrong and end.
  const absl::Status up = system_.AwaitServing(0, absl::Seconds(10));
  if (absl::IsOutOfRange(up)) {
    const int exit_code = system_.Wait(0);
    EXPECT_TRUE(exit_code == 5 || exit_code == 1) << exit_code;
    system_.faults().None();
    Start();
  } else {
    system_.faults().None();
    load_.Reconnect();
    ASSERT_EQ(system_.AwaitServing(0), absl::OkStatus());
  }
  WorkUntil(load_.answered() + 10);
  EndWell();
}

}  // namespace
}  // namespace buurtlog::faults
