#include "tools/bench/report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace buurtlog::bench {
namespace {

nlohmann::json OrNull(const std::optional<double>& value) {
  return value.has_value() ? nlohmann::json(*value) : nlohmann::json(nullptr);
}

// 1,234,567 or 1.234: as many digits as mean something.
std::string Shown(const std::optional<double>& value) {
  if (!value.has_value()) return "";
  if (std::fabs(*value) < 100) return absl::StrFormat("%.3g", *value);
  const std::string digits = absl::StrFormat("%.0f", *value);
  std::string grouped;
  for (size_t at = 0; at < digits.size(); ++at) {
    if (at > 0 && (digits.size() - at) % 3 == 0) grouped.push_back(',');
    grouped.push_back(digits[at]);
  }
  return grouped;
}

}  // namespace

std::optional<bool> Row::Met() const {
  if (!goal.has_value()) return std::nullopt;
  return better == Better::kMore ? value >= *goal : value <= *goal;
}

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::string JsonLine(const Row& row) {
  nlohmann::ordered_json json;
  json["name"] = row.name;
  json["value"] = row.value;
  json["unit"] = row.unit;
  json["limit"] = OrNull(row.limit);
  json["goal"] = OrNull(row.goal);
  const std::optional<bool> met = row.Met();
  json["met"] = met.has_value() ? nlohmann::json(*met) : nlohmann::json(nullptr);
  json["umadb"] = OrNull(row.peer);
  if (!row.note.empty()) json["note"] = row.note;
  return json.dump();
}

void PrintTable(const std::vector<Row>& rows, std::ostream& out) {
  size_t name_width = 4;
  for (const Row& row : rows) name_width = std::max(name_width, row.name.size());
  const auto line = [&](const std::string& name, const std::string& goal,
                        const std::string& measured, const std::string& unit,
                        const std::string& limit, const std::string& peer, const std::string& ratio,
                        const std::string& met) {
    out << absl::StrFormat("%-*s %12s %12s %-12s %12s %12s %6s  %s\n", static_cast<int>(name_width),
                           name, goal, measured, unit, limit, peer, ratio, met);
  };
  line("what", "goal", "measured", "unit", "limit", "UmaDB", "ratio", "");
  for (const Row& row : rows) {
    std::string ratio;
    if (row.limit.has_value() && *row.limit > 0 && row.value > 0) {
      ratio = absl::StrFormat(
          "%.2f", row.better == Better::kMore ? row.value / *row.limit : *row.limit / row.value);
    }
    const std::optional<bool> met = row.Met();
    std::string remark = !met.has_value() ? "" : *met ? "met" : "MISSED";
    if (!row.note.empty()) absl::StrAppend(&remark, remark.empty() ? "" : "; ", row.note);
    line(row.name, Shown(row.goal), Shown(row.value), row.unit, Shown(row.limit), Shown(row.peer),
         ratio, remark);
  }
}

}  // namespace buurtlog::bench
