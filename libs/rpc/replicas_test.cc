// Commands that one replica hands to another by gRPC.
#include "libs/rpc/replicas.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "libs/base/refusal.h"
#include "libs/base/testing/patience.h"
#include "libs/eventsourcing/testing/list_aggregate.h"
#include "libs/identity/tokens.h"
#include "libs/rpc/service_host.h"

namespace buurtlog::rpc {
namespace {

using eventsourcing::Command;
using eventsourcing::testing::ListType;
using eventsourcing::testing::RequestFor;
using Answer = absl::StatusOr<type::v1::Receipt>;

class ReplicasTest : public ::testing::Test {
 protected:
  ReplicasTest()
      : folder_(absl::StrCat(::testing::TempDir(), "replicas_",
                             NewUuid(absl::Now(), SystemRandom()).ToString())),
        scheduler_(NewThreadPoolScheduler(2)) {
    std::filesystem::create_directories(folder_);
    auto issuer = identity::DevIssuer::Open(folder_, SystemFiles(), SystemClock(), SystemRandom());
    EXPECT_TRUE(issuer.ok()) << issuer.status();
    issuer_ = *std::move(issuer);
    eventsourcing::NodeOptions options;
    options.service = "lists";
    options.data_folder = folder_;
    options.command_hash_key = std::string(32, 'k');
    auto node = eventsourcing::ServiceNode::Open(
        options, {SystemClock(), SystemRandom(), SystemFiles(), *scheduler_, metrics_},
        {&ListType()});
    EXPECT_TRUE(node.ok()) << node.status();
    node_ = *std::move(node);
    EXPECT_TRUE(node_->Start().ok());
    std::vector<Service> services;
    services.push_back(MakeReplicaService({node_.get()}));
    auto host = ServiceHost::Start({.address = "127.0.0.1:0"}, std::move(services),
                                   {*issuer_, SystemClock(), SystemRandom(), metrics_});
    EXPECT_TRUE(host.ok()) << host.status();
    host_ = *std::move(host);
  }
  ~ReplicasTest() override {
    host_.reset();
    node_.reset();
    std::filesystem::remove_all(folder_);
  }

  std::string address() const { return absl::StrCat("127.0.0.1:", host_->port()); }
  std::unique_ptr<ReplicaForwarder> Forwarder(
      const std::string& service, access::v1::Role role = access::v1::ROLE_SERVICE) const {
    return std::make_unique<ReplicaForwarder>(service, [this, role] {
      identity::Caller caller;
      caller.role = role;
      return issuer_->Issue(caller);
    });
  }
  static Command Append(const Uuid& list, const std::string& text) {
    Command command = MakeCommand(ListType(), list, list, RequestFor({text}));
    command.idempotency_key = NewUuid(absl::Now(), SystemRandom());
    command.actor.set_person_id(list.ToBytes());
    return command;
  }
  static Answer Forward(ReplicaForwarder& forwarder, const std::string& owner,
                        const Command& command) {
    absl::Notification answered;
    std::optional<Answer> answer;
    forwarder.Forward(owner, ToHanded(command), absl::Now() + Patience(absl::Seconds(20)),
                      [&](Answer a) {
                        answer = std::move(a);
                        answered.Notify();
                      });
    answered.WaitForNotification();
    return *answer;
  }

  const std::string folder_;
  const Uuid list_ = NewUuid(absl::Now(), SystemRandom());
  const std::unique_ptr<Scheduler> scheduler_;
  prometheus::Registry metrics_;
  std::unique_ptr<identity::DevIssuer> issuer_;
  std::unique_ptr<eventsourcing::ServiceNode> node_;
  std::unique_ptr<ServiceHost> host_;
};

TEST_F(ReplicasTest, ACommandIsDecidedByTheReplicaAtTheAddress) {
  const auto forwarder = Forwarder("lists");
  const Command command = Append(list_, "one");
  const Answer answer = Forward(*forwarder, address(), command);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->version(), 1);
  const Answer again = Forward(*forwarder, address(), command);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->SerializeAsString(), answer->SerializeAsString());
}

TEST_F(ReplicasTest, ARefusalComesBackWithItsReason) {
  const auto forwarder = Forwarder("lists");
  ASSERT_TRUE(Forward(*forwarder, address(), Append(list_, "one")).ok());
  const Answer refused = Forward(*forwarder, address(), Append(list_, "refuse"));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(StatusReason(refused.status()), "NOT_TODAY");
}

TEST_F(ReplicasTest, AProcessWithoutTheServiceIsNotTheOwner) {
  const Answer answer = Forward(*Forwarder("others"), address(), Append(list_, "one"));
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(StatusReason(answer.status()), "NOT_OWNER");
}

TEST_F(ReplicasTest, OnlyServicesMayHandCommandsOver) {
  const auto forwarder = Forwarder("lists", access::v1::ROLE_NURSE);
  const Answer answer = Forward(*forwarder, address(), Append(list_, "one"));
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kPermissionDenied);
}

// Keys that are being rotated, a clock that is ahead: trouble between replicas, and not what a
// caller asked for.
TEST_F(ReplicasTest, ATokenThatTheOwnerRefusesIsNoVerdictOnTheCommand) {
  ReplicaForwarder forwarder("lists", [] { return std::string("not a token"); });
  const Answer answer = Forward(forwarder, address(), Append(list_, "one"));
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable) << answer.status();
  EXPECT_THAT(std::string(answer.status().message()),
              ::testing::StartsWith("the owner of the partition"));
}

TEST_F(ReplicasTest, AnAddressWhereNobodyListensIsUnavailable) {
  const std::string gone = address();
  host_.reset();
  const Answer answer = Forward(*Forwarder("lists"), gone, Append(list_, "one"));
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable);
}

// The owner's process stands still: its machine takes the connection, and nobody answers.
TEST_F(ReplicasTest, CallsUnderWayAreAnsweredWhenTheForwarderGoes) {
  const int listening = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in local{};
  local.sin_family = AF_INET;
  local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(local);
  ASSERT_EQ(bind(listening, reinterpret_cast<sockaddr*>(&local), size), 0);
  ASSERT_EQ(listen(listening, 1), 0);
  ASSERT_EQ(getsockname(listening, reinterpret_cast<sockaddr*>(&local), &size), 0);
  auto forwarder = Forwarder("lists");
  std::optional<Answer> answer;
  forwarder->Forward(absl::StrCat("127.0.0.1:", ntohs(local.sin_port)),
                     ToHanded(Append(list_, "one")), absl::Now() + Patience(absl::Seconds(60)),
                     [&answer](Answer a) { answer = std::move(a); });
  forwarder.reset();
  close(listening);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace buurtlog::rpc
