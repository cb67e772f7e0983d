#include "tools/buurtlog/command_line.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace buurtlog::command {

std::function<void()> Runs(CommandLine& line,
                           std::function<absl::Status(CommandLine&, const Output&)> body) {
  return [&line, body = std::move(body)] {
    const Output output = line.MakeOutput();
    if (absl::Status status = body(line, output); !status.ok()) {
      line.exit_code = output.Error(status);
    }
  };
}

CLI::Validator NumberFrom(double least, double most) {
  return CLI::Validator(
      [least, most](const std::string& text) {
        double number = 0;
        const bool right = absl::SimpleAtod(text, &number) && number >= least && number <= most;
        return right ? std::string()
                     : absl::StrCat("'", text, "' is not a number from ", least, " to ", most);
      },
      "NUMBER");
}

CLI::Validator WholeNumberFrom(uint64_t least, uint64_t most) {
  return CLI::Validator(
      [least, most](const std::string& text) {
        uint64_t number = 0;
        const bool right = absl::SimpleAtoi(text, &number) && number >= least && number <= most;
        return right
                   ? std::string()
                   : absl::StrCat("'", text, "' is not a whole number from ", least, " to ", most);
      },
      "NUMBER");
}

}  // namespace buurtlog::command
