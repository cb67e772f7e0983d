#include "libs/kafka/testing/transactional_log.h"

#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/check.h"
#include "libs/base/status_macros.h"

namespace buurtlog::kafka {
namespace {

using Error = Owned<rd_kafka_error_t, rd_kafka_error_destroy>;

Properties TransactionProperties(const Properties& given, const std::string& id) {
  Properties properties = given;
  properties.emplace_back("transactional.id", id);
  properties.emplace_back("acks", "all");
  properties.emplace_back("linger.ms", "0");
  return properties;
}

}  // namespace

class TransactionalLog::Impl {
 public:
  explicit Impl(Scheduler& scheduler)
      : queue_(scheduler.NewQueue("transactions", QueueKind::kBlocking)) {}

  ~Impl() { queue_ = nullptr; }

  absl::Status Start(const Properties& properties, const std::string& topic) {
    ABSL_ASSIGN_OR_RETURN(client_,
                          NewClient(RD_KAFKA_PRODUCER, TransactionProperties(properties, topic)));
    topic_.reset(rd_kafka_topic_new(client_.get(), topic.c_str(), nullptr));
    if (topic_ == nullptr) return StatusOf(rd_kafka_last_error(), "naming the topic");
    const Error error(rd_kafka_init_transactions(client_.get(), Millis(kAskMax)));
    return error == nullptr ? absl::OkStatus()
                            : absl::UnavailableError(rd_kafka_error_string(error.get()));
  }

  void Append(std::string bytes, absl::AnyInvocable<void()> done) {
    absl::MutexLock lock(&mutex_);
    bytes_ += bytes;
    waiting_.push_back(std::move(done));
    if (!std::exchange(committing_, true)) queue_->Post([this] { Commit(); });
  }

 private:
  void Commit() {
    while (true) {
      std::string bytes;
      std::vector<absl::AnyInvocable<void()>> done;
      {
        absl::MutexLock lock(&mutex_);
        if (waiting_.empty()) {
          committing_ = false;
          return;
        }
        bytes.swap(bytes_);
        done.swap(waiting_);
      }
      const Error begun(rd_kafka_begin_transaction(client_.get()));
      CHECK(begun == nullptr);
      CHECK(rd_kafka_produce(topic_.get(), 0, RD_KAFKA_MSG_F_COPY, bytes.data(), bytes.size(),
                             nullptr, 0, nullptr) == 0);
      const Error committed(rd_kafka_commit_transaction(client_.get(), Millis(kAskMax)));
      CHECK(committed == nullptr);
      for (auto& one : done) one();
    }
  }

  Client client_;
  TopicHandle topic_;
  absl::Mutex mutex_;
  std::string bytes_ ABSL_GUARDED_BY(mutex_);
  std::vector<absl::AnyInvocable<void()>> waiting_ ABSL_GUARDED_BY(mutex_);
  bool committing_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<TaskQueue> queue_;
};

absl::StatusOr<std::unique_ptr<TransactionalLog>> TransactionalLog::Open(
    const Properties& properties, const std::string& topic, Scheduler& scheduler) {
  auto impl = std::make_unique<Impl>(scheduler);
  ABSL_RETURN_IF_ERROR(impl->Start(properties, topic));
  return std::unique_ptr<TransactionalLog>(new TransactionalLog(std::move(impl)));
}

TransactionalLog::TransactionalLog(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

TransactionalLog::~TransactionalLog() = default;

void TransactionalLog::Append(std::string bytes, absl::AnyInvocable<void()> done) {
  impl_->Append(std::move(bytes), std::move(done));
}

}  // namespace buurtlog::kafka
