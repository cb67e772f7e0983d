#include "tools/bench/kafka_limits.h"

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/check.h"
#include "libs/base/clock.h"
#include "libs/base/random.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/log_engine.h"
#include "libs/eventlog/topic_message.h"
#include "libs/kafka/testing/transactional_log.h"

namespace buurtlog::bench {
namespace {

using Done = absl::AnyInvocable<void()>;

constexpr size_t kBatchesInFlightMax = 4;

absl::StatusOr<std::unique_ptr<eventlog::Topic>> OnePartition(kafka::TopicOptions options,
                                                              const std::string& service,
                                                              Scheduler& scheduler) {
  options.service = service;
  eventlog::LogIdentity identity = eventlog::NewLogIdentity(service, SystemClock(), SystemRandom());
  identity.partitions = 1;
  return kafka::OpenTopic(options, identity, scheduler);
}

class ReadBackLog final : public AppendingLog {
 public:
  explicit ReadBackLog(std::unique_ptr<eventlog::Topic> topic)
      : topic_(std::move(topic)), producer_(topic_->NewProducer()) {
    following_ = topic_->Follow({eventlog::kFirstEntryOffset},
                                {[this](absl::Span<const eventlog::TopicMessage> messages) {
                                   for (const eventlog::TopicMessage& message : messages)
                                     Step(NumberOf(message));
                                 },
                                 [](eventlog::Partition, const absl::Status&) { CHECK(false); }});
  }

  void Append(std::string_view bytes, Done done) override {
    absl::MutexLock lock(&mutex_);
    bytes_ += bytes;
    waiting_.push_back(std::move(done));
    SendMore();
  }

 private:
  struct Batch {
    std::vector<Done> done;
    int steps = 0;  // delivered, and read
  };

  uint64_t NumberOf(const eventlog::TopicMessage& message) const {
    const absl::StatusOr<uint64_t> send = eventlog::SendOf(topic_->identity(), message);
    CHECK(send.ok());
    return *send;
  }

  void SendMore() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (waiting_.empty() || in_flight_.size() >= kBatchesInFlightMax) return;
    const uint64_t number = ++sent_;
    in_flight_[number].done = std::exchange(waiting_, {});
    producer_->Send(0, eventlog::MessageKey(topic_->identity(), number), std::exchange(bytes_, ""),
                    [this, number](const absl::Status& status) {
                      CHECK(status.ok());
                      Step(number);
                    });
  }

  void Step(uint64_t number) {
    std::vector<Done> done;
    {
      absl::MutexLock lock(&mutex_);
      const auto it = in_flight_.find(number);
      if (it == in_flight_.end() || ++it->second.steps < 2) return;
      done = std::move(it->second.done);
      in_flight_.erase(it);
      SendMore();
    }
    for (Done& one : done) one();
  }

  const std::unique_ptr<eventlog::Topic> topic_;
  absl::Mutex mutex_;
  std::string bytes_ ABSL_GUARDED_BY(mutex_);
  std::vector<Done> waiting_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint64_t, Batch> in_flight_ ABSL_GUARDED_BY(mutex_);
  uint64_t sent_ ABSL_GUARDED_BY(mutex_) = 0;
  const std::unique_ptr<eventlog::TopicProducer> producer_;
  std::unique_ptr<eventlog::Subscription> following_;
};

class TransactionLog final : public AppendingLog {
 public:
  explicit TransactionLog(std::unique_ptr<kafka::TransactionalLog> log) : log_(std::move(log)) {}
  void Append(std::string_view bytes, Done done) override {
    log_->Append(std::string(bytes), std::move(done));
  }

 private:
  const std::unique_ptr<kafka::TransactionalLog> log_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<AppendingLog>> NewReadBackLog(const kafka::TopicOptions& options,
                                                             Scheduler& scheduler) {
  ABSL_ASSIGN_OR_RETURN(std::unique_ptr<eventlog::Topic> topic,
                        OnePartition(options, "read-back", scheduler));
  return std::unique_ptr<AppendingLog>(std::make_unique<ReadBackLog>(std::move(topic)));
}

absl::StatusOr<std::unique_ptr<AppendingLog>> NewTransactionLog(const kafka::TopicOptions& options,
                                                                Scheduler& scheduler) {
  ABSL_RETURN_IF_ERROR(OnePartition(options, "transactions", scheduler).status());
  kafka::TopicOptions named = options;
  named.service = "transactions";
  ABSL_ASSIGN_OR_RETURN(std::unique_ptr<kafka::TransactionalLog> log,
                        kafka::TransactionalLog::Open({{"bootstrap.servers", options.brokers}},
                                                      kafka::TopicName(named), scheduler));
  return std::unique_ptr<AppendingLog>(std::make_unique<TransactionLog>(std::move(log)));
}

}  // namespace buurtlog::bench
