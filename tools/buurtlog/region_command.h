// `buurtlog region`: makes the synthetic region in a data folder.
#pragma once

#include <CLI/CLI.hpp>

#include "tools/buurtlog/command_line.h"

namespace buurtlog::command {

void AddRegionCommand(CLI::App& app, CommandLine& line);

}  // namespace buurtlog::command
