#include "libs/eventsourcing/process_run.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/refusal.h"
#include "libs/eventsourcing/command_executor.h"
#include "libs/eventsourcing/log_lanes.h"

namespace buurtlog::eventsourcing {
namespace {

// Answers for ever: the same command under the same key would get them again.
bool IsRefusal(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) || absl::IsAlreadyExists(status) ||
         absl::IsAborted(status);
}

// Asked first: what the region does not write yet is refused only until it does.
bool IsWorthAnotherTry(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsResourceExhausted(status) ||
         absl::IsDeadlineExceeded(status) || StatusReason(status) == kWriteRelease;
}

std::vector<Command> CommandsFor(const DecodedEvent& event, const Process& process) {
  std::vector<Command> commands = process.React(event.envelope, *event.event);
  for (size_t i = 0; i < commands.size(); ++i) {
    Command& command = commands[i];
    command.idempotency_key =
        DerivedUuid(event.envelope.event_id, absl::StrCat(std::string(process.name()), "/", i));
    command.key_has_age = false;
    command.actor = log::v1::Actor();
    command.actor.set_role(access::v1::ROLE_SERVICE);
    command.actor.set_access_point(std::string(process.name()));
    const Uuid& correlation = event.envelope.correlation_id;
    command.correlation_id = correlation.IsNil() ? event.envelope.idempotency_key : correlation;
    command.causation_id = event.envelope.event_id;
    command.occurred_at = event.envelope.occurred_at;
  }
  return commands;
}

void Submit(const std::shared_ptr<RecordRun>& run, const RunParts& parts) {
  run->waits = true;
  parts.executor->Execute(
      run->commands[run->next_command],
      [run, gate = parts.gate, queue = parts.queue](absl::StatusOr<type::v1::Receipt> receipt) {
        gate->Post(*queue, [run, status = receipt.status()] {
          run->waits = false;
          run->answer = status;
          run->resume();
        });
      });
}

}  // namespace

prometheus::Counter& RefusalCounter(prometheus::Registry& registry, const std::string& process) {
  return prometheus::BuildCounter()
      .Name("buurtlog_process_refusals_total")
      .Help("Commands of processes that a rule refused.")
      .Register(registry)
      .Add({{"process", process}});
}

RunState Continue(const std::shared_ptr<RecordRun>& run, const RunParts& parts) {
  while (!run->waits) {
    if (run->answer.has_value()) {
      const absl::Status answer = *std::exchange(run->answer, std::nullopt);
      if (IsWorthAnotherTry(answer)) {
        run->waits = true;
        parts.queue->PostAfter(FollowAgainAfter(++run->failures), [run] {
          run->waits = false;
          run->resume();
        });
        return RunState::kWaits;
      }
      if (!answer.ok() && !IsRefusal(answer)) {
        run->failure = answer;
        return RunState::kFailed;
      }
      if (!answer.ok()) parts.refusals->Increment();
      run->failures = 0;
      ++run->next_command;
    }
    if (run->next_command < run->commands.size()) {
      Submit(run, parts);
      return RunState::kWaits;
    }
    if (run->next_event == run->events.size()) return RunState::kDone;
    run->commands = CommandsFor(run->events[run->next_event++], *parts.process);
    run->next_command = 0;
  }
  return RunState::kWaits;
}

}  // namespace buurtlog::eventsourcing
