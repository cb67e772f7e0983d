// What a nurse types: `buurtlog team`, `clients`, `day`, `timeline`.
#pragma once

#include <CLI/CLI.hpp>

#include "tools/buurtlog/command_line.h"

namespace buurtlog::command {

void AddCareCommands(CLI::App& app, CommandLine& line);

}  // namespace buurtlog::command
