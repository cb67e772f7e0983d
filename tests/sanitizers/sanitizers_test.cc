// That the sanitizers of this build see what they are there for, and that a report of any process
// fails the test that ran it. Only in builds with sanitizers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/end_to_end/child_process.h"

namespace buurtlog::tests {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr int kReported = 99;

std::string Bug(const std::string& name) {
  return absl::StrCat(BUURTLOG_BIN_DIR, "/seeded_bugs ", name);
}

end_to_end::ProgramResult Watched(const std::string& script) {
  absl::StatusOr<end_to_end::ProgramResult> result = end_to_end::RunProgram(
      {absl::StrCat(BUURTLOG_SOURCE_DIR, "/tests/sanitizers/watch"),
       absl::StrCat(::testing::TempDir(), "/seeded-", getpid()), "bash", "-c", script},
      absl::Seconds(60));
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *result : end_to_end::ProgramResult();
}

// What this build's sanitizers say of the bugs they are for.
std::vector<std::pair<std::string, std::string>> BugsOfThisBuild() {
  if (absl::StrContains(BUURTLOG_SANITIZE, "thread")) {
    return {{"race", "ThreadSanitizer: data race"},
            {"race_beside_a_lock", "ThreadSanitizer: data race"},
            {"lock_order", "ThreadSanitizer: lock-order-inversion"}};
  }
  return {{"use_after_free", "AddressSanitizer: heap-use-after-free"},
          {"use_after_return", "AddressSanitizer: stack-use-after-return"},
          {"read_past_the_end", "AddressSanitizer: heap-buffer-overflow"},
          {"leak", "LeakSanitizer: detected memory leaks"},
          {"overflow", "runtime error: signed integer overflow"}};
}

TEST(SanitizersTest, EachBugThatIsThereOnPurposeIsSeen) {
  for (const auto& [bug, report] : BugsOfThisBuild()) {
    const end_to_end::ProgramResult result = Watched(Bug(bug));
    EXPECT_EQ(result.exit_code, kReported) << bug;
    EXPECT_THAT(result.err, HasSubstr(report)) << bug;
    EXPECT_THAT(result.err, HasSubstr("seeded_bugs.cc")) << bug << ": the place is not named";
  }
}

TEST(SanitizersTest, TheSameThingsDoneRightGiveNoReport) {
  const end_to_end::ProgramResult result = Watched(Bug("none"));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "3\n");
  EXPECT_THAT(result.err, Not(HasSubstr("Sanitizer")));
}

TEST(SanitizersTest, AReportCountsThoughNobodyLookedAtTheProcessThatHadIt) {
  const std::string bug = Bug(BugsOfThisBuild().front().first);
  EXPECT_EQ(Watched(absl::StrCat(bug, " >/dev/null 2>&1; true")).exit_code, kReported);
  EXPECT_EQ(Watched(absl::StrCat(bug, " 2>/dev/null & wait")).exit_code, kReported);
}

TEST(SanitizersTest, WithoutAReportTheExitCodeIsTheProgramsOwn) {
  EXPECT_EQ(Watched("exit 7").exit_code, 7);
  EXPECT_EQ(Watched("kill -9 $$").exit_code, 128 + 9);
}

}  // namespace
}  // namespace buurtlog::tests
