// The rules of form that a program can check: who may include whom, how long things are, what they
// are called, and what is not here at all. One test a rule; a failure names file, line and rule.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "tests/source_tree.h"

namespace buurtlog::tests {
namespace {

constexpr size_t kFunctionLinesMax = 70;
constexpr size_t kFileLinesMax = 500;
constexpr size_t kServiceMainLinesMax = 60;

using Findings = std::vector<std::string>;

void ExpectNone(const Findings& findings, absl::string_view rule) {
  if (findings.empty()) return;
  ADD_FAILURE() << "rule: " << rule << "\n" << absl::StrJoin(findings, "\n");
}

bool IsWordCharacter(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

// True when `word` stands in `line` with no letter, digit or underscore directly before or behind
// it.
bool HasWord(absl::string_view line, absl::string_view word) {
  for (size_t at = line.find(word); at != absl::string_view::npos; at = line.find(word, at + 1)) {
    const size_t end = at + word.size();
    const bool begins = at == 0 || !IsWordCharacter(line[at - 1]);
    const bool ends =
        end == line.size() || !IsWordCharacter(line[end]) || !IsWordCharacter(word.back());
    if (begins && ends) return true;
  }
  return false;
}

template <typename Allowed>
Findings FindWords(const std::vector<absl::string_view>& words, Allowed allowed) {
  Findings findings;
  for (const SourceFile& file : SourceTree()) {
    if (!file.IsCpp() || allowed(file)) continue;
    for (size_t i = 0; i < file.code.size(); ++i) {
      for (absl::string_view word : words) {
        if (HasWord(file.code[i], word)) findings.push_back(absl::StrCat(At(file, i), word));
      }
    }
  }
  return findings;
}

bool StartsWithAny(absl::string_view text, const std::vector<std::string>& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [text](const std::string& prefix) { return absl::StartsWith(text, prefix); });
}

bool IsStandardHeader(absl::string_view include) {
  return !absl::StrContains(include, '/') && !absl::StrContains(include, '.');
}
bool IsGrpc(absl::string_view include) {
  return absl::StartsWith(include, "grpc") || absl::EndsWith(include, ".grpc.pb.h");
}
bool IsKafka(absl::string_view include) { return absl::StartsWith(include, "librdkafka/"); }
bool IsTestHeader(absl::string_view include) {
  return StartsWithAny(include, {"gtest/", "gmock/", "rapidcheck", "libs/eventsourcing/testing/"});
}

// `visits` for services/visits/...; empty for anything that is not of a service.
std::string ServiceOf(absl::string_view path) {
  if (!absl::ConsumePrefix(&path, "services/") || !absl::StrContains(path, '/')) return "";
  return std::string(path.substr(0, path.find('/')));
}

bool IsDomain(const SourceFile& file) { return absl::StrContains(file.path, "/domain/"); }
bool IsReadSide(const SourceFile& file) {
  return absl::StrContains(file.path, "/read_models/") ||
         absl::StrContains(file.path, "/processes/");
}

// Calls `forbidden(file, include)` for all includes of the files that `of` picks.
template <typename Of, typename Forbidden>
void ExpectNoInclude(absl::string_view rule, Of of, Forbidden forbidden) {
  Findings findings;
  for (const SourceFile& file : SourceTree()) {
    if (!file.IsCpp() || !of(file)) continue;
    for (const Include& include : IncludesOf(file)) {
      if (!forbidden(file, include.path)) continue;
      findings.push_back(absl::StrCat(At(file, include.line_index), "includes ", include.path));
    }
  }
  ExpectNone(findings, rule);
}

TEST(IncludeTableTest, DomainIncludesNothingButStdAbseilValuesMessagesBaseAndDecider) {
  const std::set<std::string> not_pure = {
      "atomic", "chrono", "condition_variable", "cstdio", "ctime", "fstream", "filesystem",
      "future", "mutex",  "iostream",           "random", "thread"};
  const std::set<std::string> seams = {"libs/base/clock.h", "libs/base/files.h",
                                       "libs/base/random.h", "libs/base/scheduler.h"};
  ExpectNoInclude(
      "services/*/domain/ includes std, Abseil strings, status and time, messages, libs/base (no "
      "clock, files, random, scheduler), decider.h and command_rule.h",
      IsDomain, [&](const SourceFile& file, const std::string& include) {
        if (IsStandardHeader(include)) return not_pure.contains(include);
        if (file.IsTest() && IsTestHeader(include)) return false;
        if (IsGrpc(include)) return true;
        if (absl::StartsWith(include, "libs/base/")) return seams.contains(include);
        const std::string service = ServiceOf(file.path);
        return !StartsWithAny(
            include,
            {"absl/strings/", "absl/status/", "absl/time/", "google/protobuf/", "google/type/",
             absl::StrCat("buurtlog/", service, "/"), "buurtlog/access/", "buurtlog/log/",
             "buurtlog/privacy/", "buurtlog/type/", "libs/eventsourcing/decider.h",
             "libs/eventsourcing/command_rule.h", absl::StrCat("services/", service, "/domain/")});
      });
}

TEST(IncludeTableTest, ReadModelsAndProcessesKnowOtherServicesByTheirMessagesOnly) {
  ExpectNoInclude(
      "services/*/read_models/ and processes/ include no gRPC, no Kafka, no libs/rpc, no code of "
      "another service",
      IsReadSide, [](const SourceFile& file, const std::string& include) {
        if (IsGrpc(include) || IsKafka(include)) return true;
        if (StartsWithAny(include, {"libs/rpc/", "libs/kafka/", "tools/"})) return true;
        const std::string other = ServiceOf(include);
        return !other.empty() && other != ServiceOf(file.path);
      });
}

TEST(IncludeTableTest, ServicesMeetInProtosAndInTheLogOnly) {
  ExpectNoInclude(
      "services/* include no code of another service, no tools, no librdkafka",
      [](const SourceFile& file) { return absl::StartsWith(file.path, "services/"); },
      [](const SourceFile& file, const std::string& include) {
        if (IsKafka(include) || absl::StartsWith(include, "tools/")) return true;
        const std::string other = ServiceOf(include);
        return !other.empty() && other != ServiceOf(file.path);
      });
}

TEST(IncludeTableTest, LibrariesDoNotKnowWhoUsesThem) {
  ExpectNoInclude(
      "libs/* include nothing of services/, tools/ or tests/; libs/rpc nothing of libs/kafka",
      [](const SourceFile& file) { return absl::StartsWith(file.path, "libs/"); },
      [](const SourceFile& file, const std::string& include) {
        if (absl::StartsWith(file.path, "libs/rpc/") && absl::StartsWith(include, "libs/kafka/")) {
          return true;
        }
        return StartsWithAny(include, {"services/", "tools/", "tests/"});
      });
}

TEST(IncludeTableTest, KafkaStaysInItsFolder) {
  ExpectNoInclude(
      "librdkafka is included in libs/kafka and kafka_event_log.* only",
      [](const SourceFile& file) {
        return !StartsWithAny(file.path, {"libs/kafka/", "libs/eventlog/kafka_event_log"});
      },
      [](const SourceFile&, const std::string& include) { return IsKafka(include); });
}

TEST(IncludeTableTest, GrpcStaysInItsFolder) {
  ExpectNoInclude(
      "gRPC is included in libs/rpc, tools and tests only",
      [](const SourceFile& file) {
        return !file.IsTest() && !StartsWithAny(file.path, {"libs/rpc/", "tools/"});
      },
      [](const SourceFile&, const std::string& include) { return IsGrpc(include); });
}

TEST(IncludeTableTest, SqliteHandlesStayInTheirFolder) {
  ExpectNoInclude(
      "sqlite3.h is included in libs/sqlite and tests only",
      [](const SourceFile& file) {
        return !file.IsTest() && !absl::StartsWith(file.path, "libs/sqlite/");
      },
      [](const SourceFile&, const std::string& include) { return include == "sqlite3.h"; });
}

TEST(TidyTest, FunctionsHaveAtMost70Lines) {
  Findings findings;
  for (const SourceFile& file : SourceTree()) {
    if (!file.IsCpp()) continue;
    for (const FunctionBody& body : FunctionBodiesOf(file)) {
      if (body.lines <= kFunctionLinesMax) continue;
      findings.push_back(
          absl::StrCat(At(file, body.first_line_index), "a function of ", body.lines, " lines"));
    }
  }
  ExpectNone(findings, "a function has at most 70 lines");
}

TEST(TidyTest, FilesHaveAtMost500Lines) {
  Findings findings;
  for (const SourceFile& file : SourceTree()) {
    if (file.lines.size() <= kFileLinesMax) continue;
    findings.push_back(absl::StrCat(file.path, ":", file.lines.size(), ": too long"));
  }
  ExpectNone(findings, "a .h, .cc or .proto file has at most 500 lines");
}

TEST(TidyTest, TheMainOfAServiceIsWiringOfAtMost60Lines) {
  Findings findings;
  for (const SourceFile& file : SourceTree()) {
    if (ServiceOf(file.path).empty() || file.Name() != "main.cc") continue;
    if (file.lines.size() <= kServiceMainLinesMax) continue;
    findings.push_back(absl::StrCat(file.path, ":", file.lines.size(), ": too long"));
  }
  ExpectNone(findings, "services/*/main.cc has at most 60 lines");
}

TEST(TidyTest, NothingIsCalledUtilHelperCommonMiscOrManager) {
  const std::set<std::string> empty_words = {"util",    "utils",   "utility", "utilities",
                                             "helper",  "helpers", "common",  "misc",
                                             "manager", "managers"};
  Findings findings;
  for (const std::string& path : AllPaths()) {
    const std::string name = std::filesystem::path(path).filename();
    for (absl::string_view word : absl::StrSplit(name, absl::ByAnyChar("._-"))) {
      if (!empty_words.contains(absl::AsciiStrToLower(word))) continue;
      findings.push_back(absl::StrCat(path, ":1: the name says nothing: ", word));
    }
  }
  ExpectNone(findings, "no folder or file is called util, helper, common, misc or manager");
}

TEST(TidyTest, WhatIsLeftToDoNamesItsIssue) {
  // Put together from two parts, so that this file does not find itself.
  const std::string left_to_do = absl::StrCat("TO", "DO");
  const std::string to_mend = absl::StrCat("FIX", "ME");
  Findings findings;
  for (const SourceFile& file : SourceTree()) {
    for (size_t i = 0; i < file.lines.size(); ++i) {
      const std::string& line = file.lines[i];
      const bool named = absl::StrContains(line, absl::StrCat(left_to_do, "(#"));
      if ((HasWord(line, left_to_do) && !named) || HasWord(line, to_mend)) {
        findings.push_back(absl::StrCat(At(file, i), absl::StripAsciiWhitespace(line)));
      }
    }
  }
  ExpectNone(findings, absl::StrCat(left_to_do, " names an issue: ", left_to_do, "(#12)"));
}

TEST(TidyTest, NoTestIsSkippedOrSleeps) {
  Findings findings =
      FindWords({"GTEST_SKIP", "sleep_for", "sleep_until", "SleepFor", "usleep", "nanosleep"},
                [](const SourceFile& file) { return !file.IsTest(); });
  for (const SourceFile& file : SourceTree()) {
    if (!file.IsTest()) continue;
    for (size_t i = 0; i < file.code.size(); ++i) {
      if (absl::StrContains(file.code[i], ", DISABLED_")) {
        findings.push_back(absl::StrCat(At(file, i), "a disabled test"));
      }
    }
  }
  ExpectNone(findings, "tests are neither skipped nor do they sleep");
}

TEST(TidyTest, ThreadsAreStartedInBaseAndRpcOnly) {
  ExpectNone(
      FindWords({"std::thread", "std::jthread", "std::async", "pthread_create"},
                [](const SourceFile& file) {
                  return file.IsTest() || StartsWithAny(file.path, {"libs/base/", "libs/rpc/"});
                }),
      "threads are started in libs/base and libs/rpc only");
}

TEST(TidyTest, LocksAreAbseilMutexes) {
  ExpectNone(FindWords({"std::mutex", "std::shared_mutex", "std::recursive_mutex",
                        "std::condition_variable"},
                       [](const SourceFile&) { return false; }),
             "locks are absl::Mutex");
}

TEST(TidyTest, NothingIsThrown) {
  ExpectNone(FindWords({"throw"}, [](const SourceFile&) { return false; }),
             "errors are absl::Status; nothing is thrown");
}

TEST(TidyTest, ThereAreNoMacrosButTheFour) {
  Findings findings;
  for (const SourceFile& file : SourceTree()) {
    if (StartsWithAny(file.path, {"libs/base/check.h", "libs/base/status_macros.h"})) continue;
    for (size_t i = 0; i < file.lines.size(); ++i) {
      if (file.IsCpp() && absl::StartsWith(file.lines[i], "#define ")) {
        findings.push_back(absl::StrCat(At(file, i), file.lines[i]));
      }
    }
  }
  ExpectNone(findings, "no macros but CHECK, DCHECK, ABSL_RETURN_IF_ERROR, ABSL_ASSIGN_OR_RETURN");
}

TEST(TidyTest, HeadersAreGuardedByPragmaOnce) {
  Findings findings;
  for (const SourceFile& file : SourceTree()) {
    if (!file.IsHeader()) continue;
    const auto guard = std::find(file.lines.begin(), file.lines.end(), "#pragma once");
    if (guard == file.lines.end()) findings.push_back(absl::StrCat(At(file, 0), "no guard"));
  }
  ExpectNone(findings, "a header has #pragma once");
}

TEST(TidyTest, OPS_01TheTwoCommandsOfTheReadmeAreThereAndCanBeStarted) {
  const std::string readme = absl::StrJoin(ReadLines("README.md"), "\n");
  for (const char* const command : {"run", "test"}) {
    EXPECT_THAT(readme, testing::HasSubstr(std::string("./") + command))
        << "README.md:1: names ./" << command;
    const auto path = std::filesystem::path(BUURTLOG_SOURCE_DIR) / command;
    const auto status = std::filesystem::status(path);
    EXPECT_TRUE(std::filesystem::is_regular_file(status)) << command << ":1: is not there";
    EXPECT_NE(status.permissions() & std::filesystem::perms::owner_exec,
              std::filesystem::perms::none)
        << command << ":1: cannot be started";
  }
}

TEST(SourceTreeTest, BlanksWhatIsNotCode) {
  const SourceFile file = MakeSourceFile("libs/a.cc",
                                         "int a = 1;  // throw\n"
                                         "const char* b = \"throw \\\" \";\n"
                                         "auto c = R\"x(throw)x\";\n"
                                         "#define D throw\n"
                                         "int e = 1'000; char f = '\"'; throw 1;");
  EXPECT_EQ(absl::StripTrailingAsciiWhitespace(file.code[0]), "int a = 1;");
  for (size_t i = 0; i < 4; ++i) EXPECT_FALSE(HasWord(file.code[i], "throw")) << file.code[i];
  EXPECT_TRUE(HasWord(file.code[4], "throw"));
}

TEST(SourceTreeTest, MeasuresFunctionsAndNothingElse) {
  const SourceFile file = MakeSourceFile("libs/a.cc",
                                         "namespace a {\n"
                                         "struct B {\n"
                                         "  int c{1};\n"
                                         "  B(int d) : c{d} {\n"
                                         "    if (d) {\n"
                                         "    }\n"
                                         "  }\n"
                                         "};\n"
                                         "const int kE[] = {F(1),\n"
                                         "};\n"
                                         "template <typename T>\n"
                                         "T G(T t) {\n"
                                         "  return T{t};\n"
                                         "}\n"
                                         "}  // namespace a");
  const std::vector<FunctionBody> bodies = FunctionBodiesOf(file);
  ASSERT_EQ(bodies.size(), 2u);
  EXPECT_EQ(bodies[0].first_line_index, 3u);
  EXPECT_EQ(bodies[0].lines, 4u);
  EXPECT_EQ(bodies[1].first_line_index, 11u);
  EXPECT_EQ(bodies[1].lines, 3u);
}

}  // namespace
}  // namespace buurtlog::tests
