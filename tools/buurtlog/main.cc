// buurtlog: the command. `buurtlog --help` says what it can do.
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "tools/buurtlog/care_command.h"
#include "tools/buurtlog/command_line.h"
#include "tools/buurtlog/completion_command.h"
#include "tools/buurtlog/log_command.h"
#include "tools/buurtlog/operate_command.h"
#include "tools/buurtlog/play_command.h"
#include "tools/buurtlog/region_command.h"
#include "tools/buurtlog/serve_command.h"
#include "tools/buurtlog/sign_in.h"

namespace buurtlog::command {
namespace {

constexpr char kFooter[] = R"(Begin here:
  buurtlog region                make an invented region in .buurtlog (4 teams, a year of history)
  buurtlog serve --insecure-dev  run every service on it
  buurtlog people                who is there; then: buurtlog login NAME
  buurtlog day                   a nurse's day sheet; `buurtlog day --confirm` confirms it
  buurtlog replay --verify       prove that everything shown is what the log says

Exit codes: 0 done; 1 failed; 2 wrong words or field; 3 a rule said no; 4 no such thing; 5 out of reach or not ready;
6 verification found a difference or damage; 7 not signed in or not allowed.
Environment: BUURTLOG_DATA, BUURTLOG_ADDRESS, BUURTLOG_SESSION as --data, --address, --session; NO_COLOR.)";

// Help and version end with 0, everything else with the code for wrong words.
int Explain(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  if (error.get_exit_code() == 0) return app.exit(error);
  const bool json = std::any_of(argv, argv + argc,
                                [](const char* word) { return std::string(word) == "--json"; });
  return static_cast<int>(Output(json).Error(absl::InvalidArgumentError(
      absl::StrCat(error.what(), json ? "" : "; --help says what there is"))));
}

int Main(int argc, char** argv) {
  CommandLine line;
  CLI::App app("Buurtlog: an open care record for self-managing neighbourhood-nursing teams",
               "buurtlog");
  // A wrong word is then named, rather than a missing one.
  app.require_subcommand(0, 1);
  app.fallthrough();
  app.set_version_flag("--version", BUURTLOG_VERSION);
  app.add_flag("--json", line.json, "One JSON object a line, for programs");
  app.add_option("--data", line.data_folder, "Data folder")
      ->envname("BUURTLOG_DATA")
      ->capture_default_str();
  app.add_option("--log", line.log.log,
                 "Where the logs are: sqlite, in the data folder, or kafka:<host:port>,...")
      ->envname("BUURTLOG_LOG")
      ->capture_default_str();
  app.add_option("--region", line.log.region, "Name of the region, whose topics on Kafka are meant")
      ->envname("BUURTLOG_REGION")
      ->capture_default_str();
  app.add_option("--kafka_replication,--kafka-replication", line.log.replication,
                 "Replicas that a topic must have at least, and is made with")
      ->envname("BUURTLOG_KAFKA_REPLICATION")
      ->capture_default_str();
  app.add_option("--kafka_properties,--kafka-properties", line.log.properties_file,
                 "File with librdkafka properties (TLS, SASL), one name=value a line");
  app.add_option("--address", line.session.address,
                 "Address of a running system; default: the one signed in to, else 127.0.0.1:7400")
      ->envname("BUURTLOG_ADDRESS");
  app.add_option("--session", line.session.token_file,
                 "Where the sign-in is kept; default ~/.config/buurtlog/session.json")
      ->envname("BUURTLOG_SESSION");
  app.add_option("--timeout", line.timeout_seconds, "Seconds to wait for an answer")
      ->check(CLI::Range(0.001, 86'400.0))
      ->capture_default_str();
  AddServeCommand(app, line);
  AddRegionCommand(app, line);
  AddPlayCommand(app, line);
  AddSignInCommands(app, line);
  AddCareCommands(app, line);
  AddOperateCommands(app, line);
  AddLogCommand(app, line);
  AddCompletionCommand(app, line);
  // Last: a command takes over the footer that stands when it is added.
  app.footer(kFooter);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return Explain(app, error, argc, argv);
  }
  if (app.get_subcommands().empty()) {
    return Explain(app, CLI::RequiredError("A command"), argc, argv);
  }
  return static_cast<int>(line.exit_code);
}

}  // namespace

}  // namespace buurtlog::command

int main(int argc, char** argv) {
  // Records are for whoever runs the system, and for nobody else of the machine.
  umask(077);
  return buurtlog::command::Main(argc, argv);
}
