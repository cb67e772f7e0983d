// `buurtlog log tail|cat|stat`: looking into the logs of a data folder. Shows ids, codes and times,
// never what is about a person.
#pragma once

#include <CLI/CLI.hpp>

#include "tools/buurtlog/command_line.h"

namespace buurtlog::command {

void AddLogCommand(CLI::App& app, CommandLine& line);

}  // namespace buurtlog::command
