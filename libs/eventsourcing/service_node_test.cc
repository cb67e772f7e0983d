#include "libs/eventsourcing/service_node.h"

#include <gmock/gmock.h>
#include <google/protobuf/struct.pb.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <future>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "libs/base/status_macros.h"
#include "libs/eventsourcing/testing/executor_world.h"

namespace buurtlog::eventsourcing {
namespace {

using testing::Answer;
using testing::ListType;
using testing::ListValue;
using testing::Value;

// One row for each text.
class Texts final : public ReadModel {
 public:
  Texts() {
    spec_.name = "texts";
    spec_.services = {"lists"};
    spec_.ddl = "CREATE TABLE text(id BLOB PRIMARY KEY, text TEXT NOT NULL)";
    spec_.tables = {{"text", {"id"}, {"text"}, "id"}};
  }
  const ReadModelSpec& spec() const override { return spec_; }
  absl::Status Apply(const EventEnvelope& envelope, const google::protobuf::Message& event,
                     sqlite::Connection& rows) override {
    return rows.Cached("INSERT INTO text(id, text) VALUES(?,?)")
        .BindBlob(1, envelope.event_id.ToBytes())
        .Bind(2, std::string_view(static_cast<const Value&>(event).string_value()))
        .Run();
  }

 private:
  ReadModelSpec spec_;
};

// Does not get past its first event until it may.
class Halting final : public Process {
 public:
  std::string_view name() const override { return "halting"; }
  std::vector<std::string> services() const override { return {"lists"}; }
  std::vector<Command> React(const EventEnvelope&,
                             const google::protobuf::Message&) const override {
    if (!halts.HasBeenNotified()) halts.Notify();
    may_go_on.WaitForNotification();
    return {};
  }
  mutable absl::Notification halts;
  mutable absl::Notification may_go_on;
};

class ServiceNodeTest : public ::testing::Test {
 protected:
  ServiceNodeTest()
      : folder_(absl::StrCat(::testing::TempDir(), "node_",
                             NewUuid(absl::Now(), SystemRandom()).ToString())),
        scheduler_(NewThreadPoolScheduler(2)) {}
  ~ServiceNodeTest() override {
    node_ = nullptr;
    scheduler_ = nullptr;
    std::filesystem::remove_all(folder_);
  }

  absl::Status Open() {
    NodeOptions options;
    options.service = "lists";
    options.data_folder = folder_;
    options.owner = "test";
    ABSL_ASSIGN_OR_RETURN(
        options.command_hash_key,
        LoadOrMakeCommandHashKey(folder_, folder_, SystemFiles(), SystemRandom()));
    ABSL_ASSIGN_OR_RETURN(
        node_,
        ServiceNode::Open(options, {clock_, SystemRandom(), SystemFiles(), *scheduler_, metrics_},
                          {&ListType()}));
    return absl::OkStatus();
  }

  Command Append(const Uuid& list, const std::string& text) {
    Command command = MakeCommand(ListType(), list, list, testing::RequestFor({text}));
    command.idempotency_key = NewUuid(clock_.Now(), SystemRandom());
    command.actor.set_person_id(actor_.ToBytes());
    return command;
  }

  Answer Run(Command command) {
    std::promise<Answer> answer;
    node_->executor().Execute(std::move(command),
                              [&](Answer a) { answer.set_value(std::move(a)); });
    return answer.get_future().get();
  }

  absl::StatusOr<int64_t> CountRows(ProjectionRunner& runner, const Position& min) {
    std::promise<absl::StatusOr<int64_t>> count;
    runner.Query<int64_t>(
        {min}, absl::InfiniteFuture(),
        [](sqlite::Connection& rows) -> absl::StatusOr<int64_t> {
          sqlite::Statement& select = rows.Cached("SELECT count(*) FROM text");
          ABSL_RETURN_IF_ERROR(select.Step().status());
          const int64_t value = select.Int(0);
          select.Reset();
          return value;
        },
        [&](absl::StatusOr<int64_t> value) { count.set_value(std::move(value)); });
    return count.get_future().get();
  }

  const std::string folder_;
  ManualClock clock_{absl::FromUnixSeconds(1'760'000'000)};
  prometheus::Registry metrics_;
  const Uuid actor_ = NewUuid(clock_.Now(), SystemRandom());
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<ServiceNode> node_;
};

TEST_F(ServiceNodeTest, ANodeMakesItsFolderAndServesAgainAfterARestart) {
  ASSERT_TRUE(Open().ok());
  EXPECT_FALSE(node_->Ready().ok());
  ASSERT_TRUE(node_->Start().ok());
  EXPECT_TRUE(node_->log().identity().synthetic);
  const Uuid list = NewUuid(clock_.Now(), SystemRandom());
  const Command command = Append(list, "a");
  const Answer first = Run(command);
  ASSERT_TRUE(first.ok()) << first.status();
  node_ = nullptr;
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(node_->store_discarded(), "");
  ASSERT_TRUE(node_->Start().ok());
  EXPECT_TRUE(node_->Ready().ok());
  const Answer again = Run(command);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->SerializeAsString(), first->SerializeAsString());
  EXPECT_EQ(Run(Append(list, "b"))->version(), 2u);
}

TEST_F(ServiceNodeTest, AReadModelShowsWhatACommandDid) {
  ASSERT_TRUE(Open().ok());
  auto texts = node_->AddReadModel(std::make_unique<Texts>(), {node_->source()});
  ASSERT_TRUE(texts.ok()) << texts.status();
  ASSERT_TRUE(node_->Start().ok());
  const Answer answer = Run(Append(NewUuid(clock_.Now(), SystemRandom()), "a"));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(*CountRows(**texts, FromProto(answer->position())), 1);
  EXPECT_TRUE(node_->Ready().ok()) << node_->Ready();
  node_->Stop();
  EXPECT_TRUE(node_->read_models().empty());
}

TEST_F(ServiceNodeTest, AProcessThatIsBehindHoldsNobodyUp) {
  ASSERT_TRUE(Open().ok());
  ASSERT_TRUE(node_->Start().ok());
  const Uuid list = NewUuid(clock_.Now(), SystemRandom());
  ASSERT_TRUE(Run(Append(list, "a")).ok());
  node_ = nullptr;
  // The next release has a process that was not there before.
  ASSERT_TRUE(Open().ok());
  auto owned = std::make_unique<Halting>();
  const Halting& halting = *owned;
  const auto process = node_->AddProcess(std::move(owned), {node_->source()});
  ASSERT_TRUE(process.ok()) << process.status();
  ASSERT_TRUE(node_->Start().ok());
  halting.halts.WaitForNotification();
  EXPECT_FALSE((*process)->caught_up());
  EXPECT_TRUE(node_->Ready().ok()) << node_->Ready();
  EXPECT_TRUE(Run(Append(list, "b")).ok());
  halting.may_go_on.Notify();
}

TEST_F(ServiceNodeTest, ASourceThatIsMissingIsNamed) {
  ASSERT_TRUE(Open().ok());
  const absl::Status status = node_->AddReadModel(std::make_unique<Texts>(), {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), ::testing::HasSubstr("lists"));
}

TEST_F(ServiceNodeTest, AFolderInUseIsNotOpenedTwice) {
  ASSERT_TRUE(Open().ok());
  std::unique_ptr<ServiceNode> first = std::move(node_);
  EXPECT_EQ(StatusReason(Open()), "DATA_FOLDER_IN_USE");
}

TEST_F(ServiceNodeTest, TheCommandHashKeyIsMadeOnce) {
  const auto first = LoadOrMakeCommandHashKey(folder_, folder_, SystemFiles(), SystemRandom());
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->size(), 32u);
  EXPECT_EQ(*LoadOrMakeCommandHashKey(folder_, folder_, SystemFiles(), SystemRandom()), *first);
  const std::string path = folder_ + "/keys/command_hash";
  const std::string stored = *SystemFiles().Read(path);
  for (size_t at = 0; at < stored.size(); ++at) {
    std::string damaged = stored;
    damaged[at] ^= 1;
    ASSERT_TRUE(SystemFiles().WriteAtomically(path, damaged).ok());
    EXPECT_EQ(
        LoadOrMakeCommandHashKey(folder_, folder_, SystemFiles(), SystemRandom()).status().code(),
        absl::StatusCode::kDataLoss)
        << at;
  }
  // As releases before this one kept it.
  ASSERT_TRUE(SystemFiles().WriteAtomically(path, *first).ok());
  EXPECT_EQ(*LoadOrMakeCommandHashKey(folder_, folder_, SystemFiles(), SystemRandom()), *first);
  ASSERT_TRUE(SystemFiles().WriteAtomically(path, "short").ok());
  EXPECT_EQ(
      LoadOrMakeCommandHashKey(folder_, folder_, SystemFiles(), SystemRandom()).status().code(),
      absl::StatusCode::kDataLoss);
}

TEST_F(ServiceNodeTest, WithLogsNoOtherCommandHashKeyIsMade) {
  ASSERT_TRUE(LoadOrMakeCommandHashKey(folder_, folder_, SystemFiles(), SystemRandom()).ok());
  ASSERT_TRUE(Open().ok());
  ASSERT_TRUE(SystemFiles().Remove(folder_ + "/keys/command_hash").ok());
  EXPECT_EQ(
      LoadOrMakeCommandHashKey(folder_, folder_, SystemFiles(), SystemRandom()).status().code(),
      absl::StatusCode::kDataLoss);
}

TEST_F(ServiceNodeTest, AFolderThatHasLostItsLogGetsNoOtherOne) {
  ASSERT_TRUE(Open().ok());
  node_ = nullptr;
  std::filesystem::remove_all(folder_ + "/lists/log");
  const absl::Status status = Open();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), ::testing::HasSubstr("identity is missing"));
}

TEST_F(ServiceNodeTest, ManyCallersOnARealSchedulerAllGetTheirAnswer) {
  ASSERT_TRUE(Open().ok());
  ASSERT_TRUE(node_->Start().ok());
  constexpr int kCommands = 2'000;
  std::vector<Uuid> lists;
  for (int i = 0; i < 50; ++i) lists.push_back(NewUuid(clock_.Now(), SystemRandom()));
  std::vector<Command> commands;
  for (int i = 0; i < kCommands; ++i)
    commands.push_back(Append(lists[i % lists.size()], absl::StrCat(i)));
  std::promise<std::vector<Answer>> answers;
  node_->executor().ExecuteAll(std::move(commands),
                               [&](std::vector<Answer> a) { answers.set_value(std::move(a)); });
  uint64_t events = 0;
  for (const Answer& answer : answers.get_future().get()) {
    ASSERT_TRUE(answer.ok()) << answer.status();
    events += answer->event_ids_size();
  }
  EXPECT_EQ(events, static_cast<uint64_t>(kCommands));
}

TEST_F(ServiceNodeTest, TheWriteReleaseIsMadeOnceAndReadFromThenOn) {
  EXPECT_EQ(*LoadOrMakeWriteRelease(folder_, SystemFiles()), kEventRelease);
  EXPECT_EQ(*LoadOrMakeWriteRelease(folder_, SystemFiles()), kEventRelease);
  const std::string path = folder_ + "/write_release";
  ASSERT_TRUE(SystemFiles().WriteAtomically(path, absl::StrCat(kEventRelease + 1)).ok());
  EXPECT_EQ(StatusReason(LoadOrMakeWriteRelease(folder_, SystemFiles()).status()), "NEWER_RELEASE");
  ASSERT_TRUE(SystemFiles().WriteAtomically(path, "one").ok());
  EXPECT_EQ(LoadOrMakeWriteRelease(folder_, SystemFiles()).status().code(),
            absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace buurtlog::eventsourcing
