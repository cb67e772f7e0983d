// The long run of everything that goes wrong in a region, with a report: tools/bench/chaos.
#include <CLI/CLI.hpp>
#include <iostream>
#include <string>

#include "tests/end_to_end/running_system.h"
#include "tests/faults/chaos_run.h"

int main(int argc, char** argv) {
  using buurtlog::faults::ChaosKind;
  buurtlog::faults::ChaosOptions options;
  options.faults = 500;
  options.brokers = 3;
  bool takeovers = false;
  CLI::App app(
      "Lets replicas, brokers, the network and clocks of a region fail under load, and looks "
      "whether anything was lost, doubled or answered otherwise");
  app.add_option("--faults", options.faults, "How many")->capture_default_str();
  app.add_option("--seed", options.seed, "Draws faults and commands")->capture_default_str();
  app.add_option("--replicas", options.replicas, "Of the services")->capture_default_str();
  app.add_option("--brokers", options.brokers, "Of Kafka: 1 or 3")->capture_default_str();
  app.add_option("--callers", options.callers, "Nurses who call at once")->capture_default_str();
  app.add_option("--look-every", options.look_every, "Faults between two looks")
      ->capture_default_str();
  app.add_flag("--takeovers", takeovers,
               "Only replicas that are killed or stopped, one at a time: how long callers wait");
  app.add_option("--folder", options.folder,
                 "An empty folder for all that it keeps, which stays; else one that goes");
  app.add_flag("--through-a-well-replica", options.through_a_well_replica,
               "Nurses call one replica alone, and nothing happens to that one");
  CLI11_PARSE(app, argc, argv);
  if (takeovers) {
    options.kinds = {ChaosKind::kKillReplica, ChaosKind::kStopReplica, ChaosKind::kEndReplica};
    options.one_at_a_time = true;
  }
  options.tell = [](const std::string& line) { std::cerr << line << std::endl; };
  const buurtlog::end_to_end::TemporaryFolder folder;
  if (options.folder.empty()) options.folder = folder.path();
  buurtlog::faults::ChaosRun run(options);
  const buurtlog::faults::ChaosResult result = run.Run();
  std::cout << buurtlog::faults::ReportOf(options, result);
  return result.violations.empty() ? 0 : 1;
}
