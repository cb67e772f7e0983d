#include "tools/bench/load.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/check.h"

namespace buurtlog::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr absl::Duration kConnectMax = absl::Seconds(10);
constexpr int kResponseBytesMax = 64 << 20;

// What is counted while the time is measured.
struct Count {
  std::vector<int64_t> nanoseconds;
  LoadResult result;
};

absl::Duration Percentile(std::vector<int64_t>& nanoseconds, double share) {
  if (nanoseconds.empty()) return absl::ZeroDuration();
  const auto at = static_cast<size_t>(share * static_cast<double>(nanoseconds.size() - 1));
  std::nth_element(nanoseconds.begin(), nanoseconds.begin() + static_cast<std::ptrdiff_t>(at),
                   nanoseconds.end());
  return absl::Nanoseconds(nanoseconds[at]);
}

// One caller and its call under way.
class Caller {
 public:
  Caller(size_t number, const LoadOptions& options, Workload& workload, grpc::GenericStub& stub,
         grpc::CompletionQueue& queue)
      : number_(number),
        options_(options),
        authorization_(
            options.tokens.empty()
                ? ""
                : absl::StrCat("Bearer ", options.tokens[number % options.tokens.size()])),
        workload_(workload),
        method_(workload.method()),
        stub_(stub),
        queue_(queue) {}

  void Begin() {
    const std::string bytes = workload_.NextRequest(number_);
    const grpc::Slice slice(bytes);
    const grpc::ByteBuffer request(&slice, 1);
    begun_ = SteadyClock::now();
    context_.emplace();
    if (!authorization_.empty()) context_->AddMetadata("authorization", authorization_);
    context_->set_deadline(std::chrono::system_clock::now() +
                           absl::ToChronoMilliseconds(options_.deadline));
    if (workload_.streams()) {
      step_ = Step::kWriting;
      stream_ = stub_.PrepareCall(&*context_, method_, &queue_);
      request_ = request;
      stream_->StartCall(this);
      return;
    }
    unary_ = stub_.PrepareUnaryCall(&*context_, method_, request, &queue_);
    unary_->StartCall();
    unary_->Finish(&response_, &status_, this);
  }

  // The queue gave its tag. True when the call has ended.
  bool Advance(bool ok, Count& count) {
    if (!workload_.streams()) return true;
    switch (step_) {
      case Step::kWriting:
        step_ = Step::kReading;
        if (ok) {
          stream_->WriteLast(request_, grpc::WriteOptions(), this);
          return false;
        }
        break;
      case Step::kReading:
        step_ = Step::kMore;
        if (ok) {
          stream_->Read(&next_, this);
          return false;
        }
        break;
      case Step::kMore:
        if (ok) {
          ++count.result.messages;
          response_.Swap(&next_);
          stream_->Read(&next_, this);
          return false;
        }
        break;
      case Step::kFinishing: return true;
    }
    step_ = Step::kFinishing;
    stream_->Finish(&status_, this);
    return false;
  }

  Workload::Answer End(Count& count) {
    const auto took = SteadyClock::now() - begun_;
    const Workload::Answer answer = workload_.Answered(number_, status_, response_);
    switch (answer) {
      case Workload::Answer::kDone:
        ++count.result.done;
        count.nanoseconds.push_back(
            std::chrono::duration_cast<std::chrono::nanoseconds>(took).count());
        break;
      case Workload::Answer::kRepeat: ++count.result.repeats; break;
      case Workload::Answer::kFailed:
        ++count.result.errors[absl::StrCat(status_.error_code(), " ", status_.error_message())];
        break;
    }
    return answer;
  }

 private:
  enum class Step { kWriting, kReading, kMore, kFinishing };

  const size_t number_;
  const LoadOptions& options_;
  const std::string authorization_;
  Workload& workload_;
  const std::string method_;
  grpc::GenericStub& stub_;
  grpc::CompletionQueue& queue_;
  SteadyClock::time_point begun_;
  std::optional<grpc::ClientContext> context_;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> unary_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  Step step_ = Step::kWriting;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer next_;
  grpc::ByteBuffer response_;
  grpc::Status status_;
};

absl::StatusOr<std::vector<std::unique_ptr<grpc::GenericStub>>> Connect(
    const LoadOptions& options) {
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs;
  for (size_t i = 0; i < options.connections; ++i) {
    grpc::ChannelArguments arguments;
    // Otherwise channels to one address share a connection.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetMaxReceiveMessageSize(kResponseBytesMax);
    auto channel =
        grpc::CreateCustomChannel(options.address, grpc::InsecureChannelCredentials(), arguments);
    if (!channel->WaitForConnected(std::chrono::system_clock::now() +
                                   absl::ToChronoMilliseconds(kConnectMax))) {
      return absl::UnavailableError(absl::StrCat("cannot connect to ", options.address));
    }
    stubs.push_back(std::make_unique<grpc::GenericStub>(std::move(channel)));
  }
  return stubs;
}

// Times of a load: warm-up, measured, and the calls that are still under way then.
class Stages {
 public:
  Stages(const LoadOptions& options, const ServerProcess& server)
      : server_(server),
        warm_at_(SteadyClock::now() + absl::ToChronoNanoseconds(options.warm_up)),
        measured_(options.measured),
        calls_max_(options.calls_max) {}

  // Looks at the clock; `count` starts anew when the warm-up is over. False when it is time to end.
  bool Go(Count& count) {
    const auto now = SteadyClock::now();
    if (!warm_ && now >= warm_at_) {
      warm_ = true;
      count = Count();
      begun_ = SteadyClock::now();
      client_cpu_ = OwnCpuTime();
      server_cpu_ = server_.CpuTime();
    } else if (warm_ && !over_ && IsOver(now, count)) {
      over_ = true;
      LoadResult& result = count.result;
      result.measured = absl::FromChrono(now - begun_);
      result.client_cpu = OwnCpuTime() - client_cpu_;
      result.server_cpu = server_.CpuTime() - server_cpu_;
      result.p50 = Percentile(count.nanoseconds, 0.5);
      result.p99 = Percentile(count.nanoseconds, 0.99);
      result.longest = Percentile(count.nanoseconds, 1);
    }
    return !over_;
  }

 private:
  bool IsOver(SteadyClock::time_point now, const Count& count) const {
    if (calls_max_ > 0 && count.result.done >= calls_max_) return true;
    // One at least, on however slow a machine.
    return count.result.done > 0 && absl::FromChrono(now - begun_) >= measured_;
  }

  const ServerProcess& server_;
  const SteadyClock::time_point warm_at_;
  const absl::Duration measured_;
  const uint64_t calls_max_;
  bool warm_ = false;
  bool over_ = false;
  SteadyClock::time_point begun_;
  absl::Duration client_cpu_;
  absl::Duration server_cpu_;
};

}  // namespace

absl::StatusOr<LoadResult> RunLoad(const LoadOptions& options, const ServerProcess& server,
                                   Workload& workload) {
  auto stubs = Connect(options);
  if (!stubs.ok()) return stubs.status();
  grpc::CompletionQueue queue;
  std::vector<std::unique_ptr<Caller>> callers;
  for (size_t i = 0; i < options.callers; ++i) {
    callers.push_back(
        std::make_unique<Caller>(i, options, workload, *(*stubs)[i % stubs->size()], queue));
  }
  Count count;
  Stages stages(options, server);
  for (const auto& caller : callers) caller->Begin();
  size_t under_way = callers.size();
  LoadResult result;
  uint64_t all_done = 0;
  bool going = true;
  void* tag = nullptr;
  bool ok = false;
  while (under_way > 0 && queue.Next(&tag, &ok)) {
    auto& caller = *static_cast<Caller*>(tag);
    if (!caller.Advance(ok, count)) continue;
    if (caller.End(count) == Workload::Answer::kDone) ++all_done;
    if (going && !stages.Go(count)) {
      going = false;
      result = count.result;
    }
    if (going) {
      caller.Begin();
    } else {
      --under_way;
    }
  }
  result.all_done = all_done;
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
  return result;
}

}  // namespace buurtlog::bench
