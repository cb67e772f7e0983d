#include "tools/buurtlog/play_command.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "libs/base/care_day.h"
#include "libs/base/clock.h"
#include "libs/base/status_macros.h"
#include "tools/buurtlog/morning.h"

namespace buurtlog::command {
namespace {

absl::Status Play(CommandLine& line, const Output& output) {
  MorningOptions options;
  const SessionOptions session = line.MakeSessionOptions();
  options.address = AddressOf(session);
  options.timeout = session.timeout;
  options.now = SystemClock().Now();
  options.progress = [&output](uint64_t visits, uint64_t done, uint64_t nurses) {
    output.Progress(absl::StrFormat("a morning: %d visits recorded, %d of %d nurses done", visits,
                                    done, nurses));
  };
  ABSL_ASSIGN_OR_RETURN(MorningResult result, PlayMorning(options));
  output.ProgressEnd();
  output.Heading(absl::StrFormat("A morning of %d teams, %d nurses, %s", result.teams,
                                 result.nurses, CareDayText(result.day)));
  output.Line(
      absl::StrFormat("  %s visits recorded with %s commands in %.1f s; a command took %.1f ms "
                      "(median), %.1f ms (99th percentile)",
                      Grouped(result.visits_recorded), Grouped(result.commands),
                      absl::ToDoubleSeconds(result.took), absl::ToDoubleMilliseconds(result.median),
                      absl::ToDoubleMilliseconds(result.slowest_of_hundred)));
  output.Line(absl::StrFormat(
      "  2 phones came late and repeated themselves: %d receipts, %d times the same answer again",
      result.late_receipts, result.repeats_recognised));
  output.Line(absl::StrFormat("  %d unplanned, %d corrected (one of them to the right client)",
                              result.unplanned, result.corrections));
  output.Line(absl::StrFormat("  hours of %s that day: %s before, %s after", result.first_team,
                              HoursMinutes(result.minutes_before),
                              HoursMinutes(result.minutes_after)));
  if (!result.next_nurse.empty()) {
    output.Line(absl::StrFormat(
        "\nThe day of %s is left for you:\n  buurtlog login '%s'\n  buurtlog day --date %s\n  "
        "buurtlog day --date %s --confirm",
        result.next_nurse, result.next_nurse, CareDayText(result.day), CareDayText(result.day)));
  }
  output.JsonText(nlohmann::json{{"day", CareDayText(result.day)},
                                 {"teams", result.teams},
                                 {"nurses", result.nurses},
                                 {"visits_recorded", result.visits_recorded},
                                 {"commands", result.commands},
                                 {"late_receipts", result.late_receipts},
                                 {"repeats_recognised", result.repeats_recognised},
                                 {"corrections", result.corrections},
                                 {"unplanned", result.unplanned},
                                 {"seconds", absl::ToDoubleSeconds(result.took)},
                                 {"median_ms", absl::ToDoubleMilliseconds(result.median)},
                                 {"p99_ms", absl::ToDoubleMilliseconds(result.slowest_of_hundred)},
                                 {"next_nurse", result.next_nurse}}
                      .dump());
  return absl::OkStatus();
}

}  // namespace

void AddPlayCommand(CLI::App& app, CommandLine& line) {
  CLI::App* play =
      app.add_subcommand("play", "Make something happen in a running system in trial mode");
  play->require_subcommand(1);
  play->add_subcommand("morning",
                       "The newest morning that is over: visits confirmed, one longer with two "
                       "nurses, one unplanned, two corrected, two "
                       "phones that come late and repeat themselves")
      ->callback(Runs(line, Play));
}

}  // namespace buurtlog::command
