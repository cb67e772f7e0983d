// OPS-01: a stranger clones, configures and builds with the documented commands, and nothing is
// fetched on the way.
#include <gtest/gtest.h>

#include <iostream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/base/files.h"
#include "tests/end_to_end/child_process.h"
#include "tests/end_to_end/running_system.h"

namespace buurtlog::end_to_end {
namespace {

TEST(CloneAndBuildTest, OPS_01_AFreshCloneBuildsWithTheDocumentedCommandsAndWithoutANetwork) {
  TemporaryFolder folder;
  const std::string clone = absl::StrCat(folder.path(), "/buurtlog");
  // Whatever tried to download would meet a proxy that is not there.
  const std::vector<std::string> no_network = {
      "http_proxy=http://127.0.0.1:9", "https_proxy=http://127.0.0.1:9",
      "HTTPS_PROXY=http://127.0.0.1:9", "ALL_PROXY=http://127.0.0.1:9"};
  auto run = [&](const std::vector<std::string>& words, absl::Duration most) {
    absl::StatusOr<ProgramResult> result = RunProgram(words, most, no_network);
    ASSERT_TRUE(result.ok()) << result.status();
    ASSERT_EQ(result->exit_code, 0) << result->out << result->err;
  };
  const absl::Time begin = absl::Now();
  run({"git", "clone", "--quiet", "--depth", "1", absl::StrCat("file://", BUURTLOG_SOURCE_DIR),
       clone},
      absl::Minutes(1));
  const auto readme = SystemFiles().Read(absl::StrCat(clone, "/README.md"));
  ASSERT_TRUE(readme.ok()) << readme.status();
  for (const char* command : {"./run", "./test"}) {
    EXPECT_TRUE(absl::StrContains(*readme, command));
    run({"bash", "-n", absl::StrCat(clone, "/", command)}, absl::Seconds(10));
  }
  // As ./run builds it: the release preset optimises more than ./test does, and so warns of more.
  const std::string build = absl::StrCat(clone, "/build/release");
  run({"cmake", "-S", clone, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release"},
      absl::Minutes(2));
  run({"cmake", "--build", build, "--target", "buurtlog"}, absl::Minutes(25));
  run({absl::StrCat(build, "/bin/buurtlog"), "--help"}, absl::Seconds(10));
  // With the compiler's cache as this machine has it; ./test prints the time of the whole.
  std::cout << "OPS-01: clone, configure and build: " << absl::ToInt64Seconds(absl::Now() - begin)
            << " s\n";
}

}  // namespace
}  // namespace buurtlog::end_to_end
