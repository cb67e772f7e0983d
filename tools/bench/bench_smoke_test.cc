// Every family of the benchmarks, with everything tiny: the figures mean nothing, that they come
// does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tools/bench/families.h"
#include "tools/bench/report.h"
#include "tools/bench/server_process.h"

namespace buurtlog::bench {
namespace {

class BenchSmokeTest : public ::testing::Test {
 protected:
  BenchSmokeTest() : folder_(absl::StrCat(::testing::TempDir(), "/bench-", getpid())) {
    std::filesystem::create_directories(folder_);
  }
  ~BenchSmokeTest() override { std::filesystem::remove_all(folder_); }

  std::string Log() const {
    std::ifstream file(folder_ + "/said");
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // The objects that the benchmark prints.
  std::vector<nlohmann::json> Run(const std::string& family) {
    const std::string rows = folder_ + "/rows";
    const absl::Status ran =
        RunProgram({"sh", "-c",
                    absl::StrCat("'", BUURTLOG_BIN_DIR, "/bench' --smoke --json --folder='",
                                 folder_, "' ", family, " > '", rows, "'")},
                   folder_ + "/said");
    EXPECT_TRUE(ran.ok()) << ran << "\n" << Log();
    std::vector<nlohmann::json> objects;
    std::ifstream file(rows);
    for (std::string line; std::getline(file, line);) {
      objects.push_back(nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false));
      EXPECT_TRUE(objects.back().is_object()) << line;
    }
    return objects;
  }

  const std::string folder_;
};

TEST_F(BenchSmokeTest, EveryFamilyGivesRowsThatAProgramCanRead) {
  for (const Family& family : Families()) {
    SCOPED_TRACE(std::string(family.name));
    const std::vector<nlohmann::json> rows = Run(std::string(family.name));
    EXPECT_FALSE(rows.empty());
    std::set<std::string> names;
    for (const nlohmann::json& row : rows) {
      for (const char* const key : {"name", "value", "unit", "limit", "goal", "met", "umadb"}) {
        EXPECT_TRUE(row.contains(key)) << row << " lacks " << key;
      }
      EXPECT_TRUE(names.insert(row["name"]).second) << row << " has the name of another";
      EXPECT_GT(row["value"], 0) << row;
      EXPECT_EQ(row["goal"].is_null(), row["met"].is_null()) << row;
    }
  }
}

TEST(BenchReportTest, TheMedianIsTheMiddleOne) {
  EXPECT_EQ(Median({3, 1, 2}), 2);
  EXPECT_EQ(Median({4, 1, 2, 3}), 2.5);
  EXPECT_EQ(Median({}), 0);
}

TEST(BenchReportTest, AGoalIsMetByAtLeastItOrByAtMostIt) {
  Row row{"speed", 10, "calls/s"};
  EXPECT_EQ(row.Met(), std::nullopt);
  row.goal = 10;
  EXPECT_EQ(row.Met(), true);
  row.goal = 11;
  EXPECT_EQ(row.Met(), false);
  row.better = Better::kLess;
  EXPECT_EQ(row.Met(), true);
}

TEST(BenchReportTest, WhatIsNotKnownIsNull) {
  EXPECT_EQ(JsonLine({"size", 3.5, "bytes"}),
            R"({"name":"size","value":3.5,"unit":"bytes","limit":null,"goal":null,"met":null,)"
            R"("umadb":null})");
}

}  // namespace
}  // namespace buurtlog::bench
