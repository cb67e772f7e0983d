// The serving half of remote_log.h.
#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "buurtlog/log/v1/log_service.pb.h"
#include "libs/base/check.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"
#include "libs/rpc/remote_log.h"
#include "libs/rpc/stream_reading.h"

namespace buurtlog::rpc {
namespace {

using eventlog::EntryView;
using eventlog::EventLog;
using eventlog::FoldState;
using eventlog::LogReader;
using eventlog::Partition;
using eventlog::ReadLimits;
using log::v1::GetHeadsRequest;
using log::v1::GetHeadsResponse;
using log::v1::GetIdentityRequest;
using log::v1::GetIdentityResponse;
using log::v1::ReadStreamRequest;
using log::v1::ReadStreamResponse;
using log::v1::WatchRequest;
using log::v1::WatchResponse;

// Of one response; an entry that is larger than the rest of the room goes into the next.
constexpr ReadLimits kChunk = {1024, 1 << 20};

// Threads that read streams, of all logs of a process.
constexpr size_t kStreamReaders = 4;

// Runs tasks that read a stream, several at a time. Thread-safe.
class StreamReaders {
 public:
  explicit StreamReaders(Scheduler& scheduler) {
    for (Reader& reader : readers_) {
      reader.queue = scheduler.NewQueue("stream reader", QueueKind::kBlocking);
    }
  }

  // Gives `task` to the reader that has the least to do, the first one of several: that one's
  // caches are warm.
  void Post(Task task) {
    Reader& least =
        *std::min_element(readers_.begin(), readers_.end(),
                          [](const Reader& a, const Reader& b) { return a.tasks < b.tasks; });
    least.tasks.fetch_add(1, std::memory_order_relaxed);
    least.queue->Post([&least, task = std::move(task)]() mutable {
      task();
      least.tasks.fetch_sub(1, std::memory_order_relaxed);
    });
  }

 private:
  struct Reader {
    std::atomic<size_t> tasks = 0;  // waiting or running
    std::unique_ptr<TaskQueue> queue;
  };
  std::array<Reader, kStreamReaders> readers_;
};

class WatchCall;

// One log as it is served. Reading may wait for the disk, so it has a queue that may.
class ServedLog {
 public:
  ServedLog(const LogToServe& served, Scheduler& scheduler);
  ~ServedLog();

  EventLog& reader() { return reader_; }
  // Null: it has none.
  eventsourcing::StateStore* streams() { return streams_; }
  TaskQueue& queue() { return *queue_; }
  void Add(std::shared_ptr<WatchCall> call);
  void Remove(const std::shared_ptr<WatchCall>& call);

 private:
  void Grew(Partition partition);

  EventLog& reader_;
  eventsourcing::StateStore* const streams_;
  absl::Mutex mutex_;
  absl::flat_hash_set<std::shared_ptr<WatchCall>> calls_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<TaskQueue> queue_;
  // Last, so that nothing is posted to a queue that has gone.
  std::unique_ptr<eventlog::Subscription> subscription_;
};

log::v1::LogIdentity ToProto(const eventlog::LogIdentity& identity) {
  log::v1::LogIdentity proto;
  proto.set_log_id(identity.log_id.ToString());
  proto.set_service(identity.service);
  proto.set_topic_version(identity.topic_version);
  proto.set_partitions(identity.partitions);
  proto.set_record_bytes_max(identity.record_bytes_max);
  proto.set_synthetic(identity.synthetic);
  return proto;
}

absl::StatusOr<GetHeadsResponse> Heads(LogReader& reader) {
  GetHeadsResponse response;
  for (Partition partition = 0; partition < reader.identity().partitions; ++partition) {
    ABSL_ASSIGN_OR_RETURN(const FoldState state, reader.Head(partition));
    log::v1::PartitionHead& head = *response.add_heads();
    head.set_partition(partition);
    head.set_sequence(state.next - 1);
    head.set_hash(state.head_hash.ToBytes());
    head.set_epoch(state.epoch);
    head.set_owner(state.owner);
  }
  return response;
}

// One Watch call. Its log holds it until it has finished. All but Wake runs on the log's queue.
class WatchCall final : public std::enable_shared_from_this<WatchCall> {
 public:
  WatchCall(ServedLog& log, const WatchRequest& request,
            std::shared_ptr<StreamWriter<WatchResponse>> writer)
      : log_(log),
        partition_(request.partition()),
        from_(std::max<eventlog::Sequence>(request.from_sequence(), 1)),
        follow_(request.follow()),
        writer_(std::move(writer)) {}

  Partition partition() const { return partition_; }

  void Start() {
    writer_->OnEnd([weak = weak_from_this()] {
      if (const std::shared_ptr<WatchCall> self = weak.lock()) self->Wake();
    });
    absl::StatusOr<FoldState> place = Place();
    if (!place.ok()) {
      Finish(place.status());
      return;
    }
    at_ = *std::move(place);
    // The first response may be empty: it tells the reader how far the log goes.
    Send();
  }

  // Something has changed: look.
  void Wake() {
    log_.queue().Post([self = shared_from_this()] { self->Pump(); });
  }

 private:
  absl::StatusOr<FoldState> Place() {
    if (from_ == 1) return eventlog::InitialFoldState(log_.reader().identity(), partition_);
    ABSL_ASSIGN_OR_RETURN(FoldState head, log_.reader().Head(partition_));
    if (head.next == from_) return head;
    if (head.next < from_) {
      return absl::OutOfRangeError(
          absl::StrCat("partition ", partition_, " ends at sequence ", head.next - 1));
    }
    return log_.reader().Seek(partition_, from_);
  }

  void Pump() {
    if (finished_ || writing_) return;
    if (writer_->ended()) {
      Finish(absl::CancelledError("the call has ended"));
      return;
    }
    absl::StatusOr<FoldState> head = log_.reader().Head(partition_);
    if (!head.ok()) {
      Finish(head.status());
    } else if (head->next > at_.next) {
      Send();
    } else if (!follow_) {
      Finish(absl::OkStatus());
    }
  }

  void Send() {
    WatchResponse response;
    const absl::Status status =
        log_.reader().Read(partition_, at_, kChunk, [&](const EntryView& entry) {
          response.add_entries(std::string(entry.bytes));
          return absl::OkStatus();
        });
    // What is before the damage is right, and the reader gets it.
    if (!status.ok() && response.entries().empty()) {
      Finish(status);
      return;
    }
    const absl::StatusOr<FoldState> head = log_.reader().Head(partition_);
    response.set_head_sequence((head.ok() ? std::max(head->next, at_.next) : at_.next) - 1);
    writing_ = true;
    writer_->Write(std::move(response), [self = shared_from_this()](absl::Status) {
      // Whether the call has ended, Pump sees for itself.
      TaskQueue& queue = self->log_.queue();
      queue.Post([self] {
        self->writing_ = false;
        self->Pump();
      });
    });
  }

  void Finish(const absl::Status& status) {
    finished_ = true;
    writer_->Finish(status);
    log_.Remove(shared_from_this());
  }

  ServedLog& log_;
  const Partition partition_;
  const eventlog::Sequence from_;
  const bool follow_;
  const std::shared_ptr<StreamWriter<WatchResponse>> writer_;
  FoldState at_;
  bool finished_ = false;
  bool writing_ = false;
};

ServedLog::ServedLog(const LogToServe& served, Scheduler& scheduler)
    : reader_(*served.log),
      streams_(served.streams),
      queue_(scheduler.NewQueue("log service", QueueKind::kBlocking)),
      subscription_(reader_.Watch([this](Partition partition) { Grew(partition); })) {}

ServedLog::~ServedLog() = default;

void ServedLog::Add(std::shared_ptr<WatchCall> call) {
  absl::MutexLock lock(&mutex_);
  calls_.insert(std::move(call));
}

void ServedLog::Remove(const std::shared_ptr<WatchCall>& call) {
  absl::MutexLock lock(&mutex_);
  calls_.erase(call);
}

void ServedLog::Grew(Partition partition) {
  absl::MutexLock lock(&mutex_);
  for (const std::shared_ptr<WatchCall>& call : calls_) {
    if (call->partition() == partition) call->Wake();
  }
}

void StartWatch(ServedLog& log, const WatchRequest& request,
                std::shared_ptr<StreamWriter<WatchResponse>> writer) {
  if (request.partition() >= log.reader().identity().partitions) {
    writer->Finish(InvalidField("partition", "is not one of this log"));
    return;
  }
  const auto call = std::make_shared<WatchCall>(log, request, std::move(writer));
  // Before its first look, so that nothing comes in between unnoticed.
  log.Add(call);
  log.queue().Post([call] { call->Start(); });
}

class ServedLogs {
 public:
  ServedLogs(const std::vector<LogToServe>& logs, Scheduler& scheduler)
      : stream_readers_(scheduler) {
    for (const LogToServe& log : logs) {
      const bool added =
          logs_.emplace(log.log->identity().service, std::make_unique<ServedLog>(log, scheduler))
              .second;
      CHECK(added);
    }
  }
  absl::StatusOr<ServedLog*> Find(const std::string& service) {
    const auto found = logs_.find(service);
    if (found == logs_.end()) return absl::NotFoundError("no such service at this address");
    return found->second.get();
  }
  StreamReaders& stream_readers() { return stream_readers_; }

 private:
  std::map<std::string, std::unique_ptr<ServedLog>> logs_;
  StreamReaders stream_readers_;  // last: its tasks read the logs
};

}  // namespace

Service MakeLogService(const std::vector<LogToServe>& logs, Scheduler& scheduler) {
  const auto served = std::make_shared<ServedLogs>(logs, scheduler);
  Service service("buurtlog.log.v1.LogService");
  service.Unary<GetIdentityRequest, GetIdentityResponse>(
      "GetIdentity", [served](const CallContext&, const GetIdentityRequest& request,
                              Reply<GetIdentityResponse> reply) {
        const absl::StatusOr<ServedLog*> log = served->Find(request.service());
        if (!log.ok()) return reply(log.status());
        GetIdentityResponse response;
        *response.mutable_identity() = ToProto((*log)->reader().identity());
        reply(std::move(response));
      });
  service.Unary<GetHeadsRequest, GetHeadsResponse>(
      "GetHeads",
      [served](const CallContext&, const GetHeadsRequest& request, Reply<GetHeadsResponse> reply) {
        const absl::StatusOr<ServedLog*> log = served->Find(request.service());
        if (!log.ok()) return reply(log.status());
        (*log)->queue().Post([&reader = (*log)->reader(), reply = std::move(reply)]() mutable {
          reply(Heads(reader));
        });
      });
  service.ServerStream<WatchRequest, WatchResponse>(
      "Watch", [served](const CallContext&, const WatchRequest& request,
                        std::shared_ptr<StreamWriter<WatchResponse>> writer) {
        const absl::StatusOr<ServedLog*> log = served->Find(request.service());
        if (!log.ok()) return writer->Finish(log.status());
        StartWatch(**log, request, std::move(writer));
      });
  service.Unary<ReadStreamRequest, ReadStreamResponse>(
      "ReadStream", [served](const CallContext&, const ReadStreamRequest& request,
                             Reply<ReadStreamResponse> reply) {
        const absl::StatusOr<ServedLog*> log = served->Find(request.service());
        if (!log.ok()) return reply(log.status());
        served->stream_readers().Post([&log = **log, &request, reply = std::move(reply)]() mutable {
          reply(ReadStream(log.reader(), log.streams(), request));
        });
      });
  return service;
}

}  // namespace buurtlog::rpc
