// `buurtlog log void`: what stands in the topics of a region and will never count.
#pragma once

#include <CLI/CLI.hpp>

#include "tools/buurtlog/command_line.h"

namespace buurtlog::command {

void AddVoidCommand(CLI::App& log, CommandLine& line);

}  // namespace buurtlog::command
