// The README of a service is its front page: four tables (commands, events, refusals, read models)
// that say what the contracts and the code say, no more and no less.
//
//   ## Commands      first column: an rpc        `ScheduleVisit`
//   ## Events        first column: an event      `VisitScheduled`
//   ## Refusals      first column: a reason      `VISIT_CANCELLED`
//   ## Read models   first column: a class of read_models/; an rpc that only reads is named in any
//   column
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <regex>
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
#include "tests/proto_tree.h"
#include "tests/source_tree.h"

namespace buurtlog::tests {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FileDescriptor;
using Names = std::set<std::string>;

constexpr absl::string_view kTables[] = {"Commands", "Events", "Refusals", "Read models"};

struct Table {
  bool found = false;
  std::map<std::string, size_t> first_column;  // `name` -> line
  Names anywhere;
};

std::vector<std::string> NamesInBackticks(absl::string_view cell) {
  std::vector<std::string> names;
  const std::vector<absl::string_view> parts = absl::StrSplit(cell, '`');
  for (size_t i = 1; i < parts.size(); i += 2) names.emplace_back(parts[i]);
  return names;
}

bool IsHeading(absl::string_view line, absl::string_view heading) {
  return absl::StartsWith(line, "#") &&
         absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(absl::StripPrefix(
                                    line.substr(line.find_first_not_of('#')), " ")),
                                heading);
}

Table ReadTable(const std::vector<std::string>& lines, absl::string_view heading) {
  Table table;
  bool inside = false;
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string& line = lines[i];
    if (absl::StartsWith(line, "#")) inside = IsHeading(line, heading);
    if (!inside || !absl::StartsWith(line, "|")) continue;
    table.found = true;
    const std::vector<absl::string_view> cells = absl::StrSplit(line, '|');
    for (std::string& name : NamesInBackticks(cells[1])) table.first_column.emplace(name, i + 1);
    for (std::string& name : NamesInBackticks(line)) table.anywhere.insert(std::move(name));
  }
  return table;
}

std::vector<std::string> Services() {
  std::vector<std::string> services;
  for (const std::string& path : AllPaths()) {
    const std::vector<std::string> parts = absl::StrSplit(path, '/');
    if (parts.size() == 2 && parts[0] == "services" &&
        std::filesystem::is_directory(std::filesystem::path(BUURTLOG_SOURCE_DIR) / path)) {
      services.push_back(parts[1]);
    }
  }
  return services;
}

std::string ReadmeOf(const std::string& service) {
  return absl::StrCat("services/", service, "/README.md");
}

Table TableOf(const std::string& service, absl::string_view heading) {
  return ReadTable(ReadLines(ReadmeOf(service)), heading);
}

Names RpcsOf(const std::string& service) {
  Names rpcs;
  for (const FileDescriptor* file : ProtoTree()) {
    if (!absl::StartsWith(file->name(), absl::StrCat("buurtlog/", service, "/"))) continue;
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        rpcs.insert(file->service(s)->method(m)->name());
      }
    }
  }
  return rpcs;
}

Names EventsOf(const std::string& service) {
  Names events;
  for (const FileDescriptor* file : ProtoTree()) {
    if (!absl::StartsWith(file->name(), absl::StrCat("buurtlog/", service, "/"))) continue;
    for (const Descriptor* wrapper : EventWrappersOf(*file)) {
      for (int i = 0; i < wrapper->field_count(); ++i) {
        if (wrapper->field(i)->message_type() != nullptr) {
          events.insert(wrapper->field(i)->message_type()->name());
        }
      }
    }
  }
  return events;
}

bool IsProductOf(const SourceFile& file, const std::string& service) {
  return file.IsCpp() && !file.IsTest() &&
         absl::StartsWith(file.path, absl::StrCat("services/", service, "/"));
}

// Reason -> where it is given.
std::map<std::string, std::string> RefusalsOf(const std::string& service) {
  static const std::regex kRefuse(R"re(Refuse\(\s*"([A-Z0-9_]+)")re");
  std::map<std::string, std::string> refusals;
  for (const SourceFile& file : SourceTree()) {
    if (!IsProductOf(file, service)) continue;
    const std::string text = absl::StrJoin(file.lines, "\n");
    for (std::sregex_iterator at(text.begin(), text.end(), kRefuse), end; at != end; ++at) {
      const auto line = std::count(text.begin(), text.begin() + at->position(), '\n');
      refusals.emplace((*at)[1], At(file, static_cast<size_t>(line)));
    }
  }
  return refusals;
}

// True when the reason stands as a text in the service or in the libraries below it.
bool IsGivenSomewhere(const std::string& reason, const std::string& service) {
  const std::string quoted = absl::StrCat("\"", reason, "\"");
  for (const SourceFile& file : SourceTree()) {
    const bool below = absl::StartsWith(file.path, "libs/") && file.IsCpp() && !file.IsTest();
    if (!below && !IsProductOf(file, service)) continue;
    for (const std::string& line : file.lines) {
      if (absl::StrContains(line, quoted)) return true;
    }
  }
  return false;
}

std::string Row(const std::string& service, size_t line, const std::string& name) {
  return absl::StrCat(ReadmeOf(service), ":", line, ": `", name, "`");
}

TEST(ServiceReadmeTest, EveryServiceHasItsFourTables) {
  for (const std::string& service : Services()) {
    EXPECT_TRUE(ExistsInTree(ReadmeOf(service))) << ReadmeOf(service) << ":1: is not there";
    for (absl::string_view heading : kTables) {
      EXPECT_TRUE(TableOf(service, heading).found)
          << ReadmeOf(service) << ":1: no table under the heading `## " << heading << "`";
    }
  }
}

TEST(ServiceReadmeTest, EveryRpcIsACommandOrReadsAReadModel) {
  for (const std::string& service : Services()) {
    const Table commands = TableOf(service, "Commands");
    const Table read_models = TableOf(service, "Read models");
    const Names rpcs = RpcsOf(service);
    for (const std::string& rpc : rpcs) {
      EXPECT_TRUE(commands.first_column.contains(rpc) || read_models.anywhere.contains(rpc))
          << ReadmeOf(service) << ":1: names the rpc `" << rpc << "` in neither table";
    }
    for (const auto& [name, line] : commands.first_column) {
      EXPECT_TRUE(rpcs.contains(name)) << Row(service, line, name) << " is no rpc";
    }
  }
}

TEST(ServiceReadmeTest, EveryEventIsThere) {
  for (const std::string& service : Services()) {
    const Table table = TableOf(service, "Events");
    const Names events = EventsOf(service);
    for (const std::string& event : events) {
      EXPECT_TRUE(table.first_column.contains(event))
          << ReadmeOf(service) << ":1: does not name the event `" << event << "`";
    }
    for (const auto& [name, line] : table.first_column) {
      EXPECT_TRUE(events.contains(name)) << Row(service, line, name) << " is no event";
    }
  }
}

TEST(ServiceReadmeTest, EveryRefusalIsThere) {
  for (const std::string& service : Services()) {
    const Table table = TableOf(service, "Refusals");
    for (const auto& [reason, place] : RefusalsOf(service)) {
      EXPECT_TRUE(table.first_column.contains(reason))
          << place << "`" << reason << "` does not stand in " << ReadmeOf(service);
    }
    for (const auto& [reason, line] : table.first_column) {
      EXPECT_TRUE(IsGivenSomewhere(reason, service))
          << Row(service, line, reason) << " is given by no code";
    }
  }
}

TEST(ServiceReadmeTest, EveryReadModelIsThere) {
  static const std::regex kReadModel(R"re(class (\w+)[^{;]*\bReadModel \{)re");
  for (const std::string& service : Services()) {
    const Table table = TableOf(service, "Read models");
    Names classes;
    for (const SourceFile& file : SourceTree()) {
      if (!IsProductOf(file, service) || !absl::StrContains(file.path, "/read_models/")) continue;
      const std::string code = absl::StrJoin(file.code, "\n");
      for (std::sregex_iterator at(code.begin(), code.end(), kReadModel), end; at != end; ++at) {
        EXPECT_TRUE(table.first_column.contains((*at)[1]))
            << file.path << ":1: `" << (*at)[1] << "` does not stand in " << ReadmeOf(service);
        classes.insert((*at)[1]);
      }
    }
    for (const auto& [name, line] : table.first_column) {
      EXPECT_TRUE(classes.contains(name)) << Row(service, line, name) << " is no read model";
    }
  }
}

}  // namespace
}  // namespace buurtlog::tests
