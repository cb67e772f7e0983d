// The command `buurtlog` as scripts and newcomers meet it: help, completion, exit codes, JSON.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/files.h"
#include "tests/end_to_end/team_at_work.h"

namespace buurtlog::end_to_end {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ProgramResult Buurtlog(const std::vector<std::string>& words) {
  std::vector<std::string> all = {Program("buurtlog")};
  all.insert(all.end(), words.begin(), words.end());
  return Expect(RunProgram(all, absl::Seconds(60)));
}

TEST(CommandTest, HelpNamesEveryCommandAndTheExitCodes) {
  const ProgramResult help = Buurtlog({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* word : {"serve", "login", "region", "play", "day", "timeline", "team", "replay",
                           "log", "parked", "status", "completion", "Exit codes"}) {
    EXPECT_THAT(help.out, HasSubstr(word));
  }
  for (const char* command : {"serve", "region", "day", "replay", "log"}) {
    EXPECT_EQ(Buurtlog({command, "--help"}).exit_code, 0) << command;
  }
}

TEST(CommandTest, AWrongNumberIsToldWithItsOptionAndWhatItTakes) {
  ProgramResult wrong = Buurtlog({"status", "--wait", "abc"});
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.err, HasSubstr("--wait: 'abc' is not a number from 0 to 86400;"));
  wrong = Buurtlog({"log", "cat", "visits", "-1"});
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.err, HasSubstr("PARTITION: '-1' is not a whole number from 0 to "));
}

TEST(CommandTest, BashCompletesCommandsAndOptions) {
  TemporaryFolder folder;
  const std::string script = absl::StrCat(folder.path(), "/completion");
  ASSERT_TRUE(SystemFiles().WriteAtomically(script, Buurtlog({"completion", "bash"}).out).ok());
  auto complete = [&](const std::string& words, int at) {
    const std::string run =
        absl::StrCat("source ", script, "; COMP_WORDS=(", words, "); COMP_CWORD=", at,
                     "; _buurtlog; printf '%s\\n' \"${COMPREPLY[@]}\"");
    return Expect(RunProgram({"bash", "--norc", "-c", run}, absl::Seconds(20))).out;
  };
  EXPECT_EQ(complete("buurtlog rep", 1), "replay\n");
  EXPECT_THAT(complete("buurtlog log ''", 2), HasSubstr("tail\n"));
  EXPECT_THAT(complete("buurtlog --data folder log ''", 4), HasSubstr("tail\n"));
  EXPECT_THAT(complete("buurtlog day --con", 2), HasSubstr("--confirm\n"));
}

TEST(CommandTest, ScriptsCanTrustTheExitCodes) {
  TemporaryFolder folder;
  const std::string session = absl::StrCat(folder.path(), "/session.json");
  const std::string nobody_there = "127.0.0.1:1";
  EXPECT_EQ(Buurtlog({}).exit_code, 2);
  EXPECT_EQ(Buurtlog({"no-such-command"}).exit_code, 2);
  EXPECT_EQ(Buurtlog({"--data", folder.path(), "region", "--teams", "0"}).exit_code, 2);
  EXPECT_THAT(Buurtlog({"no-such-command"}).err, HasSubstr("no-such-command"));
  EXPECT_TRUE(nlohmann::json::accept(Buurtlog({"--json", "no-such-command"}).err));
  EXPECT_EQ(Buurtlog({"--data", folder.path(), "log", "stat"}).exit_code, 4);
  EXPECT_EQ(Buurtlog({"--address", nobody_there, "--timeout", "1", "people"}).exit_code, 5);
  EXPECT_EQ(Buurtlog({"--session", session, "day"}).exit_code, 7);

  // A sign-in file that somebody else has written into.
  ASSERT_TRUE(
      SystemFiles().WriteAtomically(session, R"({"address":"127.0.0.1:1","token":"a\nb"})").ok());
  EXPECT_EQ(Buurtlog({"--session", session, "day"}).exit_code, 7);
  EXPECT_EQ(Buurtlog({"--data", absl::StrCat(folder.path(), "/typo"), "serve", "--insecure-dev"})
                .exit_code,
            4);

  TeamAtWork team(absl::StrCat(folder.path(), "/data"));
  RunningSystem& system = team.system();
  EXPECT_EQ(system.Command({"log", "cat", "visits", "0", "--from", "999999"}).exit_code, 4);
  EXPECT_EQ(system.Command({"login", "nobody of that name"}).exit_code, 4);
  ASSERT_EQ(system.Command({"login", "coach"}).exit_code, 0);
  EXPECT_EQ(system.Command({"day"}).exit_code, 7);
  ASSERT_EQ(system.Command({"login", "Anna"}).exit_code, 0);
  EXPECT_EQ(system.Command({"day"}).exit_code, 0);
  EXPECT_EQ(system.Command({"day", "--date", "the first of May"}).exit_code, 2);
  EXPECT_EQ(system.Command({"timeline", "nobody of that name"}).exit_code, 4);
  EXPECT_EQ(system.Command({"status"}).exit_code, 0);
  EXPECT_EQ(system.Command({"parked"}).exit_code, 0);
}

TEST(CommandTest, ProgramsGetJsonAndNobodyOffATerminalGetsColours) {
  TemporaryFolder folder;
  TeamAtWork team(absl::StrCat(folder.path(), "/data"));
  const std::string client_id = team.TakeClientIn();
  team.Plan(client_id, 0, absl::Hours(1), 30);
  RunningSystem& system = team.system();
  ASSERT_EQ(system.Command({"login", "Anna"}).exit_code, 0);
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"people"},
                                             {"team"},
                                             {"clients"},
                                             {"day"},
                                             {"timeline", client_id},
                                             {"status"},
                                             {"parked"},
                                             {"log", "stat"},
                                             {"log", "tail"},
                                             {"replay", "--verify"}}) {
    std::vector<std::string> as_json = {"--json"};
    as_json.insert(as_json.end(), words.begin(), words.end());
    const ProgramResult result = system.Command(as_json);
    EXPECT_EQ(result.exit_code, 0) << words[0] << result.err;
    for (absl::string_view line : absl::StrSplit(result.out, '\n', absl::SkipEmpty())) {
      EXPECT_TRUE(nlohmann::json::accept(line)) << words[0] << ": " << line;
    }
    EXPECT_THAT(system.Command(words).out, Not(HasSubstr("\x1b")));
  }
  const ProgramResult refused = system.Command({"--json", "timeline", "nobody of that name"});
  const nlohmann::json error =
      nlohmann::json::parse(refused.err, nullptr, /*allow_exceptions=*/false);
  EXPECT_EQ(error["error"]["code"], "NOT_FOUND");
}

TEST(CommandTest, TheLogShowsNothingAboutAPerson) {
  TemporaryFolder folder;
  TeamAtWork team(absl::StrCat(folder.path(), "/data"));
  team.TakeClientIn();
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"--json", "log", "tail", "-n", "100"}, {"log", "tail", "-n", "100"}}) {
    const ProgramResult shown = team.system().Command(words);
    EXPECT_EQ(shown.exit_code, 0) << shown.err;
    EXPECT_THAT(shown.out, HasSubstr("ClientTakenIn"));
    for (const char* personal : {"999900006", "Truus", "Visser", "1938-04-02", "Coffee", "Anna"}) {
      EXPECT_THAT(shown.out, Not(HasSubstr(personal)));
    }
  }
}

}  // namespace
}  // namespace buurtlog::end_to_end
