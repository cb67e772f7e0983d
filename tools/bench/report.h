// What was measured, for people and for programs.
#pragma once

#include <optional>
#include <ostream>
#include <string>
#include <vector>

namespace buurtlog::bench {

enum class Better { kMore, kLess };

// One figure. `limit`, `goal` and `peer` are of the same unit.
struct Row {
  std::string name;  // `command/many/32 callers/1 connection`
  double value = 0;
  std::string unit;
  Better better = Better::kMore;
  std::optional<double> limit = std::nullopt;  // what the machine can do, measured in the same run
  std::optional<double> goal = std::nullopt;
  std::optional<double> peer = std::nullopt;  // UmaDB
  std::string note = "";

  std::optional<bool> Met() const;
};

double Median(std::vector<double> values);

// A line with one JSON object: name, value, unit, limit, goal, met, umadb, note; null for none.
std::string JsonLine(const Row& row);
void PrintTable(const std::vector<Row>& rows, std::ostream& out);

}  // namespace buurtlog::bench
