// `buurtlog log copy`: a log of one engine on another, byte for byte.
#pragma once

#include <CLI/CLI.hpp>

#include "tools/buurtlog/command_line.h"

namespace buurtlog::command {

void AddCopyCommand(CLI::App& log, CommandLine& line);

}  // namespace buurtlog::command
