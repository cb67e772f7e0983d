// `buurtlog serve`: every service in one process on one data folder.
#pragma once

#include <CLI/CLI.hpp>

#include "tools/buurtlog/command_line.h"

namespace buurtlog::command {

void AddServeCommand(CLI::App& app, CommandLine& line);

}  // namespace buurtlog::command
