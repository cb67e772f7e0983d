// What an operator types: `buurtlog status`, `parked`, `replay`.
#pragma once

#include <CLI/CLI.hpp>

#include "tools/buurtlog/command_line.h"

namespace buurtlog::command {

void AddOperateCommands(CLI::App& app, CommandLine& line);

}  // namespace buurtlog::command
