// `buurtlog completion bash|zsh`: a completion script made from the commands themselves, so that it
// cannot fall behind them.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "tools/buurtlog/command_line.h"

namespace buurtlog::command {

// Every subcommand and long option below `app`, for one shell.
std::string CompletionScript(const CLI::App& app, const std::string& shell);
void AddCompletionCommand(CLI::App& app, CommandLine& line);

}  // namespace buurtlog::command
