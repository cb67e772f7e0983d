// `buurtlog play morning`: a morning of the region, through the public gRPC interface, as nurses
// and their phones would.
#pragma once

#include <CLI/CLI.hpp>

#include "tools/buurtlog/command_line.h"

namespace buurtlog::command {

void AddPlayCommand(CLI::App& app, CommandLine& line);

}  // namespace buurtlog::command
