// `buurtlog log accept-shortened`: how an operator accepts that a log has lost its end.
#pragma once

#include <CLI/CLI.hpp>

#include "tools/buurtlog/command_line.h"

namespace buurtlog::command {

// `log` is the subcommand `log`.
void AddAcceptCommand(CLI::App& log, CommandLine& line);

}  // namespace buurtlog::command
