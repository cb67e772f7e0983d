#include "tools/buurtlog/output.h"

#include <google/protobuf/util/json_util.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "libs/base/care_day.h"
#include "libs/base/check.h"
#include "libs/base/refusal.h"

namespace buurtlog::command {
namespace {

// Code points of a table's cell.
inline constexpr size_t kCellWidthMax = 120;

// Code points, which is what a terminal lays out for the scripts we meet.
size_t Width(absl::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

// What people wrote, fit for one cell: no line breaks, nothing that steers the terminal or turns
// the direction of writing, and not endless.
std::string OneLine(absl::string_view text) {
  std::string line;
  size_t width = 0;
  for (size_t at = 0; at < text.size();) {
    size_t end = at + 1;
    while (end < text.size() && (text[end] & 0xC0) == 0x80) ++end;
    const absl::string_view character = text.substr(at, end - at);
    at = end;
    if (++width > kCellWidthMax) return absl::StrCat(line, "...");
    const bool steers = absl::StartsWith(character, "\xE2\x80") ||
                        absl::StartsWith(character, "\xE2\x81") ||
                        absl::StartsWith(character, "\xC2\x85") ||
                        static_cast<unsigned char>(character[0]) < 0x20 || character[0] == 0x7F;
    absl::StrAppend(&line, steers ? " " : character);
  }
  return line;
}

std::string JsonEscaped(absl::string_view text) {
  std::string escaped;
  for (char c : text) {
    if (c == '"' || c == '\\') {
      absl::StrAppend(&escaped, "\\", absl::string_view(&c, 1));
    } else if (static_cast<unsigned char>(c) < 0x20) {
      absl::StrAppendFormat(&escaped, "\\u%04x", c);
    } else {
      escaped.push_back(c);
    }
  }
  return escaped;
}

}  // namespace

ExitCode ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk: return ExitCode::kOk;
    case absl::StatusCode::kInvalidArgument: return ExitCode::kUsage;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted: return ExitCode::kRefused;
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kNotFound: return ExitCode::kNotFound;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded: return ExitCode::kUnreachable;
    case absl::StatusCode::kDataLoss: return ExitCode::kNotEqual;
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied: return ExitCode::kNotAllowed;
    default: return ExitCode::kFailed;
  }
}

Output::Output(bool json)
    : json_(json),
      terminal_(!json && isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr),
      error_terminal_(!json && isatty(STDERR_FILENO) == 1) {}

void Output::Line(absl::string_view text) const {
  if (!json_) std::cout << text << '\n';
}

void Output::Heading(absl::string_view text) const {
  if (!json_) std::cout << Coloured("1", text) << '\n';
}

void Output::Json(const google::protobuf::Message& message) const {
  if (!json_) return;
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string text;
  CHECK(google::protobuf::util::MessageToJsonString(message, &text, options).ok());
  std::cout << text << '\n';
}

void Output::JsonText(absl::string_view object) const {
  if (json_) std::cout << object << '\n';
}

void Output::Progress(absl::string_view text) const {
  if (error_terminal_) std::cerr << "\r\x1b[2K" << text << std::flush;
}

void Output::ProgressEnd() const {
  if (error_terminal_) std::cerr << "\r\x1b[2K" << std::flush;
}

ExitCode Output::Error(const absl::Status& status) const {
  ProgressEnd();
  std::string reason = StatusReason(status).value_or("");
  std::string field = StatusField(status).value_or("");
  std::string code = absl::StatusCodeToString(status.code());
  if (json_) {
    std::cerr << "{\"error\":{\"code\":\"" << code << "\",\"reason\":\"" << JsonEscaped(reason)
              << "\",\"field\":\"" << JsonEscaped(field) << "\",\"message\":\""
              << JsonEscaped(status.message()) << "\"}}\n";
  } else {
    std::cerr << "buurtlog: " << status.message();
    if (!field.empty() && status.message().find(field) == absl::string_view::npos)
      std::cerr << " (field " << field << ")";
    std::cerr << (reason.empty() ? absl::StrCat(" [", code, "]") : absl::StrCat(" [", reason, "]"))
              << '\n';
  }
  return ExitCodeOf(status);
}

std::string Output::Coloured(absl::string_view code, absl::string_view text) const {
  if (!terminal_) return std::string(text);
  return absl::StrCat("\x1b[", code, "m", text, "\x1b[0m");
}
std::string Output::Good(absl::string_view text) const { return Coloured("32", text); }
std::string Output::Bad(absl::string_view text) const { return Coloured("1;31", text); }
std::string Output::Faint(absl::string_view text) const { return Coloured("2", text); }

Table::Table(std::vector<std::string> headers, std::vector<size_t> numeric)
    : headers_(std::move(headers)), numeric_(std::move(numeric)) {}

void Table::Add(std::vector<std::string> cells) {
  CHECK(cells.size() == headers_.size());
  for (std::string& cell : cells) cell = OneLine(cell);
  rows_.push_back(std::move(cells));
}

void Table::Print(const Output& output) const {
  if (output.json()) return;
  std::vector<size_t> widths;
  for (size_t c = 0; c < headers_.size(); ++c) {
    size_t width = Width(headers_[c]);
    for (const auto& row : rows_) width = std::max(width, Width(row[c]));
    widths.push_back(width);
  }
  auto line = [&](const std::vector<std::string>& cells) {
    std::string text;
    for (size_t c = 0; c < cells.size(); ++c) {
      std::string space(widths[c] - Width(cells[c]), ' ');
      const bool right = std::count(numeric_.begin(), numeric_.end(), c) > 0;
      absl::StrAppend(&text, c == 0 ? "  " : "   ", right ? space : "", cells[c],
                      right || c + 1 == cells.size() ? "" : space);
    }
    return text;
  };
  output.Line(output.Faint(line(headers_)));
  for (const auto& row : rows_) output.Line(line(row));
}

std::string Grouped(uint64_t number) {
  const std::string digits = absl::StrCat(number);
  std::string grouped;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) grouped.push_back(',');
    grouped.push_back(digits[i]);
  }
  return grouped;
}

std::string HoursMinutes(int64_t minutes) {
  return absl::StrFormat("%s%d:%02d", minutes < 0 ? "-" : "", std::abs(minutes) / 60,
                         std::abs(minutes) % 60);
}

std::string LocalTime(absl::Time time) {
  return absl::FormatCivilTime(absl::CivilMinute(AmsterdamTime(time))).replace(10, 1, " ");
}
std::string LocalTimeOfDay(absl::Time time) { return LocalTime(time).substr(11); }

}  // namespace buurtlog::command
