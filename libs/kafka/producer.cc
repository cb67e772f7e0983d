#include "libs/kafka/producer.h"

#include <atomic>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/status_macros.h"

namespace buurtlog::kafka {
namespace {

using Delivered = absl::AnyInvocable<void(absl::Status)>;

Properties ProducerProperties(const Properties& given) {
  Properties properties = given;
  properties.emplace_back("acks", "all");
  properties.emplace_back("enable.idempotence", "true");
  properties.emplace_back("linger.ms", "0");
  properties.emplace_back("message.timeout.ms", std::to_string(Millis(kDeliveryMax)));
  properties.emplace_back("request.timeout.ms", std::to_string(Millis(kDeliveryMax)));
  return properties;
}

// A topic that a broker does not know yet, or a partition, is one that it will know.
absl::Status SentStatus(rd_kafka_resp_err_t error, std::string_view doing) {
  absl::Status status = StatusOf(error, doing);
  return absl::IsNotFound(status) ? absl::UnavailableError(status.message()) : status;
}

}  // namespace

class Producer::Impl {
 public:
  explicit Impl(Scheduler& scheduler)
      : queue_(scheduler.NewQueue("kafka delivered", QueueKind::kBlocking)) {}

  ~Impl() {
    closing_ = true;
    queue_.reset();
    // Nobody is told of what is under way.
    if (client_ != nullptr)
      rd_kafka_purge(client_.get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
                                        RD_KAFKA_PURGE_F_NON_BLOCKING);
    if (client_ != nullptr) rd_kafka_poll(client_.get(), 0);
  }

  absl::Status Start(const Properties& properties, const std::string& topic) {
    ABSL_ASSIGN_OR_RETURN(client_, NewClient(RD_KAFKA_PRODUCER, ProducerProperties(properties),
                                             {.delivery = &Impl::OnDelivered, .opaque = this}));
    topic_.reset(rd_kafka_topic_new(client_.get(), topic.c_str(), nullptr));
    if (topic_ == nullptr) return StatusOf(rd_kafka_last_error(), "naming the topic");
    queue_->Post([this] { Poll(); });
    return absl::OkStatus();
  }

  void Send(eventlog::Partition partition, std::string key, std::string value,
            Delivered delivered) {
    auto waiting = std::make_unique<Delivered>(std::move(delivered));
    const int refused =
        rd_kafka_produce(topic_.get(), static_cast<int32_t>(partition), RD_KAFKA_MSG_F_COPY,
                         value.data(), value.size(), key.data(), key.size(), waiting.get());
    if (refused == 0) {
      waiting.release();  // OnDelivered has it
      return;
    }
    absl::MutexLock lock(&mutex_);
    refused_.emplace_back(std::move(waiting), SentStatus(rd_kafka_last_error(), "sending"));
  }

 private:
  static void OnDelivered(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
    const std::unique_ptr<Delivered> delivered(static_cast<Delivered*>(message->_private));
    // The error of a message that was given up may be one that says where it got stuck.
    if (!static_cast<Impl*>(opaque)->closing_) (*delivered)(SentStatus(message->err, "delivery"));
  }

  void Poll() {
    while (!closing_) {
      rd_kafka_poll(client_.get(), Millis(kPollMax));
      std::vector<std::pair<std::unique_ptr<Delivered>, absl::Status>> refused;
      {
        absl::MutexLock lock(&mutex_);
        refused.swap(refused_);
      }
      for (auto& [delivered, why] : refused) (*delivered)(std::move(why));
    }
  }

  std::atomic<bool> closing_ = false;
  absl::Mutex mutex_;
  std::vector<std::pair<std::unique_ptr<Delivered>, absl::Status>> refused_ ABSL_GUARDED_BY(mutex_);
  Client client_;
  TopicHandle topic_;
  std::unique_ptr<TaskQueue> queue_;
};

absl::StatusOr<std::unique_ptr<Producer>> Producer::Open(const Properties& properties,
                                                         const std::string& topic,
                                                         Scheduler& scheduler) {
  auto impl = std::make_unique<Impl>(scheduler);
  ABSL_RETURN_IF_ERROR(impl->Start(properties, topic));
  return std::unique_ptr<Producer>(new Producer(std::move(impl)));
}

Producer::Producer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Producer::~Producer() = default;

void Producer::Send(eventlog::Partition partition, std::string key, std::string value,
                    Delivered delivered) {
  impl_->Send(partition, std::move(key), std::move(value), std::move(delivered));
}

}  // namespace buurtlog::kafka
