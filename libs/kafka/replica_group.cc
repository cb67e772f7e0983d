#include "libs/kafka/replica_group.h"

#include <atomic>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"

namespace buurtlog::kafka {
namespace {

using PartitionList = Owned<rd_kafka_topic_partition_list_t, rd_kafka_topic_partition_list_destroy>;

Properties GroupProperties(const Properties& given, const std::string& topic,
                           const std::string& member) {
  Properties properties = given;
  properties.emplace_back("group.id", topic);
  properties.emplace_back("client.id", member);
  properties.emplace_back("partition.assignment.strategy", "range");
  properties.emplace_back("session.timeout.ms", std::to_string(Millis(kReplicaSessionMax)));
  properties.emplace_back("heartbeat.interval.ms", std::to_string(Millis(kReplicaHeartbeat)));
  properties.emplace_back("enable.auto.commit", "false");
  properties.emplace_back("enable.auto.offset.store", "false");
  properties.emplace_back("auto.offset.reset", "latest");
  return properties;
}

}  // namespace

class ReplicaGroup::Impl {
 public:
  Impl(Assigned assigned, Scheduler& scheduler)
      : assigned_(std::move(assigned)),
        queue_(scheduler.NewQueue("kafka group", QueueKind::kBlocking)) {}

  ~Impl() {
    closing_ = true;
    queue_.reset();
    // Leaves the group; what it assigns for that goes nowhere.
    if (client_ != nullptr) rd_kafka_consumer_close(client_.get());
  }

  absl::Status Start(const Properties& properties, const std::string& topic,
                     const std::string& member) {
    ABSL_ASSIGN_OR_RETURN(client_,
                          NewClient(RD_KAFKA_CONSUMER, GroupProperties(properties, topic, member),
                                    {.rebalance = &Impl::OnRebalance, .opaque = this}));
    rd_kafka_poll_set_consumer(client_.get());
    const PartitionList topics(rd_kafka_topic_partition_list_new(1));
    rd_kafka_topic_partition_list_add(topics.get(), topic.c_str(), RD_KAFKA_PARTITION_UA);
    if (const rd_kafka_resp_err_t error = rd_kafka_subscribe(client_.get(), topics.get());
        error != RD_KAFKA_RESP_ERR_NO_ERROR) {
      return StatusOf(error, "joining the replicas");
    }
    queue_->Post([this] { Poll(); });
    return absl::OkStatus();
  }

  absl::Status health() {
    absl::MutexLock lock(&mutex_);
    return health_;
  }

 private:
  void Poll() {
    while (!closing_) {
      const Message message(rd_kafka_consumer_poll(client_.get(), Millis(kPollMax)));
      // The partitions are paused, so what comes is an error.
      if (message != nullptr) Note(message->err);
    }
  }

  static void OnRebalance(rd_kafka_t* client, rd_kafka_resp_err_t what,
                          rd_kafka_topic_partition_list_t* partitions, void* opaque) {
    static_cast<Impl*>(opaque)->Rebalance(client, what, partitions);
  }

  // On the thread that polls, or closes.
  void Rebalance(rd_kafka_t* client, rd_kafka_resp_err_t what,
                 rd_kafka_topic_partition_list_t* partitions) {
    if (what != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
      const bool lost = rd_kafka_assignment_lost(client) != 0;
      rd_kafka_assign(client, nullptr);
      // Before every new assignment all are taken back; that alone changes nothing. Who is out of
      // the group is assigned nothing, until it is in it again.
      if (lost) Tell({}, absl::UnavailableError("this replica has dropped out of its group"));
      return;
    }
    std::vector<eventlog::Partition> mine;
    for (int i = 0; i < partitions->cnt; ++i) {
      partitions->elems[i].offset = RD_KAFKA_OFFSET_END;
      mine.push_back(static_cast<eventlog::Partition>(partitions->elems[i].partition));
    }
    rd_kafka_assign(client, partitions);
    rd_kafka_pause_partitions(client, partitions);
    Tell(mine, absl::OkStatus());
  }

  void Tell(const std::vector<eventlog::Partition>& mine, absl::Status health) {
    SetHealth(std::move(health));
    if (!closing_) assigned_(mine);
  }

  // What librdkafka mends by itself is no trouble.
  void Note(rd_kafka_resp_err_t error) {
    switch (error) {
      case RD_KAFKA_RESP_ERR_INVALID_SESSION_TIMEOUT:
        SetHealth(WithReason(
            absl::FailedPreconditionError("the brokers do not allow sessions of 2 s: set "
                                          "group.min.session.timeout.ms to 1500"),
            "SESSION_TIMEOUT"));
        return;
      case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
      case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        SetHealth(StatusOf(error, "joining the replicas"));
        return;
      default: return;
    }
  }

  void SetHealth(absl::Status health) {
    absl::MutexLock lock(&mutex_);
    health_ = std::move(health);
  }

  Assigned assigned_;
  std::atomic<bool> closing_ = false;
  absl::Mutex mutex_;
  absl::Status health_ ABSL_GUARDED_BY(mutex_) =
      absl::UnavailableError("this replica is not in its group yet");
  Client client_;
  std::unique_ptr<TaskQueue> queue_;
};

absl::StatusOr<std::unique_ptr<eventlog::Membership>> ReplicaGroup::Join(
    const Properties& properties, const std::string& topic, const std::string& member,
    Assigned assigned, Scheduler& scheduler) {
  auto impl = std::make_unique<Impl>(std::move(assigned), scheduler);
  ABSL_RETURN_IF_ERROR(impl->Start(properties, topic, member));
  return std::unique_ptr<eventlog::Membership>(new ReplicaGroup(std::move(impl)));
}

ReplicaGroup::ReplicaGroup(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

ReplicaGroup::~ReplicaGroup() = default;

absl::Status ReplicaGroup::health() { return impl_->health(); }

}  // namespace buurtlog::kafka
