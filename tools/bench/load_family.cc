// Reading all events of one stream through gRPC.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "buurtlog/bench/v1/peer_messages.pb.h"
#include "buurtlog/bench/v1/tally_service.pb.h"
#include "buurtlog/log/v1/log_service.pb.h"
#include "libs/base/clock.h"
#include "libs/base/ids.h"
#include "libs/base/random.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/record.h"
#include "tools/bench/families.h"
#include "tools/bench/interleaved.h"

namespace buurtlog::bench {
namespace {

constexpr size_t kStreams = 256;
constexpr size_t kGoalEvents = 100;

// These requests, one after another and from the first again.
class InTurn final : public Workload {
 public:
  InTurn(std::string method, bool streams, std::vector<std::string> requests)
      : method_(std::move(method)), streams_(streams), requests_(std::move(requests)) {}
  std::string method() const override { return method_; }
  bool streams() const override { return streams_; }
  std::string NextRequest(size_t) override { return requests_[next_++ % requests_.size()]; }
  Answer Answered(size_t, const grpc::Status& status, const grpc::ByteBuffer& last) override {
    return status.ok() && last.Length() > 0 ? Answer::kDone : Answer::kFailed;
  }

 private:
  const std::string method_;
  const bool streams_;
  const std::vector<std::string> requests_;
  size_t next_ = 0;
};

// Each request once.
struct Sent {
  std::string method;
  std::vector<std::string> requests;
};

absl::Status Send(const Running& server, Sent sent) {
  LoadOptions load;
  load.address = server.process->address();
  if (server.issuer != nullptr) load.tokens = {server.NewToken(access::v1::ROLE_NURSE)};
  load.warm_up = absl::ZeroDuration();
  load.measured = absl::InfiniteDuration();
  load.calls_max = sent.requests.size();
  InTurn in_turn(std::move(sent.method), false, std::move(sent.requests));
  ABSL_ASSIGN_OR_RETURN(const LoadResult result, RunLoad(load, *server.process, in_turn));
  if (result.errors.empty()) return absl::OkStatus();
  return absl::InternalError(result.errors.begin()->first);
}

// New ids.
std::vector<std::string> NewStreams() {
  std::vector<std::string> ids;
  for (size_t i = 0; i < kStreams; ++i) {
    ids.push_back(NewUuid(SystemClock().Now(), SystemRandom()).ToString());
  }
  return ids;
}

// An event of each in turn, so that the events of a stream do not stand next to each other.
absl::Status FillTallies(const Running& tally, const std::vector<std::string>& ids, size_t events,
                         const std::string& payload) {
  std::vector<std::string> requests;
  for (size_t i = 0; i < events; ++i) {
    v1::AddManyRequest request;
    request.mutable_header()->set_idempotency_key(
        NewUuid(SystemClock().Now(), SystemRandom()).ToString());
    for (const std::string& id : ids) request.add_tally_ids(id);
    request.set_payload(payload);
    requests.push_back(request.SerializeAsString());
  }
  return Send(tally, {"/buurtlog.bench.v1.TallyService/AddMany", std::move(requests)});
}

std::unique_ptr<Workload> StreamReads(const std::vector<std::string>& ids) {
  std::vector<std::string> requests;
  for (const std::string& id : ids) {
    log::v1::ReadStreamRequest request;
    request.set_service("tally");
    request.set_partition(
        eventlog::PartitionOf(eventlog::ShardOf(*ParseUuid(id)), eventlog::kPartitionsDefault));
    request.set_stream(absl::StrCat("tally-", id));
    requests.push_back(request.SerializeAsString());
  }
  return std::make_unique<InTurn>("/buurtlog.log.v1.LogService/ReadStream", false,
                                  std::move(requests));
}

absl::Status FillPeer(const Running& peer, const std::vector<std::string>& ids, size_t events,
                      const std::string& payload) {
  std::vector<std::string> requests;
  for (size_t i = 0; i < events; ++i) {
    v1::PeerAppendRequest request;
    for (const std::string& id : ids) {
      v1::PeerEvent& event = *request.add_events();
      event.set_event_type("Added");
      event.add_tags(absl::StrCat("tally-", id));
      event.set_data(payload);
      event.set_uuid(NewUuid(SystemClock().Now(), SystemRandom()).ToString());
    }
    requests.push_back(request.SerializeAsString());
  }
  return Send(peer, {"/umadb.v1.DCB/Append", std::move(requests)});
}

std::unique_ptr<Workload> PeerReads(const std::vector<std::string>& ids) {
  std::vector<std::string> requests;
  for (const std::string& id : ids) {
    v1::PeerReadRequest request;
    request.mutable_query()->add_items()->add_tags(absl::StrCat("tally-", id));
    requests.push_back(request.SerializeAsString());
  }
  return std::make_unique<InTurn>("/umadb.v1.DCB/Read", true, std::move(requests));
}

absl::Status MeasureStreams(const BenchOptions& options, size_t events, AddRow add) {
  const std::string payload(options.payload_bytes, 'p');
  ABSL_ASSIGN_OR_RETURN(const Running tally, StartBenchServer(options, "tally"));
  const std::vector<std::string> ids = NewStreams();
  ABSL_RETURN_IF_ERROR(FillTallies(tally, ids, events, payload));
  std::vector<Subject> subjects = {{"ours", &tally, [&ids] { return StreamReads(ids); }}};
  subjects[0].role = access::v1::ROLE_SERVICE;
  Running peer;
  if (!options.umadb.empty()) {
    ABSL_ASSIGN_OR_RETURN(peer, StartPeer(options));
    ABSL_RETURN_IF_ERROR(FillPeer(peer, ids, events, payload));
    subjects.push_back({"umadb", &peer, [&ids] { return PeerReads(ids); }});
  }
  for (const size_t callers : {1, 8}) {
    ABSL_ASSIGN_OR_RETURN(const std::vector<Summary> summaries,
                          RunInterleaved(options, {callers, 1}, subjects));
    Row row{absl::StrCat("load of ", events, " events, ", NameOf(Callers{callers, 1})),
            summaries[0].per_second, "loads/s"};
    if (events == kGoalEvents) row.goal = callers == 1 ? 3'000 : 10'000;
    if (summaries.size() > 1) row.peer = summaries[1].per_second;
    row.note = summaries[0].Cost();
    add(std::move(row));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status MeasureLoad(const BenchOptions& options, AddRow add) {
  for (const size_t events : {10, 100, 1'000}) {
    ABSL_RETURN_IF_ERROR(MeasureStreams(options, events, add));
    if (options.smoke) break;
  }
  return absl::OkStatus();
}

}  // namespace buurtlog::bench
