#include "libs/rpc/testing/hosted_service.h"
#include "libs/rpc/testing/http_get.h"

namespace buurtlog::rpc {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(ServiceHostTest, ACallReachesItsHandlerAndComesBack) {
  Start();
  EXPECT_EQ(GetIdentity(), absl::OkStatus());
  EXPECT_EQ(response_.identity().service(), "visits");
  EXPECT_EQ(calls_, 1);
}

TEST_F(ServiceHostTest, ACallComesInOverTcpToo) {
  Start({.address = "127.0.0.1:0"});
  ASSERT_GT(host_->port(), 0);
  stub_ = LogService::NewStub(grpc::CreateChannel(absl::StrCat("127.0.0.1:", host_->port()),
                                                  grpc::InsecureChannelCredentials()));
  EXPECT_EQ(GetIdentity(), absl::OkStatus());
}

TEST_F(ServiceHostTest, WithoutAGoodTokenTheCallerIsUnknown) {
  Start();
  const std::vector<std::string> headers = {"Bearer ", "Bearer x.y.z", "Basic abc",
                                            TokenFor(access::v1::ROLE_OPERATOR)};
  for (const std::string& header : headers) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", header);
    // The form is bad too, but who asks comes first.
    EXPECT_TRUE(absl::IsUnauthenticated(GetIdentity(context, ""))) << header;
  }
  grpc::ClientContext none;
  EXPECT_TRUE(absl::IsUnauthenticated(GetIdentity(none, "")));
  EXPECT_EQ(calls_, 0);
}

TEST_F(ServiceHostTest, ARoleThatTheRuleDoesNotNameIsDenied) {
  Start();
  for (int role = access::v1::Role_MIN + 1; role <= access::v1::Role_MAX; ++role) {
    grpc::ClientContext context;
    Authorize(context, static_cast<access::v1::Role>(role));
    const bool allowed = role == access::v1::ROLE_OPERATOR || role == access::v1::ROLE_SERVICE;
    const absl::Status status = GetIdentity(context, "");
    if (allowed) {
      EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    } else {
      EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
      EXPECT_EQ(StatusReason(status), "ROLE_NOT_ALLOWED");
    }
  }
  EXPECT_EQ(calls_, 0);
}

TEST_F(ServiceHostTest, ABadFormIsRefusedBeforeTheHandlerAndNamesTheField) {
  Start();
  grpc::ClientContext context;
  Authorize(context);
  EXPECT_EQ(StatusField(GetIdentity(context, std::string(33, 'a'))), "service");
  EXPECT_EQ(calls_, 0);
}

TEST_F(ServiceHostTest, BytesThatAreNoRequestAreAnInvalidArgument) {
  Start();
  grpc::ClientContext context;
  Authorize(context);
  google::protobuf::BytesValue request;  // field 1 as GetIdentityRequest has it, but not UTF-8
  request.set_value("\xff\xfe");
  const grpc::internal::RpcMethod method("/buurtlog.log.v1.LogService/GetIdentity",
                                         grpc::internal::RpcMethod::NORMAL_RPC);
  const grpc::Status status =
      grpc::internal::BlockingUnaryCall<google::protobuf::BytesValue, GetIdentityResponse,
                                        google::protobuf::MessageLite,
                                        google::protobuf::MessageLite>(
          channel_.get(), method, &context, request, &response_);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(calls_, 0);
}

TEST_F(ServiceHostTest, TheHandlerLearnsWhoCallsAndWhichRequestItIs) {
  Start();
  CallContext seen;
  identity_ = [&](const CallContext& call, const GetIdentityRequest&,
                  Reply<GetIdentityResponse> reply) {
    seen = call;
    reply(GetIdentityResponse());
  };
  identity::Caller caller;
  caller.person_id = NewUuid(absl::Now(), SystemRandom());
  caller.role = access::v1::ROLE_SERVICE;
  const Uuid correlation_id = NewUuid(absl::Now(), SystemRandom());
  grpc::ClientContext context;
  context.AddMetadata("authorization", "Bearer " + issuer_->Issue(caller));
  context.AddMetadata("x-correlation-id", correlation_id.ToString());
  ASSERT_EQ(GetIdentity(context), absl::OkStatus());
  EXPECT_EQ(seen.caller, caller);
  EXPECT_EQ(seen.correlation_id, correlation_id);

  ASSERT_EQ(GetIdentity(), absl::OkStatus());
  EXPECT_EQ(seen.correlation_id.Version(), 7);

  grpc::ClientContext bad;
  Authorize(bad);
  bad.AddMetadata("x-correlation-id", "x");
  EXPECT_EQ(StatusField(GetIdentity(bad)), "x-correlation-id");
}

TEST_F(ServiceHostTest, ACallBeyondTheBudgetIsRefusedUnheard) {
  HostOptions options;
  options.team_calls_per_second = 1e-4;  // one call, and then none for the time of this test
  Start(options);
  const auto person = [](access::v1::Role role) {
    identity::Caller caller;
    caller.person_id = NewUuid(absl::Now(), SystemRandom());
    caller.role = role;
    return caller;
  };
  const auto call = [&](const identity::Caller& caller, absl::Duration within) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", "Bearer " + issuer_->Issue(caller));
    context.set_deadline(absl::ToChronoTime(absl::Now() + within));
    return GetIdentity(context);
  };
  const identity::Caller operating = person(access::v1::ROLE_OPERATOR);
  EXPECT_EQ(call(operating, absl::Minutes(1)), absl::OkStatus());
  const absl::Status refused = call(operating, absl::Minutes(1));
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(StatusReason(refused), "TOO_MANY_CALLS");
  // The refusal is held back, and its caller may go before.
  EXPECT_TRUE(absl::IsDeadlineExceeded(call(operating, absl::Milliseconds(20))));
  EXPECT_EQ(calls_, 1);
  EXPECT_EQ(call(person(access::v1::ROLE_OPERATOR), absl::Minutes(1)), absl::OkStatus())
      << "somebody else";
  // What one may not do costs him a call too.
  const identity::Caller nurse = person(access::v1::ROLE_NURSE);
  EXPECT_EQ(call(nurse, absl::Minutes(1)).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(StatusReason(call(nurse, absl::Minutes(1))), "TOO_MANY_CALLS");
}

TEST_F(ServiceHostTest, EveryCallHasADeadlineWithinBounds) {
  Start({.deadline_default = absl::Seconds(20), .deadline_max = absl::Seconds(50)});
  absl::Duration left;
  identity_ = [&](const CallContext& call, const GetIdentityRequest&,
                  Reply<GetIdentityResponse> reply) {
    left = call.deadline - absl::Now();
    reply(GetIdentityResponse());
  };
  const auto left_with = [&](absl::Duration deadline) {
    grpc::ClientContext context;
    Authorize(context);
    if (deadline != absl::InfiniteDuration()) {
      context.set_deadline(absl::ToChronoTime(absl::Now() + deadline));
    }
    EXPECT_EQ(GetIdentity(context), absl::OkStatus());
    return left;
  };
  const absl::Duration slack = absl::Seconds(10);
  const auto is_about = [&](absl::Duration expected, absl::Duration got) {
    return got <= expected + absl::Seconds(1) && got > expected - slack;
  };
  EXPECT_TRUE(is_about(absl::Seconds(20), left_with(absl::InfiniteDuration()))) << left;
  EXPECT_TRUE(is_about(absl::Seconds(40), left_with(absl::Seconds(40)))) << left;
  EXPECT_TRUE(is_about(absl::Seconds(50), left_with(absl::Hours(1)))) << left;
}

TEST_F(ServiceHostTest, ALateReplyIsSafeAndTheCallerHasHadItsDeadline) {
  // The first caller sets a deadline, the second leaves it to the host.
  Start({.deadline_default = absl::Milliseconds(20)});
  std::vector<Reply<GetIdentityResponse>> late;
  std::vector<const GetIdentityRequest*> requests;
  identity_ = [&](const CallContext&, const GetIdentityRequest& request,
                  Reply<GetIdentityResponse> reply) {
    requests.push_back(&request);
    late.push_back(std::move(reply));
  };
  grpc::ClientContext context;
  Authorize(context);
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(20));
  EXPECT_TRUE(absl::IsDeadlineExceeded(GetIdentity(context)));
  EXPECT_TRUE(absl::IsDeadlineExceeded(GetIdentity()));
  host_->Drain();
  ASSERT_EQ(late.size(), requests.size());
  for (const GetIdentityRequest* request : requests) EXPECT_EQ(request->service(), "visits");
  for (auto& reply : late) reply(GetIdentityResponse());
  host_.reset();
}

TEST_F(ServiceHostTest, AReplyFromAnotherThreadArrives) {
  Start();
  std::thread thread;
  identity_ = [&](const CallContext&, const GetIdentityRequest&, Reply<GetIdentityResponse> reply) {
    thread =
        std::thread([reply = std::move(reply)]() mutable { reply(absl::AbortedError("lost")); });
  };
  EXPECT_EQ(GetIdentity(), absl::AbortedError("lost"));
  thread.join();
}

TEST_F(ServiceHostTest, ADroppedReplyIsUnavailable) {
  Start();
  identity_ = [](const CallContext&, const GetIdentityRequest&, Reply<GetIdentityResponse>) {};
  EXPECT_TRUE(absl::IsUnavailable(GetIdentity()));
}

TEST_F(ServiceHostTest, RefusalsReachTheCallerWithTheirReason) {
  Start();
  identity_ = [](const CallContext&, const GetIdentityRequest&, Reply<GetIdentityResponse> reply) {
    reply(Refuse("TEAM_FULL", "the team has twelve members"));
  };
  EXPECT_EQ(GetIdentity(), Refuse("TEAM_FULL", "the team has twelve members"));
}

TEST_F(ServiceHostTest, ARequestOverTheSizeLimitIsRefused) {
  Start({.address = "127.0.0.1:0", .request_bytes_max = 1000});
  for (const auto& channel :
       {channel_, grpc::CreateChannel(absl::StrCat("127.0.0.1:", host_->port()),
                                      grpc::InsecureChannelCredentials())}) {
    stub_ = LogService::NewStub(channel);
    grpc::ClientContext context;
    Authorize(context);
    EXPECT_TRUE(absl::IsResourceExhausted(GetIdentity(context, std::string(1001, 'a'))));
  }
  EXPECT_EQ(calls_, 0);
}

TEST_F(ServiceHostTest, HealthFollowsReadiness) {
  Start();
  const std::string name = "buurtlog.log.v1.LogService";
  EXPECT_EQ(Health(""), "NOT_SERVING");
  EXPECT_EQ(Health(name), "NOT_SERVING");
  host_->SetReady(true);
  EXPECT_EQ(Health(""), "SERVING");
  EXPECT_EQ(Health(name), "SERVING");
  host_->SetReady(false);
  EXPECT_EQ(Health(""), "NOT_SERVING");
  EXPECT_THAT(Health("no.such.Service"), HasSubstr("NOT_FOUND"));
}

TEST_F(ServiceHostTest, ReflectionListsTheServices) {
  Start();
  grpc::ClientContext context;
  const grpc::internal::RpcMethod method(
      "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
      grpc::internal::RpcMethod::BIDI_STREAMING, channel_);
  const std::unique_ptr<grpc::ClientReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>> stream(
      grpc::internal::ClientReaderWriterFactory<grpc::ByteBuffer, grpc::ByteBuffer>::Create(
          channel_.get(), method, &context));
  // ServerReflectionRequest { list_services: "*" }
  const grpc::Slice request(std::string("\x3a\x01*"));
  ASSERT_TRUE(stream->Write(grpc::ByteBuffer(&request, 1)));
  grpc::ByteBuffer response;
  ASSERT_TRUE(stream->Read(&response));
  stream->WritesDone();
  grpc::Slice whole;
  ASSERT_TRUE(response.DumpToSingleSlice(&whole).ok());
  const std::string text(reinterpret_cast<const char*>(whole.begin()), whole.size());
  EXPECT_THAT(text, HasSubstr("buurtlog.log.v1.LogService"));
  EXPECT_THAT(text, HasSubstr("grpc.health.v1.Health"));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(ServiceHostTest, ATakenPortIsAnError) {
  Start({.address = "127.0.0.1:0"});
  HostOptions options;
  options.address = absl::StrCat("127.0.0.1:", host_->port());
  EXPECT_TRUE(absl::IsUnavailable(ServiceHost::Start(options, Services(), Parts()).status()));
}

TEST_F(ServiceHostTest, TheTrialModeListensOnLoopbackOnly) {
  for (const char* address :
       {"0.0.0.0:0", "[::]:0", "192.168.1.1:0", "example.org:0", "127.example.org:0", ":0"}) {
    HostOptions options;
    options.insecure_dev = true;
    options.address = address;
    const absl::Status status = ServiceHost::Start(options, Services(), Parts()).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_EQ(StatusReason(status), "INSECURE_DEV_NEEDS_LOOPBACK") << address;
  }
  Start({.address = "127.0.0.1:0", .insecure_dev = true});
  EXPECT_EQ(GetIdentity(), absl::OkStatus());
}

TEST_F(ServiceHostTest, AnRpcWithoutHandlerIsNoticedAtTheStart) {
  std::vector<Service> services;
  services.emplace_back("buurtlog.log.v1.LogService");
  const absl::Status status = ServiceHost::Start({}, std::move(services), Parts()).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(status.ToString(), HasSubstr("LogService.GetIdentity"));
}

TEST_F(ServiceHostTest, AnRpcWithoutRuleCanBeCalledByNobody) {
  google::protobuf::FileDescriptorProto file;
  file.set_name("unruled.proto");
  file.add_message_type()->set_name("M");
  auto& service = *file.add_service();
  service.set_name("S");
  auto& method = *service.add_method();
  method.set_name("Call");
  method.set_input_type(".M");
  method.set_output_type(".M");
  google::protobuf::DescriptorPool pool;
  const AccessRule rule(*pool.BuildFile(file)->service(0)->method(0));
  EXPECT_FALSE(rule.declared());
  for (int role = access::v1::Role_MIN; role <= access::v1::Role_MAX; ++role) {
    identity::Caller caller;
    caller.role = static_cast<access::v1::Role>(role);
    EXPECT_TRUE(absl::IsPermissionDenied(rule.Check(caller)));
  }
}

TEST_F(ServiceHostTest, MetricsCountCallsByMethodAndCode) {
  Start({.metrics_address = "127.0.0.1:0"});
  ASSERT_EQ(GetIdentity(), absl::OkStatus());
  ASSERT_EQ(GetIdentity(), absl::OkStatus());
  ASSERT_FALSE(GetIdentity(access::v1::ROLE_NURSE).ok());
  const std::string text = testing::HttpGet(host_->metrics_port(), "/metrics");
  const std::string method = "method=\"buurtlog.log.v1.LogService/GetIdentity\"";
  EXPECT_THAT(text, HasSubstr(absl::StrCat("buurtlog_rpc_duration_seconds_count{code=\"OK\",",
                                           method, "} 2")));
  EXPECT_THAT(
      text, HasSubstr(absl::StrCat(
                "buurtlog_rpc_duration_seconds_count{code=\"PERMISSION_DENIED\",", method, "} 1")));
  EXPECT_THAT(text, HasSubstr(absl::StrCat("buurtlog_rpc_in_flight{", method, "} 0")));
  EXPECT_THAT(text, Not(HasSubstr("code=\"DATA_LOSS\"")));
}

TEST_F(ServiceHostTest, ManyCallersAtOnceEachGetTheirOwnAnswer) {
  Start();
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&, i] {
      const std::string name(static_cast<size_t>(i + 1), 'a');
      const std::string token = "Bearer " + TokenFor(access::v1::ROLE_SERVICE);
      for (int call = 0; call < 50; ++call) {
        grpc::ClientContext context;
        context.AddMetadata("authorization", token);
        GetIdentityRequest request;
        GetIdentityResponse response;
        request.set_service(name);
        ASSERT_TRUE(stub_->GetIdentity(&context, request, &response).ok());
        EXPECT_EQ(response.identity().service(), name);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(calls_, 400);
}

}  // namespace
}  // namespace buurtlog::rpc
