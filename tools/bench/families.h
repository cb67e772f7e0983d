// What is measured: each family adds its rows, and says on standard error what it is doing.
#pragma once

#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "tools/bench/bench_options.h"
#include "tools/bench/report.h"

namespace buurtlog::bench {

using AddRow = absl::FunctionRef<void(Row)>;

// A durable command through gRPC, beside an empty call, the bare-file server, a bare fdatasync and
// UmaDB, in interleaved rounds.
absl::Status MeasureCommand(const BenchOptions& options, AddRow add);

// Durable append in process, by 1, 8 and 32 writers.
absl::Status MeasureAppend(const BenchOptions& options, AddRow add);
// Commands that a rule refuses: recorded too.
absl::Status MeasureRefusals(const BenchOptions& options, AddRow add);
// Many commands in one call.
absl::Status MeasureBatch(const BenchOptions& options, AddRow add);

// Reading all events of a stream through gRPC.
absl::Status MeasureLoad(const BenchOptions& options, AddRow add);
// Reading logs from their first entry, every chain verified.
absl::Status MeasureReplay(const BenchOptions& options, AddRow add);
// Folding all read models of a region anew.
absl::Status MeasureRebuild(const BenchOptions& options, AddRow add);
// Start time and memory with the region of 100 teams and two years, which takes minutes to make.
absl::Status MeasureStart(const BenchOptions& options, AddRow add);
// Bytes an event takes on the disk.
absl::Status MeasureSize(const BenchOptions& options, AddRow add);
// Commands on top of ever more events.
absl::Status MeasureHistory(const BenchOptions& options, AddRow add);

// What calls take while the program of another team floods the service, with and without its limit.
absl::Status MeasureFlood(const BenchOptions& options, AddRow add);

// A durable command on Apache Kafka, beside a producer that reads back what it sends and beside
// transactions, in interleaved rounds.
absl::Status MeasureKafka(const BenchOptions& options, AddRow add);

struct Family {
  std::string_view name;
  std::string_view what;
  absl::Status (*measure)(const BenchOptions&, AddRow);
};
// In the order in which they run when none is named.
const std::vector<Family>& Families();

}  // namespace buurtlog::bench
