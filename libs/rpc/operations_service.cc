#include "libs/rpc/operations_service.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "buurtlog/log/v1/operations_service.pb.h"
#include "google/protobuf/util/time_util.h"
#include "libs/base/status_macros.h"

namespace buurtlog::rpc {
namespace {

using eventsourcing::ParkedStream;
using eventsourcing::ProjectionRunner;
using eventsourcing::RebuildProgress;
using eventsourcing::ServiceNode;
using Nodes = std::vector<ServiceNode*>;

log::v1::ServiceStatus StatusOf(ServiceNode& node) {
  log::v1::ServiceStatus status;
  status.set_service(node.service());
  absl::Status ready = node.Ready();
  status.set_ready(ready.ok());
  if (!ready.ok()) status.set_problem(std::string(ready.message()));
  uint64_t entries = 0;
  for (uint32_t p = 0; p < node.log().identity().partitions; ++p) {
    if (auto head = node.log().Head(p); head.ok()) entries += head->next - 1;
  }
  status.set_entries(entries);
  for (const ProjectionRunner* runner : node.read_models()) {
    log::v1::FollowerStatus& follower = *status.add_read_models();
    follower.set_name(runner->spec().name);
    follower.set_lag(runner->lag());
    follower.set_caught_up(runner->caught_up());
    if (absl::Status health = runner->health(); !health.ok())
      follower.set_problem(health.ToString());
  }
  for (const eventsourcing::ProcessRunner* runner : node.processes()) {
    log::v1::FollowerStatus& follower = *status.add_processes();
    follower.set_name(std::string(runner->name()));
    follower.set_caught_up(runner->caught_up());
    if (absl::Status health = runner->health(); !health.ok())
      follower.set_problem(health.ToString());
  }
  return status;
}

void AddParked(const std::string& service, const std::vector<ParkedStream>& streams,
               log::v1::ListParkedResponse& response) {
  for (const ParkedStream& stream : streams) {
    log::v1::Parked& parked = *response.add_parked();
    parked.set_service(service);
    parked.set_follower(stream.read_model);
    parked.set_stream(stream.stream.ToString());
    *parked.mutable_position() = eventsourcing::ToProto(stream.position);
    parked.set_reason(stream.reason);
    *parked.mutable_since() =
        google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(stream.since));
    parked.set_waiting(stream.waiting);
  }
}

absl::StatusOr<log::v1::ListParkedResponse> ListParked(const Nodes& nodes) {
  log::v1::ListParkedResponse response;
  for (ServiceNode* node : nodes) {
    for (ProjectionRunner* runner : node->read_models()) {
      ABSL_ASSIGN_OR_RETURN(std::vector<ParkedStream> parked, runner->Parked());
      AddParked(node->service(), parked, response);
    }
    for (eventsourcing::ProcessRunner* runner : node->processes()) {
      ABSL_ASSIGN_OR_RETURN(std::vector<ParkedStream> parked, runner->Parked());
      AddParked(node->service(), parked, response);
    }
  }
  return response;
}

// Counts the answers of several followers and replies when all have come.
class RetryCount {
 public:
  RetryCount(size_t followers, Reply<log::v1::RetryParkedResponse> reply)
      : left_(followers), reply_(std::move(reply)) {}

  void Done(absl::StatusOr<size_t> streams) {
    Reply<log::v1::RetryParkedResponse> reply;
    absl::StatusOr<log::v1::RetryParkedResponse> result;
    {
      absl::MutexLock lock(&mutex_);
      if (streams.ok()) {
        streams_ += *streams;
      } else {
        status_.Update(streams.status());
      }
      if (--left_ > 0) return;
      reply = std::move(reply_);
      if (status_.ok()) {
        result.emplace().set_streams(streams_);
      } else {
        result = status_;
      }
    }
    reply(std::move(result));
  }

 private:
  absl::Mutex mutex_;
  size_t left_ ABSL_GUARDED_BY(mutex_);
  size_t streams_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  Reply<log::v1::RetryParkedResponse> reply_ ABSL_GUARDED_BY(mutex_);
};

void RetryParked(const Nodes& nodes, const std::string& follower,
                 Reply<log::v1::RetryParkedResponse> reply) {
  std::vector<ProjectionRunner*> models;
  std::vector<eventsourcing::ProcessRunner*> processes;
  for (ServiceNode* node : nodes) {
    for (ProjectionRunner* runner : node->read_models()) {
      if (follower.empty() || runner->spec().name == follower) models.push_back(runner);
    }
    for (eventsourcing::ProcessRunner* runner : node->processes()) {
      if (follower.empty() || runner->name() == follower) processes.push_back(runner);
    }
  }
  if (models.empty() && processes.empty()) {
    return reply(absl::NotFoundError("no read model or process of this name at this address"));
  }
  auto count = std::make_shared<RetryCount>(models.size() + processes.size(), std::move(reply));
  for (ProjectionRunner* runner : models) {
    runner->RetryParked(
        [count](absl::StatusOr<size_t> streams) { count->Done(std::move(streams)); });
  }
  for (eventsourcing::ProcessRunner* runner : processes) {
    runner->RetryParked(
        [count](absl::StatusOr<size_t> streams) { count->Done(std::move(streams)); });
  }
}

// Rebuilds one read model after the other and streams the progress. Holds itself alive until the
// end.
class RebuildCall : public std::enable_shared_from_this<RebuildCall> {
 public:
  using Writer = std::shared_ptr<StreamWriter<log::v1::RebuildReadModelsResponse>>;
  struct Item {
    std::string service;
    ProjectionRunner* runner = nullptr;
  };
  RebuildCall(std::vector<Item> items, Writer writer)
      : items_(std::move(items)), writer_(std::move(writer)) {}

  void Next() {
    if (at_ == items_.size()) return writer_->Finish(absl::OkStatus());
    items_[at_].runner->Rebuild(
        [self = shared_from_this()](absl::StatusOr<RebuildProgress> progress) {
          self->OnProgress(std::move(progress));
        });
  }

 private:
  void OnProgress(absl::StatusOr<RebuildProgress> progress) {
    if (!progress.ok()) return writer_->Finish(progress.status());
    log::v1::RebuildReadModelsResponse response;
    response.set_service(items_[at_].service);
    response.set_read_model(items_[at_].runner->spec().name);
    response.set_events(progress->events);
    response.set_records_total(progress->events_total);
    response.set_events_per_second(progress->events_per_second);
    response.set_seconds_left(absl::ToDoubleSeconds(progress->time_left));
    response.set_done(progress->done);
    const bool done = progress->done;
    {
      // A caller that reads slowly misses steps on the way, never the end of a read model.
      absl::MutexLock lock(&mutex_);
      if (writing_ && !done) return;
      waiting_.push_back(std::move(response));
      if (writing_) return;
      writing_ = true;
    }
    WriteNext();
  }

  void WriteNext() {
    log::v1::RebuildReadModelsResponse response;
    {
      absl::MutexLock lock(&mutex_);
      if (waiting_.empty()) {
        writing_ = false;
        return;
      }
      response = std::move(waiting_.front());
      waiting_.pop_front();
    }
    const bool done = response.done();
    writer_->Write(std::move(response), [self = shared_from_this(), done](absl::Status written) {
      if (!written.ok()) return self->writer_->Finish(written);
      self->WriteNext();
      if (done) {
        ++self->at_;
        self->Next();
      }
    });
  }

  std::vector<Item> items_;
  Writer writer_;
  size_t at_ = 0;
  absl::Mutex mutex_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<log::v1::RebuildReadModelsResponse> waiting_ ABSL_GUARDED_BY(mutex_);
};

void Rebuild(const Nodes& nodes, const log::v1::RebuildReadModelsRequest& request,
             RebuildCall::Writer writer) {
  std::vector<RebuildCall::Item> items;
  for (ServiceNode* node : nodes) {
    for (ProjectionRunner* runner : node->read_models()) {
      const auto& names = request.read_models();
      if (names.empty() || std::count(names.begin(), names.end(), runner->spec().name) > 0) {
        items.push_back({node->service(), runner});
      }
    }
  }
  if (items.empty())
    return writer->Finish(absl::NotFoundError("no read model of this name at this address"));
  std::make_shared<RebuildCall>(std::move(items), std::move(writer))->Next();
}

}  // namespace

Service MakeOperationsService(std::vector<ServiceNode*> nodes) {
  Service service("buurtlog.log.v1.OperationsService");
  service.Unary<log::v1::GetStatusRequest, log::v1::GetStatusResponse>(
      "GetStatus", [nodes](const CallContext&, const log::v1::GetStatusRequest&,
                           Reply<log::v1::GetStatusResponse> reply) {
        log::v1::GetStatusResponse response;
        for (ServiceNode* node : nodes) *response.add_services() = StatusOf(*node);
        reply(std::move(response));
      });
  service.Unary<log::v1::ListParkedRequest, log::v1::ListParkedResponse>(
      "ListParked",
      [nodes](const CallContext&, const log::v1::ListParkedRequest&,
              Reply<log::v1::ListParkedResponse> reply) { reply(ListParked(nodes)); });
  service.Unary<log::v1::RetryParkedRequest, log::v1::RetryParkedResponse>(
      "RetryParked", [nodes](const CallContext&, const log::v1::RetryParkedRequest& request,
                             Reply<log::v1::RetryParkedResponse> reply) {
        RetryParked(nodes, request.follower(), std::move(reply));
      });
  service.ServerStream<log::v1::RebuildReadModelsRequest, log::v1::RebuildReadModelsResponse>(
      "RebuildReadModels",
      [nodes](const CallContext&, const log::v1::RebuildReadModelsRequest& request,
              RebuildCall::Writer writer) { Rebuild(nodes, request, std::move(writer)); });
  return service;
}

}  // namespace buurtlog::rpc
