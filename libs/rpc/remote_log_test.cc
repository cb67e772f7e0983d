#include "libs/rpc/remote_log.h"

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "buurtlog/log/v1/log_service.grpc.pb.h"
#include "libs/base/testing/patience.h"
#include "libs/eventlog/memory_event_log.h"
#include "libs/rpc/service_host.h"
#include "libs/rpc/status_conversion.h"

namespace buurtlog::rpc {
namespace {

using eventlog::EntryView;
using eventlog::FoldState;
using eventlog::LogIdentity;
using eventlog::LogReader;
using eventlog::MemoryEventLog;

constexpr eventlog::Partition kPartition = 1;
const absl::Duration kWait = Patience(absl::Seconds(20));

LogIdentity NewIdentity() {
  LogIdentity identity;
  identity.log_id = NewUuid(absl::Now(), SystemRandom());
  identity.service = "visits";
  identity.partitions = 2;
  identity.synthetic = true;
  return identity;
}

// A memory log served by a host, and a reader on the other side of a TCP connection.
class RemoteLogTest : public ::testing::Test {
 protected:
  RemoteLogTest() {
    std::filesystem::create_directories(folder_);
    issuer_ = *identity::DevIssuer::Open(folder_, SystemFiles(), SystemClock(), SystemRandom());
    NewLog(NewIdentity());
  }
  ~RemoteLogTest() override {
    remote_.reset();
    host_.reset();
    std::filesystem::remove_all(folder_);
  }

  void NewLog(const LogIdentity& identity) {
    log_ = std::make_unique<MemoryEventLog>(identity, *scheduler_);
    absl::Notification done;
    log_->BeginEpoch(kPartition, "test", [&](absl::StatusOr<FoldState> state) {
      ASSERT_TRUE(state.ok()) << state.status();
      head_ = *state;
      done.Notify();
    });
    done.WaitForNotification();
  }

  void StartHost(const std::string& address = "127.0.0.1:0") {
    std::vector<Service> services;
    services.push_back(MakeLogService({{log_.get(), nullptr}}, *scheduler_));
    HostOptions options;
    options.address = address;
    absl::StatusOr<std::unique_ptr<ServiceHost>> host = ServiceHost::Start(
        options, std::move(services), {*issuer_, SystemClock(), SystemRandom(), registry_});
    ASSERT_TRUE(host.ok()) << host.status();
    host_ = *std::move(host);
    address_ = absl::StrCat("127.0.0.1:", host_->port());
  }

  std::string Token(access::v1::Role role) {
    identity::Caller caller;
    caller.role = role;
    return issuer_->Issue(caller);
  }

  absl::Status Connect(access::v1::Role role = access::v1::ROLE_SERVICE,
                       const std::string& service = "visits", absl::Duration wait = kWait) {
    absl::StatusOr<std::unique_ptr<LogReader>> remote = ConnectRemoteLog(
        grpc::CreateChannel(address_, grpc::InsecureChannelCredentials()), service,
        [this, role] { return Token(role); }, *scheduler_, wait);
    if (!remote.ok()) return remote.status();
    remote_ = *std::move(remote);
    at_ = eventlog::InitialFoldState(remote_->identity(), kPartition);
    return absl::OkStatus();
  }

  // Appends entries with these bodies.
  void Append(const std::vector<std::string>& bodies) {
    std::vector<std::string> entries;
    for (const std::string& body : bodies) {
      eventlog::EntryHeader header;
      header.partition = kPartition;
      header.epoch = head_.epoch;
      header.sequence = head_.next;
      header.previous_hash = head_.head_hash;
      entries.push_back(eventlog::EncodeEntry(header, body));
      head_.head_hash = eventlog::EntryHash(head_.head_hash, entries.back());
      ++head_.next;
    }
    absl::Notification done;
    log_->Append(kPartition, head_.epoch, std::move(entries), [&](const absl::Status& status) {
      EXPECT_TRUE(status.ok()) << status;
      done.Notify();
    });
    done.WaitForNotification();
  }

  absl::Status ReadOnce(const eventlog::ReadLimits& limits = {}) {
    return remote_->Read(kPartition, at_, limits, [&](const EntryView& entry) {
      if (entry.header.kind == eventlog::EntryKind::kRecord) bodies_.emplace_back(entry.body);
      return absl::OkStatus();
    });
  }

  // Reads, woken by the log, until it has come to `next` or reads end with `expected`.
  absl::Status ReadUntil(eventlog::Sequence next,
                         absl::StatusCode expected = absl::StatusCode::kOk) {
    struct Woken {
      absl::Mutex mutex;
      bool woken = true;
    };
    const auto woken = std::make_shared<Woken>();
    const auto subscription = remote_->Watch([woken](eventlog::Partition partition) {
      if (partition != kPartition) return;
      absl::MutexLock lock(&woken->mutex);
      woken->woken = true;
    });
    const absl::Time end = absl::Now() + kWait;
    while (absl::Now() < end) {
      {
        absl::MutexLock lock(&woken->mutex);
        woken->mutex.AwaitWithDeadline(absl::Condition(&woken->woken), end);
        woken->woken = false;
      }
      const eventlog::Sequence before = at_.next;
      const absl::Status status = ReadOnce();
      if (expected != absl::StatusCode::kOk && status.code() == expected) return status;
      if (at_.next >= next) return absl::OkStatus();
      if (at_.next != before) {
        absl::MutexLock lock(&woken->mutex);
        woken->woken = true;
      }
    }
    return absl::DeadlineExceededError("nothing more came");
  }

  const std::string folder_ = absl::StrCat(::testing::TempDir(), "/remote-log-", getpid());
  std::unique_ptr<Scheduler> scheduler_ = NewThreadPoolScheduler(2);
  prometheus::Registry registry_;
  std::unique_ptr<identity::DevIssuer> issuer_;
  std::unique_ptr<MemoryEventLog> log_;
  FoldState head_;
  std::unique_ptr<ServiceHost> host_;
  std::string address_;
  std::unique_ptr<LogReader> remote_;
  FoldState at_;
  std::vector<std::string> bodies_;
};

TEST_F(RemoteLogTest, AReaderCatchesUpAndThenFollows) {
  Append({"a", "b"});
  StartHost();
  ASSERT_EQ(Connect(), absl::OkStatus());
  EXPECT_EQ(remote_->identity(), log_->identity());
  ASSERT_EQ(ReadUntil(head_.next), absl::OkStatus());
  Append({"c"});
  ASSERT_EQ(ReadUntil(head_.next), absl::OkStatus());
  Append({"d", "e"});
  ASSERT_EQ(ReadUntil(head_.next), absl::OkStatus());
  EXPECT_THAT(bodies_, ::testing::ElementsAre("a", "b", "c", "d", "e"));
  EXPECT_EQ(at_.head_hash, head_.head_hash);
  EXPECT_EQ(at_.epoch, head_.epoch);
}

TEST_F(RemoteLogTest, MoreThanTheBufferHoldsComesInPieces) {
  std::vector<std::string> expected;
  for (int i = 0; i < 24; ++i) {
    expected.push_back(absl::StrCat(i, std::string(500'000, 'x')));
    Append({expected.back()});
  }
  StartHost();
  ASSERT_EQ(Connect(), absl::OkStatus());
  ASSERT_EQ(ReadUntil(head_.next), absl::OkStatus());
  EXPECT_EQ(bodies_, expected);
}

TEST_F(RemoteLogTest, LimitsOfAReadAreKept) {
  Append({"a", "b", "c"});
  StartHost();
  ASSERT_EQ(Connect(), absl::OkStatus());
  while (at_.next < head_.next) {
    const eventlog::Sequence before = at_.next;
    ASSERT_EQ(ReadOnce({.entries_max = 1}), absl::OkStatus());
    EXPECT_LE(at_.next, before + 1);
  }
  EXPECT_THAT(bodies_, ::testing::ElementsAre("a", "b", "c"));
}

TEST_F(RemoteLogTest, TwoReadersAtDifferentPlacesDoNotDisturbEachOther) {
  Append({"a", "b", "c"});
  StartHost();
  ASSERT_EQ(Connect(), absl::OkStatus());
  const FoldState start = at_;
  ASSERT_EQ(ReadUntil(head_.next), absl::OkStatus());
  const FoldState first = std::exchange(at_, start);
  ASSERT_EQ(ReadUntil(head_.next), absl::OkStatus());
  EXPECT_EQ(at_, first);
  EXPECT_THAT(bodies_, ::testing::ElementsAre("a", "b", "c", "a", "b", "c"));
}

TEST_F(RemoteLogTest, AnErrorOfTheVisitorLeavesThePlaceBeforeTheEntry) {
  Append({"a", "b", "c"});
  StartHost();
  ASSERT_EQ(Connect(), absl::OkStatus());
  ASSERT_EQ(ReadUntil(2), absl::OkStatus());
  const auto refuse_b = [&](const EntryView& entry) {
    return entry.body == "b" ? absl::AbortedError("not now") : absl::OkStatus();
  };
  at_ = eventlog::InitialFoldState(remote_->identity(), kPartition);
  absl::Status status;
  while (status.ok()) status = remote_->Read(kPartition, at_, {}, refuse_b);
  EXPECT_EQ(status, absl::AbortedError("not now"));
  EXPECT_EQ(at_.next, 3);
  bodies_.clear();
  ASSERT_EQ(ReadUntil(head_.next), absl::OkStatus());
  EXPECT_THAT(bodies_, ::testing::ElementsAre("b", "c"));
}

TEST_F(RemoteLogTest, WhenTheOtherSideComesBackTheReaderGoesOn) {
  Append({"a"});
  StartHost();
  ASSERT_EQ(Connect(), absl::OkStatus());
  ASSERT_EQ(ReadUntil(head_.next), absl::OkStatus());
  host_.reset();
  EXPECT_TRUE(absl::IsUnavailable(ReadUntil(100, absl::StatusCode::kUnavailable)));
  EXPECT_TRUE(absl::IsUnavailable(remote_->Head(kPartition).status()));
  Append({"b"});
  StartHost(address_);
  ASSERT_EQ(ReadUntil(head_.next), absl::OkStatus());
  EXPECT_THAT(bodies_, ::testing::ElementsAre("a", "b"));
}

TEST_F(RemoteLogTest, AnotherLogInItsPlaceIsDataLoss) {
  Append({"a", "b"});
  StartHost();
  ASSERT_EQ(Connect(), absl::OkStatus());
  ASSERT_EQ(ReadUntil(head_.next), absl::OkStatus());
  host_.reset();
  NewLog(NewIdentity());
  Append({"a", "b", "c"});
  StartHost(address_);
  const absl::Status status = ReadUntil(100, absl::StatusCode::kDataLoss);
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_EQ(bodies_.size(), 2u);
}

TEST_F(RemoteLogTest, AShorterLogIsDataLoss) {
  const LogIdentity identity = log_->identity();
  Append({"a", "b"});
  StartHost();
  ASSERT_EQ(Connect(), absl::OkStatus());
  ASSERT_EQ(ReadUntil(head_.next), absl::OkStatus());
  host_.reset();
  NewLog(identity);
  StartHost(address_);
  const absl::Status status = ReadUntil(100, absl::StatusCode::kDataLoss);
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
}

TEST_F(RemoteLogTest, DamagedBytesAreDataLossNamingThePlaceAndWhatIsBeforeComes) {
  Append({"a", "b", "c"});
  log_->FlipByte(kPartition, 3, eventlog::kHeaderBytes);
  StartHost();
  ASSERT_EQ(Connect(), absl::OkStatus());
  const absl::Status status = ReadUntil(100, absl::StatusCode::kDataLoss);
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(status.ToString(), ::testing::HasSubstr("partition 1, sequence 3"));
  EXPECT_THAT(bodies_, ::testing::ElementsAre("a"));
}

TEST_F(RemoteLogTest, HeadAndSeekAreThoseOfTheLog) {
  Append({"a", "b", "c"});
  StartHost();
  ASSERT_EQ(Connect(), absl::OkStatus());
  const absl::StatusOr<FoldState> head = remote_->Head(kPartition);
  ASSERT_TRUE(head.ok()) << head.status();
  EXPECT_EQ(*head, *log_->Head(kPartition));
  const absl::StatusOr<FoldState> place = remote_->Seek(kPartition, 3);
  ASSERT_TRUE(place.ok()) << place.status();
  EXPECT_EQ(*place, *log_->Seek(kPartition, 3));
  at_ = *place;
  ASSERT_EQ(ReadUntil(head_.next), absl::OkStatus());
  EXPECT_THAT(bodies_, ::testing::ElementsAre("b", "c"));
  EXPECT_TRUE(absl::IsOutOfRange(remote_->Seek(kPartition, 5).status()));
  EXPECT_TRUE(absl::IsOutOfRange(remote_->Seek(kPartition, 99).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(remote_->Head(2).status()));
}

TEST_F(RemoteLogTest, OnlyServicesMayRead) {
  StartHost();
  EXPECT_TRUE(absl::IsPermissionDenied(Connect(access::v1::ROLE_NURSE)));
  // Operators see how far a log goes, and none of its entries.
  ASSERT_EQ(Connect(access::v1::ROLE_OPERATOR), absl::OkStatus());
  EXPECT_TRUE(remote_->Head(kPartition).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(ReadUntil(100, absl::StatusCode::kPermissionDenied)));
}

TEST_F(RemoteLogTest, AnUnknownServiceIsNotFoundAndASilentOneUnavailable) {
  StartHost();
  EXPECT_TRUE(absl::IsNotFound(Connect(access::v1::ROLE_SERVICE, "clients")));
  host_.reset();
  EXPECT_TRUE(
      absl::IsUnavailable(Connect(access::v1::ROLE_SERVICE, "visits", absl::Milliseconds(50))));
}

TEST_F(RemoteLogTest, WithoutFollowTheStreamEndsWhereTheLogEnds) {
  Append({"a", "b"});
  StartHost();
  const auto stub = log::v1::LogService::NewStub(host_->InProcessChannel());
  const auto watch = [&](uint64_t from, std::vector<std::string>& entries) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", "Bearer " + Token(access::v1::ROLE_SERVICE));
    log::v1::WatchRequest request;
    request.set_service("visits");
    request.set_partition(kPartition);
    request.set_from_sequence(from);
    const auto reader = stub->Watch(&context, request);
    log::v1::WatchResponse response;
    while (reader->Read(&response)) {
      for (const std::string& entry : response.entries()) entries.push_back(entry);
      EXPECT_EQ(response.head_sequence(), 3);
    }
    return FromGrpc(reader->Finish());
  };
  std::vector<std::string> all, last, none;
  EXPECT_EQ(watch(0, all), absl::OkStatus());
  EXPECT_EQ(all.size(), 3u);  // the epoch record and two more
  EXPECT_EQ(watch(3, last), absl::OkStatus());
  EXPECT_THAT(last, ::testing::ElementsAre(all[2]));
  EXPECT_EQ(watch(4, none), absl::OkStatus());
  EXPECT_TRUE(none.empty());
  EXPECT_TRUE(absl::IsOutOfRange(watch(5, none)));
}

}  // namespace
}  // namespace buurtlog::rpc
