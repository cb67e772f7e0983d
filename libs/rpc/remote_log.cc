// The reading half of remote_log.h. log_service.cc serves.
#include "libs/rpc/remote_log.h"

#include <grpcpp/client_context.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <list>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "buurtlog/log/v1/log_service.grpc.pb.h"
#include "libs/base/absl_view.h"
#include "libs/base/check.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/watchers.h"
#include "libs/rpc/status_conversion.h"

namespace buurtlog::rpc {
namespace {

using eventlog::EntryView;
using eventlog::FoldState;
using eventlog::Partition;
using eventlog::Sequence;
using log::v1::LogService;
using log::v1::WatchRequest;
using log::v1::WatchResponse;

constexpr absl::Duration kBackoffMin = absl::Milliseconds(100);
constexpr absl::Duration kBackoffMax = absl::Seconds(5);
constexpr absl::Duration kUnaryWaitMax = absl::Seconds(2);
// Received ahead of one reader of one partition.
constexpr size_t kBufferBytesMax = 4 << 20;
// Readers of one partition at different places at the same time.
constexpr size_t kLanesMax = 4;

absl::Status OutOfReach(const absl::Status& status) {
  return absl::UnavailableError(
      absl::StrCat("the other service's log is out of reach: ", status.message()));
}

// As the contract of a LogReader has it.
absl::Status ToReadStatus(Partition partition, const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated: return status;
    case absl::StatusCode::kOutOfRange:
      return absl::DataLossError(absl::StrCat(
          "partition ", partition, ": the log ends before the reader: ", status.message()));
    default: return OutOfReach(status);
  }
}

absl::StatusOr<eventlog::LogIdentity> FromProto(const log::v1::LogIdentity& proto) {
  eventlog::LogIdentity identity;
  ABSL_ASSIGN_OR_RETURN(identity.log_id, ParseUuid(proto.log_id()));
  identity.service = proto.service();
  identity.topic_version = proto.topic_version();
  identity.partitions = proto.partitions();
  identity.record_bytes_max = proto.record_bytes_max();
  identity.synthetic = proto.synthetic();
  if (identity.partitions == 0 || identity.partitions > eventlog::kPartitionsMax) {
    return absl::DataLossError("the identity of the other service's log is out of range");
  }
  return identity;
}

absl::Status DamageAt(Partition partition, Sequence sequence, std::string_view what) {
  return absl::DataLossError(
      absl::StrCat("partition ", partition, ", sequence ", sequence, ": ", AbslView(what)));
}

// Folds one entry as it came; it must count. UNIMPLEMENTED for an entry of a newer release.
absl::Status FoldEntry(FoldState& at, Partition partition, std::string_view bytes,
                       EntryView* entry) {
  const Sequence sequence = at.next;
  absl::StatusOr<eventlog::FoldResult> folded = eventlog::Fold(at, partition, bytes);
  if (absl::IsUnimplemented(folded.status())) return folded.status();
  if (!folded.ok()) return DamageAt(partition, sequence, StdView(folded.status().message()));
  if (folded->verdict != eventlog::Verdict::kCounts || !folded->filled.empty()) {
    return DamageAt(partition, sequence, "the entry does not follow the chain of the reader");
  }
  if (entry != nullptr) *entry = folded->entry;
  return absl::OkStatus();
}

class Attempt;

// What has come in for one reader of a partition, and how to go on. Guarded by the mutex of the
// log.
struct Lane {
  Partition partition = 0;
  FoldState end;       // behind the last entry that came in
  Sequence first = 1;  // of `entries`
  std::deque<std::string> entries;
  size_t bytes = 0;
  absl::Status status;  // why nothing comes; OK while a call is under way
  absl::Duration backoff = kBackoffMin;
  Attempt* attempt = nullptr;  // the call under way
  bool paused = false;         // the call has nothing asked for, because the buffer is full
  bool gone = false;           // no reader wants it any more
};
using LanePtr = std::shared_ptr<Lane>;

class RemoteLog final : public eventlog::LogReader {
 public:
  RemoteLog(std::shared_ptr<grpc::Channel> channel, std::string service,
            absl::AnyInvocable<std::string()> token, Scheduler& scheduler)
      : channel_(std::move(channel)),
        stub_(LogService::NewStub(channel_)),
        service_(std::move(service)),
        token_(std::move(token)),
        queue_(scheduler.NewQueue("remote log", QueueKind::kCompute)) {}

  ~RemoteLog() override;

  // Waits for the identity.
  absl::Status Connect(absl::Duration wait) {
    grpc::ClientContext context;
    Prepare(context, wait);
    context.set_wait_for_ready(true);
    log::v1::GetIdentityRequest request;
    log::v1::GetIdentityResponse response;
    request.set_service(service_);
    const absl::Status status = FromGrpc(stub_->GetIdentity(&context, request, &response));
    if (absl::IsDeadlineExceeded(status)) return OutOfReach(status);
    ABSL_RETURN_IF_ERROR(status);
    ABSL_ASSIGN_OR_RETURN(identity_, FromProto(response.identity()));
    absl::MutexLock lock(&mutex_);
    lanes_.resize(identity_.partitions);
    return absl::OkStatus();
  }

  const eventlog::LogIdentity& identity() const override { return identity_; }

  absl::Status Read(Partition partition, FoldState& at, const eventlog::ReadLimits& limits,
                    absl::FunctionRef<absl::Status(const EntryView&)> visit) override;
  absl::StatusOr<FoldState> Seek(Partition partition, Sequence from) override;
  absl::StatusOr<FoldState> Head(Partition partition) override;
  std::unique_ptr<eventlog::Subscription> Watch(absl::AnyInvocable<void(Partition)> grew) override {
    return watchers_.Add(std::move(grew));
  }

  // Of an attempt, from a thread of gRPC's.
  void Received(Attempt& attempt, const LanePtr& lane, WatchResponse& response);
  void Ended(Attempt& attempt, const LanePtr& lane, const absl::Status& status);
  // The last that an attempt says; the destructor waits for it.
  void Gone();

 private:
  absl::Status CheckPartition(Partition partition) const {
    if (partition < identity_.partitions) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("no partition ", partition));
  }

  void Prepare(grpc::ClientContext& context, absl::Duration wait) ABSL_LOCKS_EXCLUDED(mutex_) {
    context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoNanoseconds(wait));
    absl::MutexLock lock(&token_mutex_);
    context.AddMetadata("authorization", "Bearer " + token_());
  }

  LanePtr FindLane(Partition partition, const FoldState& at) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The entries from `at` on, taken out of the lane up to the limits.
  absl::StatusOr<std::vector<std::string>> Take(Partition partition, const FoldState& at,
                                                const eventlog::ReadLimits& limits);
  void StartAttempt(const LanePtr& lane);
  absl::Status Append(Lane& lane, WatchResponse& response) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<LogService::Stub> stub_;
  const std::string service_;
  absl::Mutex token_mutex_;
  absl::AnyInvocable<std::string()> token_ ABSL_GUARDED_BY(token_mutex_);
  eventlog::LogIdentity identity_;
  eventlog::Watchers watchers_;
  absl::Mutex mutex_;
  // Of each partition, the lane read last in front.
  std::vector<std::list<LanePtr>> lanes_ ABSL_GUARDED_BY(mutex_);
  int attempts_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  const std::unique_ptr<TaskQueue> queue_;
};

// One Watch call of a lane. Destroys itself when gRPC is done with it.
class Attempt final : public grpc::ClientReadReactor<WatchResponse> {
 public:
  Attempt(RemoteLog& log, LanePtr lane) : log_(log), lane_(std::move(lane)) {}

  grpc::ClientContext& context() { return context_; }
  WatchRequest& request() { return request_; }
  // Sequence of the entry that is read again to find its hash there; 0 when there is none.
  Sequence resume_at = 0;

  void Start(LogService::Stub& stub) {
    stub.async()->Watch(&context_, &request_, this);
    // Reads are also started from outside of gRPC's calls, when a reader has made room.
    AddHold();
    StartRead(&response_);
    StartCall();
  }
  void ReadOn() { StartRead(&response_); }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) {
      RemoveHold();
      return;
    }
    log_.Received(*this, lane_, response_);
  }
  void OnDone(const grpc::Status& status) override {
    RemoteLog& log = log_;
    log.Ended(*this, lane_, FromGrpc(status));
    // The context holds the channel, and gRPC cannot take down the last channel on this, a thread
    // of its own. So it goes first, and the log, which may be waiting to let go of the channel
    // elsewhere, is told afterwards.
    delete this;
    log.Gone();
  }

  RemoteLog& log_;
  const LanePtr lane_;
  grpc::ClientContext context_;
  WatchRequest request_;
  WatchResponse response_;
};

RemoteLog::~RemoteLog() {
  absl::MutexLock lock(&mutex_);
  closing_ = true;
  for (std::list<LanePtr>& lanes : lanes_) {
    for (const LanePtr& lane : lanes) {
      if (lane->attempt == nullptr) continue;
      lane->attempt->context().TryCancel();
      // Nothing else would hear of the end of a call that has no read under way.
      if (std::exchange(lane->paused, false)) lane->attempt->ReadOn();
    }
  }
  mutex_.Await(absl::Condition(
      +[](int* attempts) { return *attempts == 0; }, &attempts_));
}

LanePtr RemoteLog::FindLane(Partition partition, const FoldState& at) {
  std::list<LanePtr>& lanes = lanes_[partition];
  for (auto lane = lanes.begin(); lane != lanes.end(); ++lane) {
    if (at.next < (*lane)->first || at.next > (*lane)->end.next) continue;
    // At the end of a lane it must be the same chain; within it, the fold tells.
    if (at.next == (*lane)->end.next && at.head_hash != (*lane)->end.head_hash) continue;
    lanes.splice(lanes.begin(), lanes, lane);
    return lanes.front();
  }
  return nullptr;
}

absl::StatusOr<std::vector<std::string>> RemoteLog::Take(Partition partition, const FoldState& at,
                                                         const eventlog::ReadLimits& limits) {
  std::vector<std::string> taken;
  absl::MutexLock lock(&mutex_);
  LanePtr lane = FindLane(partition, at);
  if (lane == nullptr) {
    std::list<LanePtr>& lanes = lanes_[partition];
    if (lanes.size() == kLanesMax) {
      Lane& oldest = *lanes.back();
      oldest.gone = true;
      if (oldest.attempt != nullptr) {
        oldest.attempt->context().TryCancel();
        if (std::exchange(oldest.paused, false)) oldest.attempt->ReadOn();
      }
      lanes.pop_back();
    }
    lane = std::make_shared<Lane>();
    lane->partition = partition;
    lane->end = at;
    lane->first = at.next;
    lanes.push_front(lane);
    queue_->Post([this, lane] { StartAttempt(lane); });
    return taken;
  }
  size_t bytes = 0;
  while (!lane->entries.empty()) {
    std::string& entry = lane->entries.front();
    if (lane->first >= at.next) {
      bytes += entry.size();
      const bool full = taken.size() >= limits.entries_max || bytes > limits.bytes_max;
      if (full && !taken.empty()) break;
    }
    lane->bytes -= entry.size();
    if (lane->first >= at.next) taken.push_back(std::move(entry));
    lane->entries.pop_front();
    ++lane->first;
  }
  if (lane->paused && lane->bytes < kBufferBytesMax / 2) {
    lane->paused = false;
    lane->attempt->ReadOn();
  }
  if (taken.empty()) ABSL_RETURN_IF_ERROR(lane->status);
  return taken;
}

absl::Status RemoteLog::Read(Partition partition, FoldState& at, const eventlog::ReadLimits& limits,
                             absl::FunctionRef<absl::Status(const EntryView&)> visit) {
  ABSL_RETURN_IF_ERROR(CheckPartition(partition));
  ABSL_ASSIGN_OR_RETURN(const std::vector<std::string> entries, Take(partition, at, limits));
  // An error leaves `at` before what was taken out; the next read finds no lane there and asks
  // anew.
  for (const std::string& bytes : entries) {
    FoldState next = at;
    EntryView entry;
    ABSL_RETURN_IF_ERROR(FoldEntry(next, partition, bytes, &entry));
    ABSL_RETURN_IF_ERROR(visit(entry));
    at = std::move(next);
  }
  return absl::OkStatus();
}

void RemoteLog::StartAttempt(const LanePtr& lane) {
  auto* const attempt = new Attempt(*this, lane);
  Prepare(attempt->context(), absl::Hours(1));
  WatchRequest& request = attempt->request();
  request.set_service(service_);
  request.set_partition(lane->partition);
  request.set_follow(true);
  // gRPC waits ever longer between its own tries; ours come with their own back-off.
  grpc::experimental::ChannelResetConnectionBackoff(channel_.get());
  absl::MutexLock lock(&mutex_);
  if (closing_ || lane->gone) {
    delete attempt;
    return;
  }
  // A shorter or another log must not pass for this one: the last entry is read again, and its hash
  // must stand there.
  attempt->resume_at = lane->end.next - 1;
  request.set_from_sequence(std::max<Sequence>(attempt->resume_at, 1));
  lane->attempt = attempt;
  lane->paused = false;
  ++attempts_;
  attempt->Start(*stub_);
}

absl::Status RemoteLog::Append(Lane& lane, WatchResponse& response) {
  Sequence& resume_at = lane.attempt->resume_at;
  for (std::string& bytes : *response.mutable_entries()) {
    if (resume_at != 0) {
      const absl::StatusOr<EntryView> entry = eventlog::ParseEntry(bytes);
      if (!entry.ok()) return DamageAt(lane.partition, resume_at, "the entry cannot be read");
      if (entry->header.sequence != resume_at ||
          eventlog::EntryHash(entry->header.previous_hash, bytes) != lane.end.head_hash) {
        return DamageAt(lane.partition, resume_at, "another entry than the one read before");
      }
      resume_at = 0;
      continue;
    }
    ABSL_RETURN_IF_ERROR(FoldEntry(lane.end, lane.partition, bytes, nullptr));
    lane.bytes += bytes.size();
    lane.entries.push_back(std::move(bytes));
  }
  if (resume_at != 0) {
    return DamageAt(lane.partition, resume_at, "the log ends before the reader");
  }
  return absl::OkStatus();
}

void RemoteLog::Received(Attempt& attempt, const LanePtr& lane, WatchResponse& response) {
  bool grew = false;
  {
    absl::MutexLock lock(&mutex_);
    CHECK(lane->attempt == &attempt);
    const absl::Status status = Append(*lane, response);
    grew = !response.entries().empty() || !status.ok();
    lane->status = status;
    if (status.ok()) {
      lane->backoff = kBackoffMin;
    } else {
      attempt.context().TryCancel();
    }
    if (status.ok() && lane->bytes >= kBufferBytesMax && !closing_ && !lane->gone) {
      lane->paused = true;
    } else {
      attempt.ReadOn();
    }
  }
  if (grew) watchers_.Notify({lane->partition});
}

void RemoteLog::Ended(Attempt& attempt, const LanePtr& lane, const absl::Status& status) {
  bool changed = false;
  {
    absl::MutexLock lock(&mutex_);
    CHECK(lane->attempt == &attempt);
    lane->attempt = nullptr;
    // We cancelled it ourselves when what came was damaged, and know better why.
    absl::Status why = lane->status;
    if (why.ok() || !absl::IsCancelled(status)) {
      why =
          ToReadStatus(lane->partition, status.ok() ? absl::UnavailableError("it ended") : status);
    }
    changed = why.code() != lane->status.code();
    lane->status = std::move(why);
    if (!closing_ && !lane->gone) {
      queue_->PostAfter(lane->backoff, [this, lane] { StartAttempt(lane); });
      lane->backoff = std::min(lane->backoff * 2, kBackoffMax);
    }
  }
  // Who waits for news hears of the end too.
  if (changed) watchers_.Notify({lane->partition});
}

void RemoteLog::Gone() {
  absl::MutexLock lock(&mutex_);
  --attempts_;
}

absl::StatusOr<FoldState> RemoteLog::Seek(Partition partition, Sequence from) {
  ABSL_RETURN_IF_ERROR(CheckPartition(partition));
  if (from == 0) return absl::InvalidArgumentError("sequences begin at 1");
  grpc::ClientContext context;
  Prepare(context, kUnaryWaitMax);
  WatchRequest request;
  request.set_service(service_);
  request.set_partition(partition);
  request.set_from_sequence(from);
  const auto reader = stub_->Watch(&context, request);
  WatchResponse response;
  if (!reader->Read(&response)) {
    const absl::Status status = FromGrpc(reader->Finish());
    if (absl::IsOutOfRange(status)) return status;
    return status.ok() ? absl::UnavailableError("nothing came") : ToReadStatus(partition, status);
  }
  // One entry is enough; how the call ends does not matter.
  context.TryCancel();
  (void)reader->Finish();
  if (response.entries().empty()) {
    return absl::OutOfRangeError(
        absl::StrCat("partition ", partition, " ends before sequence ", from));
  }
  const absl::StatusOr<EntryView> entry = eventlog::ParseEntry(response.entries(0));
  if (absl::IsUnimplemented(entry.status())) return entry.status();
  if (!entry.ok() || entry->header.sequence != from || entry->header.partition != partition) {
    return DamageAt(partition, from, "the entry cannot be read");
  }
  FoldState state;
  state.next = from;
  state.head_hash = entry->header.previous_hash;
  state.epoch = entry->header.epoch - (entry->header.kind == eventlog::EntryKind::kEpoch ? 1 : 0);
  return state;
}

absl::StatusOr<FoldState> RemoteLog::Head(Partition partition) {
  ABSL_RETURN_IF_ERROR(CheckPartition(partition));
  grpc::ClientContext context;
  Prepare(context, kUnaryWaitMax);
  log::v1::GetHeadsRequest request;
  log::v1::GetHeadsResponse response;
  request.set_service(service_);
  const absl::Status status = FromGrpc(stub_->GetHeads(&context, request, &response));
  if (!status.ok()) return ToReadStatus(partition, status);
  if (partition >= static_cast<uint32_t>(response.heads_size())) {
    return absl::DataLossError(absl::StrCat("the other service names no head of ", partition));
  }
  const log::v1::PartitionHead& head = response.heads(static_cast<int>(partition));
  FoldState state;
  state.epoch = head.epoch();
  state.owner = head.owner();
  state.next = head.sequence() + 1;
  ABSL_ASSIGN_OR_RETURN(state.head_hash, eventlog::HashFromBytes(head.hash()));
  return state;
}

}  // namespace

absl::StatusOr<std::unique_ptr<eventlog::LogReader>> ConnectRemoteLog(
    std::shared_ptr<grpc::Channel> channel, std::string service,
    absl::AnyInvocable<std::string()> token, Scheduler& scheduler, absl::Duration wait) {
  auto log = std::make_unique<RemoteLog>(std::move(channel), std::move(service), std::move(token),
                                         scheduler);
  ABSL_RETURN_IF_ERROR(log->Connect(wait));
  return std::unique_ptr<eventlog::LogReader>(std::move(log));
}

}  // namespace buurtlog::rpc
