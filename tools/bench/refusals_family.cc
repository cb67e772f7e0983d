// A rule's refusal is a record too: it costs what a command costs.
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "tools/bench/families.h"
#include "tools/bench/interleaved.h"

namespace buurtlog::bench {
namespace {

// Few enough that all are full when the warm-up is over.
constexpr size_t kFullStreams = 256;

}  // namespace

absl::Status MeasureRefusals(const BenchOptions& options, AddRow add) {
  ABSL_ASSIGN_OR_RETURN(const Running bare_file, StartBenchServer(options, "bare_file"));
  ABSL_ASSIGN_OR_RETURN(const Running tally, StartBenchServer(options, "tally"));
  for (const size_t callers : options.callers) {
    Asked asked;
    asked.callers = callers;
    asked.payload_bytes = options.payload_bytes;
    Asked refused = asked;
    refused.refused = true;
    refused.streams_of_many = options.smoke ? callers : kFullStreams;
    Subject refusals{"refusals", &tally, [refused] { return AddWorkload(refused); }};
    // So many refusals a minute are recorded for a person, and no more.
    refusals.token_for_each_caller = true;
    ABSL_ASSIGN_OR_RETURN(
        const std::vector<Summary> summaries,
        RunInterleaved(options, {callers, 1},
                       {{"bare file", &bare_file, [asked] { return AddWorkload(asked); }},
                        {"ours", &tally, [asked] { return AddWorkload(asked); }},
                        refusals}));
    Row row{absl::StrCat("refusal, ", NameOf(Callers{callers, 1})), summaries[2].per_second,
            "commands/s"};
    row.limit = summaries[0].per_second;
    row.note = absl::StrCat(
        "commands that are not refused: ", static_cast<int64_t>(summaries[1].per_second), "/s");
    add(std::move(row));
  }
  return absl::OkStatus();
}

}  // namespace buurtlog::bench
