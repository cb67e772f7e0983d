// What all subcommands share: options that stand before or behind any of them, and the exit code.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <string>

#include "libs/kafka/kafka_engine.h"
#include "tools/buurtlog/output.h"
#include "tools/buurtlog/session.h"

namespace buurtlog::command {

inline constexpr char kDataFolderDefault[] = ".buurtlog";

struct CommandLine {
  bool json = false;
  std::string data_folder = kDataFolderDefault;
  kafka::LogWords log;  // where the logs are
  SessionOptions session;
  double timeout_seconds = 10;
  ExitCode exit_code = ExitCode::kOk;

  Output MakeOutput() const { return Output(json); }
  SessionOptions MakeSessionOptions() const {
    SessionOptions options = session;
    options.timeout = absl::Seconds(timeout_seconds);
    return options;
  }
};

// Runs a subcommand's body and turns its status into an exit code and a message. For
// CLI::App::callback.
std::function<void()> Runs(CommandLine& line,
                           std::function<absl::Status(CommandLine&, const Output&)> body);

// What an option takes, said when it is given something else: CLI11's own words name no option for
// a text that is no number, or the largest number there is.
CLI::Validator NumberFrom(double least, double most);
CLI::Validator WholeNumberFrom(uint64_t least, uint64_t most);

}  // namespace buurtlog::command
