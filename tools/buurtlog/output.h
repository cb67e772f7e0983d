// How the command speaks: tables for people, one JSON object a line for programs, colours only on a
// terminal.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace buurtlog::command {

// What a script can trust. Listed in `buurtlog --help`.
enum class ExitCode : int {
  kOk = 0,
  kFailed = 1,       // something went wrong that is none of the below
  kUsage = 2,        // the words of the command are off
  kRefused = 3,      // a rule said no
  kNotFound = 4,     // there is no such thing
  kUnreachable = 5,  // no system at the address, or not ready in time
  kNotEqual = 6,     // verification found a difference or damage
  kNotAllowed = 7,   // not signed in, or not for this role
};
ExitCode ExitCodeOf(const absl::Status& status);

class Output {
 public:
  // `json`: programs read it.
  explicit Output(bool json);
  bool json() const { return json_; }
  bool terminal() const { return terminal_; }

  void Line(absl::string_view text) const;     // for people only
  void Heading(absl::string_view text) const;  // for people only
  // One object on a line; for programs only.
  void Json(const google::protobuf::Message& message) const;
  void JsonText(absl::string_view object) const;
  // A line that is written over by the next on a terminal, and left out elsewhere. For people only,
  // on stderr.
  void Progress(absl::string_view text) const;
  void ProgressEnd() const;
  // To stderr, for people a sentence, for programs {"error": {...}}.
  ExitCode Error(const absl::Status& status) const;

  std::string Good(absl::string_view text) const;
  std::string Bad(absl::string_view text) const;
  std::string Faint(absl::string_view text) const;

 private:
  std::string Coloured(absl::string_view code, absl::string_view text) const;
  bool json_ = false;
  bool terminal_ = false;
  bool error_terminal_ = false;
};

// Columns as wide as their widest cell; numbers (cells that `numeric` names) to the right.
class Table {
 public:
  explicit Table(std::vector<std::string> headers, std::vector<size_t> numeric = {});
  void Add(std::vector<std::string> cells);
  void Print(const Output& output) const;

 private:
  std::vector<std::string> headers_;
  std::vector<size_t> numeric_;
  std::vector<std::vector<std::string>> rows_;
};

// 1234567 as 1,234,567.
std::string Grouped(uint64_t number);
// 95 as 1:35.
std::string HoursMinutes(int64_t minutes);
// In Europe/Amsterdam.
std::string LocalTime(absl::Time time);       // 2026-11-22 08:30
std::string LocalTimeOfDay(absl::Time time);  // 08:30

}  // namespace buurtlog::command
