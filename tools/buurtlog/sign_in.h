// Signing in at a system in trial mode: `buurtlog people`, `buurtlog login NAME`.
#pragma once

#include <CLI/CLI.hpp>

#include "absl/status/statusor.h"
#include "tools/buurtlog/command_line.h"

namespace buurtlog::command {

// A session in the operator's role, for the commands of operators: whoever is signed in keeps their
// own sign-in. In trial mode only.
absl::StatusOr<Session> OperatorSession(const SessionOptions& options);
// Signs in as a person (by id or by name) without keeping it.
absl::StatusOr<SignedIn> SignInAs(const std::string& address, const std::string& person,
                                  absl::Duration timeout);

void AddSignInCommands(CLI::App& app, CommandLine& line);

}  // namespace buurtlog::command
