// What several replicas of one log on a real broker see of each other, and what a replica does when
// its topic or its folder is not what it was.
#include "libs/eventlog/kafka_event_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "libs/base/check.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"
#include "libs/base/testing/patience.h"
#include "libs/eventlog/committed_entry.h"
#include "libs/eventlog/event_log_contract_test.h"
#include "libs/eventlog/identity_file.h"
#include "libs/eventlog/log_engine.h"
#include "libs/eventlog/log_import.h"
#include "libs/eventlog/sqlite_event_log.h"
#include "libs/eventlog/topic_message.h"
#include "libs/kafka/testing/test_cluster.h"

namespace buurtlog::eventlog {
namespace {

using ::testing::HasSubstr;

class KafkaEventLogTest : public ::testing::Test {
 protected:
  KafkaEventLogTest()
      : topic_(kafka::NewTestRegion("visits")),
        identity_(NewLogIdentity("visits", SystemClock(), SystemRandom())),
        scheduler_(NewThreadPoolScheduler(2)) {
    identity_.partitions = 2;
    std::string pattern = absl::StrCat(::testing::TempDir(), "/kafka_log_XXXXXX");
    CHECK(mkdtemp(pattern.data()) != nullptr);
    folder_ = pattern;
  }
  ~KafkaEventLogTest() override { std::filesystem::remove_all(folder_); }

  std::string Folder(const std::string& replica) const { return folder_ + "/" + replica; }

  absl::StatusOr<std::unique_ptr<KafkaEventLog>> TryOpen(const std::string& replica) {
    ABSL_ASSIGN_OR_RETURN(std::unique_ptr<Topic> topic,
                          kafka::OpenTopic(topic_, identity_, *scheduler_));
    KafkaLogOptions options;
    options.folder = Folder(replica);
    return KafkaEventLog::Open(std::move(topic), options, SystemFiles(), *scheduler_);
  }
  std::unique_ptr<KafkaEventLog> Open(const std::string& replica) {
    auto log = TryOpen(replica);
    EXPECT_TRUE(log.ok()) << log.status();
    return log.ok() ? *std::move(log) : nullptr;
  }

  static absl::StatusOr<FoldState> Begin(EventLog& log, Partition partition,
                                         const std::string& owner) {
    absl::Notification known;
    absl::StatusOr<FoldState> begun;
    log.BeginEpoch(partition, owner, [&](absl::StatusOr<FoldState> state) {
      begun = std::move(state);
      known.Notify();
    });
    known.WaitForNotification();
    return begun;
  }

  static absl::Status Append(EventLog& log, Partition partition, FoldState& chain,
                             const std::vector<std::string>& bodies) {
    const Epoch epoch = chain.epoch;
    std::vector<std::string> entries = Chained(partition, chain, bodies);
    absl::Notification known;
    absl::Status outcome;
    log.Append(partition, epoch, std::move(entries), [&](absl::Status status) {
      outcome = std::move(status);
      known.Notify();
    });
    known.WaitForNotification();
    return outcome;
  }

  // To partition 0, past the engine.
  void SendRaw(std::string key, std::string value) {
    const auto topic = kafka::OpenTopic(topic_, identity_, *scheduler_);
    ASSERT_TRUE(topic.ok()) << topic.status();
    const std::unique_ptr<TopicProducer> producer = (*topic)->NewProducer();
    absl::Notification sent;
    producer->Send(0, std::move(key), std::move(value), [&](absl::Status status) {
      EXPECT_TRUE(status.ok()) << status;
      sent.Notify();
    });
    sent.WaitForNotification();
  }

  template <typename IsSo>
  static bool Await(EventLog& log, const IsSo& is_so) {
    absl::Mutex mutex;
    const std::unique_ptr<Subscription> watch =
        log.Watch([&](Partition) { absl::MutexLock lock(&mutex); });
    absl::MutexLock lock(&mutex);
    return mutex.AwaitWithTimeout(absl::Condition(&is_so), Patience(absl::Seconds(20)));
  }
  // Waits until a replica has read up to `head`.
  static bool Reaches(EventLog& log, Partition partition, const FoldState& head) {
    const auto there = [&] { return log.Head(partition)->next >= head.next; };
    return Await(log, there) && log.Head(partition)->head_hash == head.head_hash;
  }
  static absl::Status AwaitTrouble(EventLog& log) {
    const auto told = [&] { return !log.health().ok(); };
    EXPECT_TRUE(Await(log, told));
    return log.health();
  }

  kafka::TopicOptions topic_;
  LogIdentity identity_;
  std::string folder_;
  std::unique_ptr<Scheduler> scheduler_;
};

TEST_F(KafkaEventLogTest, TheReplicaThatBeganLaterFencesTheOther) {
  const auto a = Open("a");
  const auto b = Open("b");
  FoldState chain_a = Begin(*a, 0, "a:1").value();
  ASSERT_TRUE(Append(*a, 0, chain_a, {"one", "two"}).ok());
  FoldState chain_b = Begin(*b, 0, "b:1").value();
  EXPECT_EQ(chain_b.epoch, 2u);
  EXPECT_EQ(chain_b.next, chain_a.next + 1);
  ASSERT_TRUE(Append(*b, 0, chain_b, {"three"}).ok());
  // It may not have heard of it yet: what it sends is void then, and it is told.
  FoldState zombie = chain_a;
  EXPECT_TRUE(absl::IsAborted(Append(*a, 0, zombie, {"too late"})));
  EXPECT_TRUE(absl::IsAborted(Append(*a, 0, chain_a, {})));
  EXPECT_TRUE(Reaches(*a, 0, chain_b));
  EXPECT_EQ(a->Head(0)->owner, "b:1");
  FoldState at = InitialFoldState(identity_, 0);
  std::vector<std::string> bodies;
  ASSERT_TRUE(a->Read(0, at, {}, [&](const EntryView& entry) {
                 if (entry.header.kind == EntryKind::kRecord) bodies.emplace_back(entry.body);
                 return absl::OkStatus();
               }).ok());
  EXPECT_THAT(bodies, ::testing::ElementsAre("one", "two", "three"));
}

TEST_F(KafkaEventLogTest, AReplicaGoesOnWhereItsCopyEndsAndMakesADamagedOneAnew) {
  FoldState chain;
  {
    const auto log = Open("a");
    chain = Begin(*log, 1, "a:1").value();
    ASSERT_TRUE(Append(*log, 1, chain, std::vector<std::string>(100, "body")).ok());
  }
  {
    const auto log = Open("a");
    EXPECT_EQ(log->discarded(), "");
    EXPECT_EQ(log->Head(1).value(), chain);
    ASSERT_TRUE(absl::IsAborted(Append(*log, 1, chain, {"in nobody's epoch"})));
  }
  {
    std::fstream file(Folder("a") + "/log.db", std::ios::in | std::ios::out | std::ios::binary);
    const auto size =
        static_cast<std::streamoff>(std::filesystem::file_size(Folder("a") + "/log.db"));
    for (std::streamoff at = size / 2; at < size; at += 512) file.seekp(at).write("damage", 6);
  }
  const auto log = Open("a");
  EXPECT_NE(log->discarded(), "");
  EXPECT_EQ(log->Head(1)->epoch, 1u);
  EXPECT_EQ(log->Head(1)->next, 102u);
}

// Each with an identity of its own in hand, as processes that start at once have.
TEST_F(KafkaEventLogTest, ReplicasThatMakeTheTopicAtOnceHaveOneLog) {
  constexpr size_t kReplicas = 4;
  std::vector<std::unique_ptr<TaskQueue>> queues;
  std::vector<absl::StatusOr<std::unique_ptr<Topic>>> topics(kReplicas);
  absl::BlockingCounter opened(kReplicas);
  for (size_t i = 0; i < kReplicas; ++i) {
    queues.push_back(scheduler_->NewQueue("replica", QueueKind::kBlocking));
    queues.back()->Post([&, i] {
      LogIdentity identity = NewLogIdentity("visits", SystemClock(), SystemRandom());
      identity.partitions = 2;
      topics[i] = kafka::OpenTopic(topic_, identity, *scheduler_);
      opened.DecrementCount();
    });
  }
  opened.Wait();
  ASSERT_TRUE(topics[0].ok()) << topics[0].status();
  const LogIdentity first = (*topics[0])->identity();
  for (size_t i = 0; i < kReplicas; ++i) {
    ASSERT_TRUE(topics[i].ok()) << topics[i].status();
    EXPECT_EQ((*topics[i])->identity(), first);
    KafkaLogOptions options;
    options.folder = Folder(absl::StrCat("replica", i));
    const auto log =
        KafkaEventLog::Open(*std::move(topics[i]), options, SystemFiles(), *scheduler_);
    ASSERT_TRUE(log.ok()) << log.status();
    EXPECT_TRUE((*log)->health().ok());
  }
}

TEST_F(KafkaEventLogTest, AFolderOfAnotherTopicIsRefused) {
  Open("a").reset();
  topic_ = kafka::NewTestRegion("visits");
  identity_.log_id = NewUuid(SystemClock().Now(), SystemRandom());
  EXPECT_EQ(StatusReason(TryOpen("a").status()), "FOREIGN_LOG");
}

TEST_F(KafkaEventLogTest, OneFolderIsOfOneReplica) {
  const auto log = Open("a");
  EXPECT_EQ(StatusReason(TryOpen("a").status()), "DATA_FOLDER_IN_USE");
}

TEST_F(KafkaEventLogTest, AReplicaThatReadWhatTheTopicDoesNotHaveIsTold) {
  {
    const auto log = Open("a");
    FoldState chain = Begin(*log, 0, "a:1").value();
    ASSERT_TRUE(Append(*log, 0, chain, {"one", "two"}).ok());
  }
  // The same log, from before that: as if the brokers had lost their end.
  topic_ = kafka::NewTestRegion("visits");
  const auto fresh = kafka::OpenTopic(topic_, identity_, *scheduler_);
  ASSERT_TRUE(fresh.ok());
  ASSERT_TRUE(SystemFiles().WriteAtomically(Folder("a") + "/place", (*fresh)->place_id()).ok());
  const absl::Status lost = TryOpen("a").status();
  EXPECT_TRUE(absl::IsDataLoss(lost)) << lost;
  EXPECT_THAT(std::string(lost.message()), HasSubstr("partition 0, sequence"));
}

// However what it reads is cut: the records and the epoch record behind them may come at once.
TEST_F(KafkaEventLogTest, AnEpochWhoseWriterKnewAnotherEntryIsToldWhereverItIsRead) {
  const auto follower = Open("b");
  {
    const auto log = Open("a");
    FoldState chain = Begin(*log, 0, "a:1").value();
    FoldState known = chain;
    ASSERT_TRUE(Append(*log, 0, chain, {"one"}).ok());
    known.next = chain.next;
    known.head_hash = Hash();
    ASSERT_TRUE(Append(*log, 0, chain, {"two", "three"}).ok());
    ASSERT_TRUE(Reaches(*follower, 0, chain));
    SendRaw(MessageKey(identity_, 1),
            EncodeEpochRecord(known, 0, "c:1", absl::Now(), SystemRandom()));
  }
  for (const std::string replica : {"b", "c"}) {
    const absl::Status told =
        replica == "b" ? AwaitTrouble(*follower) : AwaitTrouble(*Open(replica));
    EXPECT_TRUE(absl::IsDataLoss(told)) << told;
    EXPECT_THAT(std::string(told.message()), HasSubstr("partition 0, sequence 2")) << told;
  }
}

TEST_F(KafkaEventLogTest, ALogIsCopiedToSqliteAndBackWithItsPositionsAndHashes) {
  FoldState chain;
  const auto log = Open("a");
  chain = Begin(*log, 1, "a:1").value();
  ASSERT_TRUE(Append(*log, 1, chain, {"one", "two"}).ok());
  const auto ignore = [](Partition, uint64_t) {};
  std::unique_ptr<LogImport> target =
      ImportIntoSqlite(identity_, Folder("copy"), SystemFiles()).value();
  ASSERT_TRUE(CopyLog(*log, *target, ignore).ok());
  // What came meanwhile, after an interruption.
  target.reset();
  ASSERT_TRUE(Append(*log, 1, chain, {"three"}).ok());
  target = ImportIntoSqlite(identity_, Folder("copy"), SystemFiles()).value();
  EXPECT_EQ(target->Head(1)->next, 4u);
  ASSERT_TRUE(CopyLog(*log, *target, ignore).ok());
  ASSERT_TRUE(target->Finish().ok());
  target.reset();
  SqliteLogOptions options;
  options.folder = Folder("copy");
  const auto copy = SqliteEventLog::Open(options, SystemFiles(), *scheduler_);
  ASSERT_TRUE(copy.ok()) << copy.status();
  EXPECT_EQ((*copy)->Head(1)->head_hash, chain.head_hash);

  topic_ = kafka::NewTestRegion("visits");
  auto topic = kafka::OpenTopic(topic_, identity_, *scheduler_);
  ASSERT_TRUE(topic.ok()) << topic.status();
  target = ImportIntoTopic(*std::move(topic)).value();
  ASSERT_TRUE(CopyLog(**copy, *target, ignore).ok());
  target.reset();
  const auto back = Open("b");
  EXPECT_EQ(back->Head(1)->head_hash, chain.head_hash);
  EXPECT_EQ(back->Head(1)->owner, "a:1");
  // It goes on from there; the log it came from does not have that.
  FoldState on = Begin(*back, 1, "b:1").value();
  ASSERT_TRUE(Append(*back, 1, on, {"four"}).ok());
  target = ImportIntoTopic(kafka::OpenTopic(topic_, identity_, *scheduler_).value()).value();
  EXPECT_EQ(StatusReason(CopyLog(**copy, *target, ignore)), "OTHER_HISTORY");
}

// Two writers may have made the topic at once; what is of another log is never passed over.
TEST_F(KafkaEventLogTest, AnImportReadsATopicAsItsReplicasDo) {
  const auto import = [this] {
    return ImportIntoTopic(kafka::OpenTopic(topic_, identity_, *scheduler_).value()).status();
  };
  SendRaw(MessageKey(identity_, kIdentitySend), EncodeIdentity(identity_).value());
  EXPECT_EQ(import(), absl::OkStatus());
  EXPECT_TRUE(Open("a")->health().ok());
  SendRaw("another key", "value");
  EXPECT_EQ(StatusReason(import()), "FOREIGN_ENTRY");
  EXPECT_EQ(StatusReason(Open("a")->health()), "FOREIGN_ENTRY");
}

}  // namespace
}  // namespace buurtlog::eventlog
