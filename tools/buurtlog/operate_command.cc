#include "tools/buurtlog/operate_command.h"

#include <google/protobuf/util/time_util.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "buurtlog/log/v1/operations_service.grpc.pb.h"
#include "libs/base/about.h"
#include "libs/base/status_macros.h"
#include "tools/buurtlog/catalogue.h"
#include "tools/buurtlog/sign_in.h"

namespace buurtlog::command {
namespace {

constexpr double kWaitSecondsMax = 86'400;

using log::v1::OperationsService;

std::string Speed(double events_per_second, absl::Duration left) {
  return absl::StrFormat("%s events/s, %s left", Grouped(static_cast<uint64_t>(events_per_second)),
                         absl::FormatDuration(absl::Ceil(left, absl::Seconds(1))));
}

// ---- status

absl::StatusOr<log::v1::GetStatusResponse> StatusOf(CommandLine& line) {
  ABSL_ASSIGN_OR_RETURN(Session session, OperatorSession(line.MakeSessionOptions()));
  auto stub = OperationsService::NewStub(session.channel());
  return session
      .Call<OperationsService::Stub, log::v1::GetStatusRequest, log::v1::GetStatusResponse>(
          *stub, &OperationsService::Stub::GetStatus, log::v1::GetStatusRequest());
}

bool AllReady(const log::v1::GetStatusResponse& status) {
  for (const auto& service : status.services()) {
    if (!service.ready()) return false;
  }
  return status.services_size() > 0;
}

absl::Status Status(CommandLine& line, const Output& output, double wait_seconds) {
  const absl::Time give_up = absl::Now() + absl::Seconds(wait_seconds);
  absl::StatusOr<log::v1::GetStatusResponse> status = StatusOf(line);
  while (absl::Now() < give_up && (!status.ok() || !AllReady(*status))) {
    output.Progress("waiting for the system to be ready");
    usleep(200'000);
    status = StatusOf(line);
  }
  output.ProgressEnd();
  ABSL_RETURN_IF_ERROR(status.status());
  output.Json(*status);
  Table table({"service", "state", "entries", "read models", "behind"}, {2, 3, 4});
  for (const auto& service : status->services()) {
    uint64_t lag = 0;
    for (const auto& follower : service.read_models()) lag += follower.lag();
    table.Add({service.service(),
               service.ready() ? "ready" : absl::StrCat("not ready: ", service.problem()),
               Grouped(service.entries()), absl::StrCat(service.read_models_size()), Grouped(lag)});
  }
  table.Print(output);
  if (!AllReady(*status)) return absl::UnavailableError("the system is not ready");
  return absl::OkStatus();
}

// ---- parked

absl::Status Parked(CommandLine& line, const Output& output, bool retry) {
  ABSL_ASSIGN_OR_RETURN(Session session, OperatorSession(line.MakeSessionOptions()));
  auto stub = OperationsService::NewStub(session.channel());
  if (retry) {
    ABSL_ASSIGN_OR_RETURN(
        auto retried,
        (session.Call<OperationsService::Stub, log::v1::RetryParkedRequest,
                      log::v1::RetryParkedResponse>(*stub, &OperationsService::Stub::RetryParked,
                                                    log::v1::RetryParkedRequest())));
    output.Line(absl::StrCat(retried.streams(), " streams went on"));
    output.Json(retried);
  }
  ABSL_ASSIGN_OR_RETURN(
      auto parked,
      (session
           .Call<OperationsService::Stub, log::v1::ListParkedRequest, log::v1::ListParkedResponse>(
               *stub, &OperationsService::Stub::ListParked, log::v1::ListParkedRequest())));
  output.Json(parked);
  if (parked.parked().empty()) {
    output.Line("nothing is parked");
    return absl::OkStatus();
  }
  Table table({"service", "follower", "stream", "place", "since", "waiting", "reason"}, {5});
  for (const auto& p : parked.parked()) {
    table.Add({p.service(), p.follower(), p.stream(),
               absl::StrCat(p.position().service(), "/", p.position().partition(), "/",
                            p.position().sequence()),
               LocalTime(absl::FromUnixMicros(
                   google::protobuf::util::TimeUtil::TimestampToMicroseconds(p.since()))),
               absl::StrCat(p.waiting()), p.reason()});
  }
  table.Print(output);
  return absl::OkStatus();
}

// ---- replay

absl::Status Rebuild(CommandLine& line, const Output& output) {
  SessionOptions options = line.MakeSessionOptions();
  options.timeout = absl::Hours(24);
  ABSL_ASSIGN_OR_RETURN(Session session, OperatorSession(options));
  auto stub = OperationsService::NewStub(session.channel());
  grpc::ClientContext context;
  session.Prepare(context);
  auto stream = stub->RebuildReadModels(&context, log::v1::RebuildReadModelsRequest());
  output.Heading("Throwing every read model away and folding it anew, beside the live one");
  log::v1::RebuildReadModelsResponse step;
  while (stream->Read(&step)) {
    output.Json(step);
    const std::string what = absl::StrFormat("%s/%s: %s events", step.service(), step.read_model(),
                                             Grouped(step.events()));
    if (step.done()) {
      output.ProgressEnd();
      output.Line(absl::StrFormat(
          "  %-28s %s events, %s events/s", absl::StrCat(step.service(), "/", step.read_model()),
          Grouped(step.events()), Grouped(static_cast<uint64_t>(step.events_per_second()))));
    } else {
      output.Progress(absl::StrCat(
          what, ", ", Speed(step.events_per_second(), absl::Seconds(step.seconds_left()))));
    }
  }
  return rpc::FromGrpc(stream->Finish());
}

// Reads every partition to its end, or to the first damage in it. All that is damaged is named.
absl::Status VerifyChains(const OpenLogs& logs, const Output& output, uint64_t& entries) {
  absl::Status damage;
  for (const auto& reader : logs.readers) {
    const std::string& service = reader->identity().service;
    for (uint32_t p = 0; p < reader->identity().partitions; ++p) {
      eventlog::FoldState at = eventlog::InitialFoldState(reader->identity(), p);
      absl::Status read;
      for (uint64_t before = 0; read.ok() && at.next != before;) {
        before = at.next;
        read = reader->Read(p, at, {.entries_max = 65'536, .bytes_max = 32 << 20},
                            [](const eventlog::EntryView&) { return absl::OkStatus(); });
        output.Progress(
            absl::StrCat("chain of ", service, "/", p, ": ", Grouped(at.next - 1), " entries"));
      }
      entries += at.next - 1;
      if (read.ok()) continue;
      output.ProgressEnd();
      read = About(absl::StrCat("log of ", service), read);
      output.Line(absl::StrCat("  ", output.Bad("DAMAGED"), "  ", read.message()));
      damage.Update(read);
    }
  }
  output.ProgressEnd();
  return damage;
}

absl::Status Verify(CommandLine& line, const Output& output) {
  std::unique_ptr<Scheduler> scheduler = NewThreadPoolScheduler();
  ABSL_ASSIGN_OR_RETURN(OpenLogs logs, OpenLogsOf(line.data_folder, *scheduler, line.log));
  uint64_t entries = 0;
  const absl::Time begin = absl::Now();
  ABSL_RETURN_IF_ERROR(VerifyChains(logs, output, entries));
  const double seconds = absl::ToDoubleSeconds(absl::Now() - begin);
  output.Line(absl::StrFormat(
      "Hash chains: %s entries verified in %.1f s (%s/s)", Grouped(entries), seconds,
      Grouped(static_cast<uint64_t>(static_cast<double>(entries) / std::max(seconds, 1e-6)))));

  const std::string scratch = absl::StrCat(line.data_folder, "/replay-", getpid());
  bool all_equal = true;
  Table table({"read model", "rows", "records", "live digest", "replayed digest", ""}, {1, 2});
  for (const CatalogueEntry& service : Catalogue()) {
    for (const auto& model : service.read_models()) {
      const std::string name = absl::StrCat(service.service, "/", model->spec().name);
      auto verified = eventsourcing::VerifyReadModel(
          absl::StrCat(line.data_folder, "/", service.service, "/read_models"), scratch, *model,
          logs.sources, [&](const eventsourcing::RebuildProgress& progress) {
            output.Progress(absl::StrCat("replaying ", name, ": ", Grouped(progress.events),
                                         " events, ",
                                         Speed(progress.events_per_second, progress.time_left)));
          });
      output.ProgressEnd();
      if (!verified.ok()) {
        std::error_code ignored;
        std::filesystem::remove_all(scratch, ignored);
        return absl::Status(verified.status().code(),
                            absl::StrCat(name, ": ", verified.status().message()));
      }
      all_equal = all_equal && verified->equal();
      table.Add({name, Grouped(verified->live.rows), Grouped(verified->records),
                 verified->live.content.substr(0, 16), verified->replayed.content.substr(0, 16),
                 verified->equal() ? output.Good("equal") : output.Bad("NOT EQUAL")});
      output.JsonText(nlohmann::json{{"read_model", name},
                                     {"rows", verified->live.rows},
                                     {"records", verified->records},
                                     {"live", verified->live.content},
                                     {"replayed", verified->replayed.content},
                                     {"equal", verified->equal()}}
                          .dump());
    }
  }
  std::error_code ignored;
  std::filesystem::remove_all(scratch, ignored);
  table.Print(output);
  if (!all_equal)
    return absl::DataLossError(
        "a read model is not what the log says; `buurtlog replay --rebuild` folds it anew");
  output.Line(output.Good("equal"));
  return absl::OkStatus();
}

absl::Status Replay(CommandLine& line, const Output& output, bool rebuild, bool verify) {
  if (!rebuild && !verify)
    return absl::InvalidArgumentError("replay needs --verify, --rebuild, or both");
  if (rebuild) ABSL_RETURN_IF_ERROR(Rebuild(line, output));
  if (verify) ABSL_RETURN_IF_ERROR(Verify(line, output));
  return absl::OkStatus();
}

}  // namespace

void AddOperateCommands(CLI::App& app, CommandLine& line) {
  auto wait = std::make_shared<double>(0);
  CLI::App* status = app.add_subcommand(
      "status", "How the services are; exit code 0 when all are ready, 5 when not");
  status->add_option("--wait", *wait, "Wait this many seconds for them to be ready")
      ->check(NumberFrom(0, kWaitSecondsMax))
      ->capture_default_str();
  status->callback(
      Runs(line, [wait](CommandLine& l, const Output& o) { return Status(l, o, *wait); }));

  auto retry = std::make_shared<bool>(false);
  CLI::App* parked =
      app.add_subcommand("parked", "Streams whose event could not be applied and wait for a mend");
  parked->add_flag("--retry", *retry, "Try them again, in order");
  parked->callback(
      Runs(line, [retry](CommandLine& l, const Output& o) { return Parked(l, o, *retry); }));

  auto rebuild = std::make_shared<bool>(false);
  auto verify = std::make_shared<bool>(false);
  CLI::App* replay = app.add_subcommand(
      "replay",
      "Fold the log anew: prove that the read models are what it says, or make them again");
  replay->add_flag("--verify", *verify,
                   "Verify every hash chain, fold each read model into a fresh copy and compare "
                   "digests (reads the data folder, beside "
                   "a running system or without); exit code 6 when anything differs or is damaged");
  replay->add_flag(
      "--rebuild", *rebuild,
      "Throw every read model of the running system away and fold it anew, with progress");
  replay->callback(Runs(line, [rebuild, verify](CommandLine& l, const Output& o) {
    return Replay(l, o, *rebuild, *verify);
  }));
}

}  // namespace buurtlog::command
