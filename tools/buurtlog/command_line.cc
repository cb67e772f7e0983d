#include "tools/buurtlog/command_line.h"

#include <utility>

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

}  // namespace buurtlog::command
