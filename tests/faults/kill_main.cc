// The long run of kills, with a report: tools/bench/kill.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <string>

#include "tests/end_to_end/running_system.h"
#include "tests/faults/kill_run.h"

int main(int argc, char** argv) {
  using buurtlog::faults::Shape;
  buurtlog::faults::KillRunOptions options;
  options.kills = 200;
  bool by_service = false;
  CLI::App app(
      "Kills a system under load with kill -9, time and again, and looks whether anything "
      "was lost, doubled or answered otherwise");
  app.add_option("--kills", options.kills, "How often")->capture_default_str();
  app.add_option("--seed", options.seed, "Draws moments and commands")->capture_default_str();
  app.add_option("--callers", options.callers, "Nurses who call at once")->capture_default_str();
  app.add_option("--verify-every", options.verify_every, "Kills between two `replay --verify`")
      ->capture_default_str();
  app.add_flag("--by-service", by_service,
               "One process for each service instead of `buurtlog serve`");
  CLI11_PARSE(app, argc, argv);
  options.shape = by_service ? Shape::kByService : Shape::kServe;
  options.tell = [](const std::string& line) { std::cerr << line << std::endl; };
  const buurtlog::end_to_end::TemporaryFolder folder;
  options.work_folder = folder.path();
  options.data_folder = folder.path() + "/data";
  std::filesystem::create_directory(options.data_folder);
  buurtlog::faults::KillRun run(options);
  const buurtlog::faults::KillRunResult result = run.Run();
  std::cout << buurtlog::faults::ReportOf(options, result);
  return result.violations.empty() ? 0 : 1;
}
