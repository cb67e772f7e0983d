#include "tools/bench/interleaved.h"

#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "libs/base/status_macros.h"
#include "tools/bench/report.h"

namespace buurtlog::bench {
namespace {

void Tell(const std::string& name, const LoadResult& result) {
  std::cerr << absl::StreamFormat(
      "  %-10s %8.0f/s  p50 %6.2f ms  p99 %6.2f ms  longest %6.1f ms  client %4.0f µs, server "
      "%4.0f µs a call%s\n",
      name, result.PerSecond(), absl::ToDoubleMilliseconds(result.p50),
      absl::ToDoubleMilliseconds(result.p99), absl::ToDoubleMilliseconds(result.longest),
      absl::ToDoubleMicroseconds(result.ClientCpuPerCall()),
      absl::ToDoubleMicroseconds(result.ServerCpuPerCall()),
      result.repeats > 0 ? absl::StrCat("  ", result.repeats, " lost races") : "");
}

absl::StatusOr<LoadResult> RunOnce(const BenchOptions& options, const Callers& callers,
                                   const Subject& subject) {
  ABSL_ASSIGN_OR_RETURN(const std::unique_ptr<Workload> workload, subject.workload());
  LoadOptions load;
  load.address = subject.running->process->address();
  if (subject.running->issuer != nullptr) {
    const size_t tokens = subject.token_for_each_caller ? callers.callers : 1;
    for (size_t i = 0; i < tokens; ++i)
      load.tokens.push_back(subject.running->NewToken(subject.role));
  }
  load.callers = callers.callers;
  load.connections = callers.connections;
  load.warm_up = options.warm_up;
  load.measured = options.measured;
  ABSL_ASSIGN_OR_RETURN(LoadResult result, RunLoad(load, *subject.running->process, *workload));
  Tell(subject.name, result);
  if (result.errors.empty()) return result;
  const auto& [error, times] = *result.errors.begin();
  return absl::InternalError(
      absl::StrCat(subject.name, " answered ", times, " times with an error: ", error));
}

template <typename Of>
double MedianOf(const std::vector<LoadResult>& rounds, Of of) {
  std::vector<double> values;
  for (const LoadResult& round : rounds) values.push_back(of(round));
  return Median(std::move(values));
}

Summary SummaryOf(const std::vector<LoadResult>& rounds) {
  Summary summary;
  summary.per_second = MedianOf(rounds, [](const LoadResult& r) { return r.PerSecond(); });
  summary.messages_per_second = MedianOf(rounds, [](const LoadResult& r) {
    return static_cast<double>(r.messages) / absl::ToDoubleSeconds(r.measured);
  });
  summary.p50_ms =
      MedianOf(rounds, [](const LoadResult& r) { return absl::ToDoubleMilliseconds(r.p50); });
  summary.p99_ms =
      MedianOf(rounds, [](const LoadResult& r) { return absl::ToDoubleMilliseconds(r.p99); });
  summary.client_micros = MedianOf(
      rounds, [](const LoadResult& r) { return absl::ToDoubleMicroseconds(r.ClientCpuPerCall()); });
  summary.server_micros = MedianOf(
      rounds, [](const LoadResult& r) { return absl::ToDoubleMicroseconds(r.ServerCpuPerCall()); });
  return summary;
}

}  // namespace

std::string NameOf(const Callers& callers) {
  return absl::StrCat(callers.callers, callers.callers == 1 ? " caller" : " callers", ", ",
                      callers.connections,
                      callers.connections == 1 ? " connection" : " connections");
}

std::string Summary::Cost() const {
  return absl::StrFormat("%.0f µs of client, %.0f µs of server a call", client_micros,
                         server_micros);
}

absl::StatusOr<std::vector<Summary>> RunInterleaved(const BenchOptions& options,
                                                    const Callers& callers,
                                                    const std::vector<Subject>& subjects) {
  std::cerr << " " << NameOf(callers) << "\n";
  std::vector<std::vector<LoadResult>> results(subjects.size());
  for (size_t round = 0; round < options.rounds; ++round) {
    for (size_t i = 0; i < subjects.size(); ++i) {
      ABSL_ASSIGN_OR_RETURN(LoadResult result, RunOnce(options, callers, subjects[i]));
      results[i].push_back(std::move(result));
    }
  }
  std::vector<Summary> summaries;
  for (const std::vector<LoadResult>& rounds : results) summaries.push_back(SummaryOf(rounds));
  return summaries;
}

}  // namespace buurtlog::bench
