#include "libs/kafka/consumer.h"

#include <array>
#include <atomic>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace buurtlog::kafka {
namespace {

// Taken at once, if so many are there.
constexpr size_t kTakeMax = 1024;
// A broker that says nothing for so long is asked no more, and who leads its partitions now is
// looked up. librdkafka waits for a minute, in which nothing is read of what it led.
constexpr absl::Duration kSilenceMax = absl::Seconds(3);

absl::Status Lost(eventlog::Partition partition, eventlog::Offset offset, std::string_view what) {
  return absl::DataLossError(
      absl::StrCat("partition ", partition, ", at offset ", offset, ": ", std::string(what)));
}

}  // namespace

Properties ConsumerProperties(const Properties& given) {
  Properties properties = given;
  properties.emplace_back("isolation.level", "read_uncommitted");
  properties.emplace_back("auto.offset.reset", "error");
  properties.emplace_back("check.crcs", "true");
  properties.emplace_back("socket.timeout.ms", std::to_string(Millis(kSilenceMax)));
  properties.emplace_back("enable.auto.commit", "false");
  properties.emplace_back("enable.auto.offset.store", "false");
  properties.emplace_back("enable.partition.eof", "false");
  properties.emplace_back("fetch.error.backoff.ms", "20");
  // What waits here is limited by its bytes, for each partition.
  properties.emplace_back("queued.min.messages", "10000000");
  properties.emplace_back("queued.max.messages.kbytes", "4096");
  return properties;
}

class Consumer::Impl {
 public:
  Impl(eventlog::Topic::Follower follower, Scheduler& scheduler)
      : follower_(std::move(follower)),
        task_queue_(scheduler.NewQueue("kafka follower", QueueKind::kBlocking)) {}

  ~Impl() {
    closing_ = true;
    task_queue_.reset();
    for (int32_t partition = 0; partition < started_; ++partition) {
      rd_kafka_consume_stop(topic_.get(), partition);
    }
  }

  absl::Status Start(const Properties& properties, const std::string& topic,
                     const std::vector<eventlog::Offset>& from) {
    ABSL_ASSIGN_OR_RETURN(client_, NewClient(RD_KAFKA_CONSUMER, ConsumerProperties(properties)));
    topic_.reset(rd_kafka_topic_new(client_.get(), topic.c_str(), nullptr));
    if (topic_ == nullptr) return StatusOf(rd_kafka_last_error(), "naming the topic");
    queue_.reset(rd_kafka_queue_new(client_.get()));
    lost_.resize(from.size());
    for (const eventlog::Offset offset : from) {
      if (rd_kafka_consume_start_queue(topic_.get(), started_, offset, queue_.get()) != 0) {
        return StatusOf(rd_kafka_last_error(), "following a partition");
      }
      ++started_;
    }
    task_queue_->Post([this] { Poll(); });
    return absl::OkStatus();
  }

 private:
  void Poll() {
    std::vector<Message> messages;
    std::array<rd_kafka_message_t*, kTakeMax> more{};
    while (!closing_) {
      messages.clear();
      // One, as soon as it is there, and then what is there besides.
      messages.emplace_back(rd_kafka_consume_queue(queue_.get(), Millis(kPollMax)));
      if (messages.back() == nullptr) continue;
      const ssize_t count = rd_kafka_consume_batch_queue(queue_.get(), 0, more.data(), more.size());
      for (ssize_t i = 0; i < count; ++i) messages.emplace_back(more[static_cast<size_t>(i)]);
      Hand(messages);
    }
  }

  void Hand(const std::vector<Message>& messages) {
    std::vector<eventlog::TopicMessage> good;
    good.reserve(messages.size());
    for (const Message& message : messages) {
      const auto partition = static_cast<eventlog::Partition>(message->partition);
      if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (lost_[partition]) continue;
        good.push_back({partition,
                        message->offset,
                        {static_cast<const char*>(message->key), message->key_len},
                        {static_cast<const char*>(message->payload), message->len}});
      } else if (IsLost(message->err)) {
        // What came before it first.
        follower_.take(std::exchange(good, {}));
        lost_[partition] = true;
        const bool damaged = message->err == RD_KAFKA_RESP_ERR__BAD_MSG;
        follower_.lost(partition,
                       Lost(partition, message->offset,
                            damaged ? "the topic has a damaged message here"
                                    : "the topic has this offset no more: it begins behind it, or "
                                      "ends before it"));
      }
      // Anything else passes by: librdkafka tries again for ever.
    }
    if (!good.empty()) follower_.take(good);
  }

  static bool IsLost(rd_kafka_resp_err_t error) {
    return error == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
           error == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE || error == RD_KAFKA_RESP_ERR__BAD_MSG;
  }

  eventlog::Topic::Follower follower_;
  std::atomic<bool> closing_ = false;
  std::vector<bool> lost_;
  Client client_;
  TopicHandle topic_;
  Queue queue_;
  int32_t started_ = 0;
  std::unique_ptr<TaskQueue> task_queue_;
};

absl::StatusOr<std::unique_ptr<Consumer>> Consumer::Start(const Properties& properties,
                                                          const std::string& topic,
                                                          std::vector<eventlog::Offset> from,
                                                          eventlog::Topic::Follower follower,
                                                          Scheduler& scheduler) {
  auto impl = std::make_unique<Impl>(std::move(follower), scheduler);
  ABSL_RETURN_IF_ERROR(impl->Start(properties, topic, from));
  return std::unique_ptr<Consumer>(new Consumer(std::move(impl)));
}

Consumer::Consumer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Consumer::~Consumer() = default;

}  // namespace buurtlog::kafka
