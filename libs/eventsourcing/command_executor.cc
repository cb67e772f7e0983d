#include "libs/eventsourcing/command_executor.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/check.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"
#include "libs/eventsourcing/command_forwarder.h"
#include "libs/eventsourcing/partition_worker.h"
#include "libs/eventsourcing/pending_command.h"

namespace buurtlog::eventsourcing {
namespace {

constexpr size_t kHashKeyBytes = 32;

absl::StatusOr<absl::Time> CheckedTime(const google::protobuf::Timestamp& time,
                                       std::string_view field) {
  // The range of google.protobuf.Timestamp: the years 1 to 9999.
  constexpr int64_t kSecondsMin = -62'135'596'800;
  constexpr int64_t kSecondsMax = 253'402'300'799;
  if (time.seconds() < kSecondsMin || time.seconds() > kSecondsMax || time.nanos() < 0 ||
      time.nanos() > 999'999'999) {
    return InvalidField(field, "not a time between the years 1 and 9999");
  }
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

// HMAC-SHA-256 with a fixed key, prepared once. Thread-safe.
class CommandHasher {
 public:
  explicit CommandHasher(const std::string& key) : mac_(EVP_MAC_fetch(nullptr, "HMAC", nullptr)) {
    CHECK(key.size() == kHashKeyBytes);
    CHECK(mac_ != nullptr);
    keyed_.reset(EVP_MAC_CTX_new(mac_.get()));
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", digest, 0),
                                 OSSL_PARAM_construct_end()};
    CHECK(EVP_MAC_init(keyed_.get(), reinterpret_cast<const unsigned char*>(key.data()), key.size(),
                       params) == 1);
  }

  std::array<char, kCommandHashBytes> Hash(const Command& command) const {
    const std::unique_ptr<EVP_MAC_CTX, FreeContext> context(EVP_MAC_CTX_dup(keyed_.get()));
    // Of fixed length first, and the length of the category before it: two commands never give the
    // same bytes.
    Update(*context, {reinterpret_cast<const char*>(command.partition_key.bytes.data()), 16});
    Update(*context, {reinterpret_cast<const char*>(command.stream_id.bytes.data()), 16});
    const char category_bytes = static_cast<char>(command.type->category.size());
    Update(*context, {&category_bytes, 1});
    Update(*context, command.type->category);
    Update(*context, command.canonical);
    std::array<unsigned char, 32> digest{};
    size_t size = 0;
    CHECK(EVP_MAC_final(context.get(), digest.data(), &size, digest.size()) == 1);
    std::array<char, kCommandHashBytes> hash{};
    std::copy_n(digest.begin(), hash.size(), hash.begin());
    return hash;
  }

 private:
  struct FreeMac {
    void operator()(EVP_MAC* mac) const { EVP_MAC_free(mac); }
  };
  struct FreeContext {
    void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
  };
  static void Update(EVP_MAC_CTX& context, std::string_view bytes) {
    CHECK(EVP_MAC_update(&context, reinterpret_cast<const unsigned char*>(bytes.data()),
                         bytes.size()) == 1);
  }

  std::unique_ptr<EVP_MAC, FreeMac> mac_;
  std::unique_ptr<EVP_MAC_CTX, FreeContext> keyed_;
};

}  // namespace

std::string CanonicalBytes(const google::protobuf::Message& request) {
  const google::protobuf::Message* content = &request;
  std::unique_ptr<google::protobuf::Message> without_header;
  const google::protobuf::FieldDescriptor* header =
      request.GetDescriptor()->FindFieldByName("header");
  if (header != nullptr && request.GetReflection()->HasField(request, header)) {
    without_header.reset(request.New());
    without_header->CopyFrom(request);
    without_header->GetReflection()->ClearField(without_header.get(), header);
    content = without_header.get();
  }
  // The name, because requests with the same fields are still different wishes.
  std::string bytes = content->GetDescriptor()->full_name();
  bytes.push_back('\0');
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  CHECK(content->SerializeToCodedStream(&coded));
  coded.Trim();
  return bytes;
}

const CommandRule* RuleOf(const AggregateType& type, const google::protobuf::Descriptor& request) {
  for (const auto& rule : type.rules) {
    if (&rule->request() == &request) return rule.get();
  }
  return nullptr;
}

absl::Status ApplyHeader(const type::v1::CommandHeader& header, Command& command) {
  absl::StatusOr<Uuid> key = ParseUuid(header.idempotency_key());
  if (!key.ok() || key->Version() != 7) {
    return InvalidField("header.idempotency_key", "not a UUID of version 7");
  }
  command.idempotency_key = *key;
  if (header.has_occurred_at()) {
    // The year 2000. Nothing of this record is older; a clock that was never set says 1970.
    constexpr int64_t kOccurredAtSecondsMin = 946'684'800;
    ABSL_ASSIGN_OR_RETURN(command.occurred_at,
                          CheckedTime(header.occurred_at(), "header.occurred_at"));
    if (header.occurred_at().seconds() < kOccurredAtSecondsMin) {
      return InvalidField("header.occurred_at", "is before the year 2000");
    }
  }
  if (header.has_device_time()) {
    ABSL_ASSIGN_OR_RETURN(command.device_time,
                          CheckedTime(header.device_time(), "header.device_time"));
  }
  if (header.has_expected_version()) command.expected_version = header.expected_version();
  command.validate_only = header.validate_only();
  return absl::OkStatus();
}

ExecutorMetrics::ExecutorMetrics(prometheus::Registry& registry, const std::string& service)
    : queue_length_(prometheus::BuildGauge()
                        .Name("buurtlog_command_queue_length")
                        .Help("Commands that wait to be decided.")
                        .Register(registry)
                        .Add({{"service", service}})),
      batch_size_(prometheus::BuildHistogram()
                      .Name("buurtlog_command_batch_size")
                      .Help("Commands decided and appended together.")
                      .Register(registry)
                      .Add({{"service", service}},
                           prometheus::Histogram::BucketBoundaries{1, 2, 4, 8, 16, 32, 64, 128, 256,
                                                                   512, 1024})),
      events_(prometheus::BuildCounter()
                  .Name("buurtlog_events_appended_total")
                  .Help("Events made durable.")
                  .Register(registry)
                  .Add({{"service", service}})),
      owned_(prometheus::BuildGauge()
                 .Name("buurtlog_partitions_owned")
                 .Help("Partitions whose commands this process decides.")
                 .Register(registry)
                 .Add({{"service", service}})),
      forwarded_(prometheus::BuildCounter()
                     .Name("buurtlog_commands_forwarded_total")
                     .Help("Commands handed to the replica that owns their partition.")
                     .Register(registry)
                     .Add({{"service", service}})) {
  prometheus::Family<prometheus::Counter>& outcomes =
      prometheus::BuildCounter()
          .Name("buurtlog_command_outcomes_total")
          .Help("Commands answered, by status code.")
          .Register(registry);
  for (size_t code = 0; code < kCodes; ++code) {
    outcomes_[code] =
        &outcomes.Add({{"service", service},
                       {"code", absl::StatusCodeToString(static_cast<absl::StatusCode>(code))}});
  }
}

class CommandExecutor::Impl {
 public:
  Impl(Parts parts, std::vector<const AggregateType*> types, ExecutorOptions options)
      : core_{parts, std::move(types), std::move(options),
              ExecutorMetrics(parts.metrics, parts.log.identity().service)},
        hasher_(core_.options.command_hash_key) {
    CHECK(core_.options.batch_max > 0 && core_.options.batches_in_flight_max > 0);
    const uint32_t partitions = parts.log.identity().partitions;
    workers_.reserve(partitions);
    for (uint32_t partition = 0; partition < partitions; ++partition) {
      workers_.push_back(std::make_unique<PartitionWorker>(core_, partition));
    }
  }

  ~Impl() {
    growth_ = nullptr;
    // All of them before the first goes: whoever gets an answer may hand in the next command.
    for (const auto& worker : workers_) worker->Close();
  }

  void Start(absl::AnyInvocable<void(absl::Status)> ready) {
    struct Joint {
      absl::Mutex mutex;
      size_t missing ABSL_GUARDED_BY(mutex) = 0;
      absl::Status status ABSL_GUARDED_BY(mutex);
      absl::AnyInvocable<void(absl::Status)> ready;
    };
    auto joint = std::make_shared<Joint>();
    joint->missing = workers_.size();
    joint->ready = std::move(ready);
    // Nobody else writes to a log that is not shared.
    if (core_.options.shared) {
      growth_ = core_.parts.log.Watch(
          [this](eventlog::Partition partition) { workers_[partition]->Grew(); });
    }
    for (const auto& worker : workers_) {
      worker->Start([joint](absl::Status status) {
        absl::Status all;
        {
          absl::MutexLock lock(&joint->mutex);
          if (joint->status.ok()) joint->status = std::move(status);
          if (--joint->missing > 0) return;
          all = joint->status;
        }
        joint->ready(all);
      });
    }
  }

  absl::Status health() {
    absl::MutexLock lock(&core_.failure_mutex);
    if (!core_.failure.ok()) return core_.failure;
    return core_.clocks_behind > 0 ? core_.clock_behind : absl::OkStatus();
  }

  void SetOwner(std::string owner) { core_.options.owner = std::move(owner); }

  void Assign(const std::vector<eventlog::Partition>& partitions) {
    CHECK(core_.options.shared);
    std::vector<bool> assigned(workers_.size(), false);
    // A topic that was given more partitions is for people to mend; those that there were go on.
    for (const eventlog::Partition partition : partitions) {
      if (partition < assigned.size()) assigned[partition] = true;
    }
    for (size_t i = 0; i < workers_.size(); ++i) workers_[i]->Assign(assigned[i]);
  }

  size_t owned() const {
    const auto owned = std::count_if(workers_.begin(), workers_.end(),
                                     [](const auto& worker) { return worker->owns(); });
    return static_cast<size_t>(owned);
  }

  void ExecuteHanded(const log::v1::HandedCommand& handed, absl::Time deadline, CommandDone done) {
    absl::StatusOr<Command> command = FromHanded(handed, core_.types);
    if (!command.ok()) return done(command.status());
    command->deadline = deadline;
    Execute(*std::move(command), std::move(done), /*may_forward=*/false);
  }

  void Execute(Command command, CommandDone done, bool may_forward) {
    auto pending = std::make_unique<PendingCommand>();
    pending->done = std::move(done);
    pending->may_forward = may_forward;
    core_.in_flight->fetch_add(1, std::memory_order_relaxed);
    CHECK(std::find(core_.types.begin(), core_.types.end(), command.type) != core_.types.end());
    if (command.since > core_.options.write_release) {
      return core_.Answer(std::move(pending),
                          WithReason(absl::FailedPreconditionError(absl::StrCat(
                                         "the region writes release ", core_.options.write_release,
                                         ", and this is of release ", command.since)),
                                     kWriteRelease));
    }
    absl::StatusOr<Uuid> actor = UuidFromBytes(command.actor.person_id());
    if (!actor.ok())
      return core_.Answer(std::move(pending), absl::InternalError("the actor has no id"));
    pending->name = {command.idempotency_key, *actor};
    pending->hash = hasher_.Hash(command);
    PartitionWorker& worker = WorkerOf(command.partition_key);
    pending->command = std::move(command);
    worker.Execute(std::move(pending));
  }

  void ReadState(const AggregateType& type, const Uuid& partition_key, const Uuid& stream_id,
                 PartitionWorker::ReadDone done) {
    WorkerOf(partition_key).ReadState({&type, stream_id}, std::move(done));
  }

 private:
  PartitionWorker& WorkerOf(const Uuid& partition_key) {
    const uint32_t shard = eventlog::ShardOf(partition_key);
    return *workers_[eventlog::PartitionOf(shard, static_cast<uint32_t>(workers_.size()))];
  }

  ExecutorCore core_;
  const CommandHasher hasher_;
  std::vector<std::unique_ptr<PartitionWorker>> workers_;
  std::unique_ptr<eventlog::Subscription> growth_;
};

CommandExecutor::CommandExecutor(Parts parts, std::vector<const AggregateType*> types,
                                 ExecutorOptions options)
    : impl_(std::make_unique<Impl>(parts, std::move(types), std::move(options))) {}

CommandExecutor::~CommandExecutor() = default;

void CommandExecutor::Start(absl::AnyInvocable<void(absl::Status)> ready) {
  impl_->Start(std::move(ready));
}

absl::Status CommandExecutor::health() const { return impl_->health(); }

void CommandExecutor::SetOwner(std::string owner) { impl_->SetOwner(std::move(owner)); }

void CommandExecutor::Assign(const std::vector<eventlog::Partition>& partitions) {
  impl_->Assign(partitions);
}

size_t CommandExecutor::owned() const { return impl_->owned(); }

void CommandExecutor::Execute(Command command, CommandDone done) {
  impl_->Execute(std::move(command), std::move(done), /*may_forward=*/true);
}

void CommandExecutor::ExecuteHanded(const log::v1::HandedCommand& handed, absl::Time deadline,
                                    CommandDone done) {
  impl_->ExecuteHanded(handed, deadline, std::move(done));
}

void CommandExecutor::ExecuteAll(
    std::vector<Command> commands,
    absl::AnyInvocable<void(std::vector<absl::StatusOr<type::v1::Receipt>>)> done) {
  struct Joint {
    std::vector<absl::StatusOr<type::v1::Receipt>> answers;
    std::atomic<size_t> missing = 0;
    absl::AnyInvocable<void(std::vector<absl::StatusOr<type::v1::Receipt>>)> done;
  };
  if (commands.empty()) return done({});
  auto joint = std::make_shared<Joint>();
  joint->answers.assign(commands.size(), absl::UnknownError("not answered yet"));
  joint->missing = commands.size();
  joint->done = std::move(done);
  for (size_t i = 0; i < commands.size(); ++i) {
    Execute(std::move(commands[i]), [joint, i](absl::StatusOr<type::v1::Receipt> answer) {
      joint->answers[i] = std::move(answer);
      if (joint->missing.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        joint->done(std::move(joint->answers));
      }
    });
  }
}

void CommandExecutor::ReadState(const AggregateType& type, const Uuid& partition_key,
                                const Uuid& stream_id,
                                absl::AnyInvocable<void(absl::StatusOr<StoredState>)> done) {
  impl_->ReadState(type, partition_key, stream_id, std::move(done));
}

}  // namespace buurtlog::eventsourcing
