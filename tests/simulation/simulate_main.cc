// `simulate`: runs simulated worlds, one seed after another, and reports what was done and found.
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "libs/base/absl_view.h"
#include "tests/simulation/run.h"

namespace buurtlog::simulation {
namespace {

constexpr char kUsage[] = R"(usage: simulate [options]

Runs simulated worlds: executors, logs, state stores, read models and a process on one seeded scheduler, with a simulated
clock, disk and network, crashing again and again; and checks that nothing acknowledged is lost, nothing counts twice, and
everything shown is what the log says. Exit code 1 when something does not hold; what reruns it is printed.

  --seed N        this seed only
  --first N       begin at seed N (default: 1)
  --seeds N       so many seeds (default: 20)
  --minutes M     go on to further seeds for so many minutes instead
  --kind KIND     sqlite, memory, kafka or damage worlds only (default: in turn)
  --until_found   end at the first violation
  --json          the report as one JSON object
  --trace         print the trace of every seed: equal where two runs did the same
  --help          this text
)";

struct Options {
  uint64_t first = 1;
  uint64_t seeds = 20;
  double minutes = 0;
  std::vector<Kind> kinds{kKinds.begin(), kKinds.end()};
  bool until_found = false;
  bool json = false;
  bool trace = false;
};

std::optional<Options> ParseOptions(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    const absl::string_view value = i + 1 < argc ? argv[i + 1] : "";
    if (name == "--json" || name == "--trace" || name == "--until_found") {
      options.json |= name == "--json";
      options.trace |= name == "--trace";
      options.until_found |= name == "--until_found";
      continue;
    }
    ++i;
    if (name == "--seed" && absl::SimpleAtoi(value, &options.first)) {
      options.seeds = 1;
    } else if (name == "--kind") {
      const absl::StatusOr<Kind> kind = KindNamed(StdView(value));
      if (!kind.ok()) return std::nullopt;
      options.kinds = {*kind};
    } else if (!(name == "--first" && absl::SimpleAtoi(value, &options.first)) &&
               !(name == "--seeds" && absl::SimpleAtoi(value, &options.seeds)) &&
               !(name == "--minutes" && absl::SimpleAtod(value, &options.minutes))) {
      return std::nullopt;
    }
  }
  return options;
}

// What runs now, for when a CHECK of the product ends the process.
std::string& RunningCommand() {
  static auto* const command = new std::string;
  return *command;
}

void TellCommand(int) {
  const std::string text =
      absl::StrCat("VIOLATION the process ended\n  again: ", RunningCommand(), "\n");
  if (write(STDERR_FILENO, text.data(), text.size()) < 0) return;
}

struct Figure {
  std::string name;
  uint64_t value = 0;
  bool per_minute = false;
};

std::vector<Figure> FiguresOf(const Report& report, uint64_t worlds) {
  return {{"worlds", worlds, false},
          {"commands", report.commands, true},
          {"answers", report.answers, false},
          {"handed to another replica", report.handed, false},
          {"records that count", report.records, false},
          {"queries", report.queries, false},
          {"crashes", report.crashes, true},
          {"  in the middle of a disk operation", report.crashes_in_operation, false},
          {"  process killed, all writes kept", report.after_crash[0], false},
          {"  power lost, unsynced writes lost", report.after_crash[1], false},
          {"  power lost, some in order", report.after_crash[2], false},
          {"  power lost, sectors torn", report.after_crash[3], false},
          {"clean stops", report.stops, false},
          {"starts that failed and were repeated", report.starts_failed, false},
          {"faults injected", report.faults, false},
          {"bits flipped", report.flips, false},
          {"  of these told as DATA_LOSS", report.flips_found, false},
          {"checks of everything", report.checks, false},
          {"violations", report.violations.size(), false}};
}

void PrintReport(const Report& report, uint64_t worlds, double minutes, bool json) {
  const std::vector<Figure> figures = FiguresOf(report, worlds);
  if (json) {
    std::string text = absl::StrCat("{\"minutes\":", minutes);
    for (const Figure& figure : figures) {
      absl::StrAppend(&text, ",\"", absl::StripLeadingAsciiWhitespace(figure.name),
                      "\":", figure.value);
    }
    std::printf("%s}\n", text.c_str());
    return;
  }
  for (const Figure& figure : figures) {
    std::printf("%-40s %12llu", figure.name.c_str(), static_cast<unsigned long long>(figure.value));
    if (figure.per_minute && minutes > 0) {
      std::printf("   %.0f a minute", static_cast<double>(figure.value) / minutes);
    }
    std::printf("\n");
  }
  std::printf("%-40s %12.1f\n", "minutes", minutes);
}

int Run(const Options& options) {
  std::signal(SIGABRT, TellCommand);
  const absl::Time begin = absl::Now();
  Report total;
  uint64_t worlds = 0;
  for (uint64_t i = 0; options.minutes > 0 ? absl::Now() - begin < absl::Minutes(options.minutes)
                                           : i < options.seeds * options.kinds.size();
       ++i) {
    const uint64_t seed = options.first + i / options.kinds.size();
    const Kind kind = options.kinds[i % options.kinds.size()];
    RunningCommand() = CommandFor(kind, seed);
    const Report report = RunSeed(kind, seed);
    ++worlds;
    total.Add(report);
    for (const std::string& violation : report.violations) {
      std::fprintf(stderr, "VIOLATION %s\n  again: %s\n", violation.c_str(),
                   CommandFor(kind, seed).c_str());
    }
    if (options.trace) {
      std::printf("%s %llu %016llx\n", NameOf(kind).c_str(), static_cast<unsigned long long>(seed),
                  static_cast<unsigned long long>(report.trace));
    }
    if (options.until_found && !report.violations.empty()) break;
  }
  PrintReport(total, worlds, absl::ToDoubleMinutes(absl::Now() - begin), options.json);
  return total.violations.empty() ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace
}  // namespace buurtlog::simulation

int main(int argc, char** argv) {
  using namespace buurtlog::simulation;
  if (argc == 2 && std::string_view(argv[1]) == "--help") {
    std::fputs(kUsage, stdout);
    return EXIT_SUCCESS;
  }
  const std::optional<Options> options = ParseOptions(argc, argv);
  if (!options.has_value()) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  return Run(*options);
}
