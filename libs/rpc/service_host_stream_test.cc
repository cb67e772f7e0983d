#include "libs/rpc/testing/hosted_service.h"

namespace buurtlog::rpc {
namespace {

TEST_F(ServiceHostTest, DrainWaitsForCallsUnderWayAndTakesNoNewOnes) {
  Start();
  absl::Notification arrived;
  Reply<GetIdentityResponse> held;
  identity_ = [&](const CallContext&, const GetIdentityRequest&, Reply<GetIdentityResponse> reply) {
    held = std::move(reply);
    arrived.Notify();
  };
  absl::Status status = absl::UnknownError("");
  std::thread caller([&] { status = GetIdentity(); });
  arrived.WaitForNotification();
  std::thread drain([&] { host_->Drain(); });
  // The answer comes while the host drains, or just before: it arrives in either case.
  held(GetIdentityResponse());
  caller.join();
  drain.join();
  EXPECT_EQ(status, absl::OkStatus());
  grpc::ClientContext context;
  Authorize(context);
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
  EXPECT_TRUE(absl::IsUnavailable(GetIdentity(context)));
  EXPECT_EQ(calls_, 1);
  host_->Drain();
}

TEST_F(ServiceHostTest, DrainEndsThoughAHandlerNeverAnswers) {
  Start({.drain_max = absl::Milliseconds(10)});
  absl::Notification arrived;
  Reply<GetIdentityResponse> held;
  identity_ = [&](const CallContext&, const GetIdentityRequest&, Reply<GetIdentityResponse> reply) {
    held = std::move(reply);
    arrived.Notify();
  };
  std::thread caller([&] { EXPECT_FALSE(GetIdentity().ok()); });
  arrived.WaitForNotification();
  host_.reset();
  caller.join();
  held(GetIdentityResponse());
}

TEST_F(ServiceHostTest, AStreamKeepsItsOrder) {
  Start();
  constexpr uint64_t kMessages = 200;
  std::function<void(std::shared_ptr<StreamWriter<WatchResponse>>, uint64_t)> next =
      [&](std::shared_ptr<StreamWriter<WatchResponse>> writer, uint64_t i) {
        if (i == kMessages) {
          writer->Finish(absl::DataLossError("the end"));
          return;
        }
        WatchResponse response;
        response.set_head_sequence(i);
        StreamWriter<WatchResponse>& out = *writer;
        out.Write(std::move(response), [&next, i, writer = std::move(writer)](absl::Status status) {
          if (status.ok()) next(writer, i + 1);
        });
      };
  watch_ = [&](const CallContext&, const WatchRequest&, auto writer) {
    next(std::move(writer), 0);
  };
  grpc::ClientContext context;
  Authorize(context, access::v1::ROLE_SERVICE);
  WatchRequest request;
  request.set_service("visits");
  const auto reader = stub_->Watch(&context, request);
  WatchResponse response;
  for (uint64_t i = 0; i < kMessages; ++i) {
    ASSERT_TRUE(reader->Read(&response));
    EXPECT_EQ(response.head_sequence(), i);
  }
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_EQ(FromGrpc(reader->Finish()), absl::DataLossError("the end"));
}

TEST_F(ServiceHostTest, AStreamIsGuardedLikeAnyCall) {
  Start();
  grpc::ClientContext context;
  Authorize(context, access::v1::ROLE_OPERATOR);
  const auto reader = stub_->Watch(&context, WatchRequest());
  WatchResponse response;
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_TRUE(absl::IsPermissionDenied(FromGrpc(reader->Finish())));
}

TEST_F(ServiceHostTest, AStreamLearnsThatItsCallerHasGone) {
  Start();
  absl::Notification started, ended;
  std::shared_ptr<StreamWriter<WatchResponse>> held;
  watch_ = [&](const CallContext&, const WatchRequest&, auto writer) {
    held = writer;
    writer->OnEnd([&] { ended.Notify(); });
    started.Notify();
  };
  grpc::ClientContext context;
  Authorize(context, access::v1::ROLE_SERVICE);
  WatchRequest request;
  request.set_service("visits");
  const auto reader = stub_->Watch(&context, request);
  started.WaitForNotification();
  EXPECT_FALSE(held->ended());
  context.TryCancel();
  ended.WaitForNotification();
  EXPECT_TRUE(held->ended());
  absl::Status written;
  held->Write(WatchResponse(), [&](absl::Status status) { written = status; });
  EXPECT_TRUE(absl::IsCancelled(written));
  held->Finish(absl::OkStatus());
  EXPECT_TRUE(absl::IsCancelled(FromGrpc(reader->Finish())));
}

TEST_F(ServiceHostTest, DrainEndsStreamsThatFollow) {
  Start();
  absl::Notification started;
  std::shared_ptr<StreamWriter<WatchResponse>> held;
  watch_ = [&](const CallContext&, const WatchRequest&, auto writer) {
    held = writer;
    started.Notify();
  };
  grpc::ClientContext context;
  Authorize(context, access::v1::ROLE_SERVICE);
  WatchRequest request;
  request.set_service("visits");
  const auto reader = stub_->Watch(&context, request);
  started.WaitForNotification();
  std::thread drain([&] { host_.reset(); });
  EXPECT_TRUE(absl::IsUnavailable(FromGrpc(reader->Finish())));
  drain.join();
  EXPECT_TRUE(held->ended());
}

}  // namespace
}  // namespace buurtlog::rpc
