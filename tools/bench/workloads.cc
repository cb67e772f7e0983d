#include "tools/bench/workloads.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "buurtlog/bench/v1/peer_messages.pb.h"
#include "buurtlog/bench/v1/tally_service.pb.h"
#include "libs/base/ids.h"

namespace buurtlog::bench {
namespace {

// Seeded from the system, so that keys are new in every run; not from it for every key, which would
// cost a system call.
uint64_t NewSeed() { return RandomBelow(SystemRandom(), ~uint64_t{0}); }

class KeyMaker {
 public:
  std::string NewKey() { return NewUuid(absl::Now(), random_).ToString(); }

 private:
  SeededRandom random_{NewSeed()};
};

// Bytes that no compression makes smaller.
std::string Payload(size_t bytes) {
  std::string payload(bytes, '\0');
  std::mt19937_64 engine(7);
  for (char& byte : payload) byte = static_cast<char>(engine());
  return payload;
}

bool Parse(const grpc::ByteBuffer& bytes, google::protobuf::Message& message) {
  grpc::Slice slice;
  return bytes.DumpToSingleSlice(&slice).ok() &&
         message.ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
}

class Add final : public Workload {
 public:
  explicit Add(const Asked& asked) : picker_(asked), refused_(asked.refused) {
    request_.set_payload(Payload(asked.payload_bytes));
    if (asked.refused) request_.set_full_at(1);
  }

  std::string method() const override { return "/buurtlog.bench.v1.TallyService/Add"; }
  std::string NextRequest(size_t caller) override {
    request_.mutable_header()->set_idempotency_key(keys_.NewKey());
    request_.set_tally_id(picker_.id(picker_.Next(caller)));
    return request_.SerializeAsString();
  }
  Answer Answered(size_t, const grpc::Status& status, const grpc::ByteBuffer&) override {
    if (status.ok()) return refused_ ? Answer::kRepeat : Answer::kDone;
    const bool refusal = status.error_code() == grpc::StatusCode::FAILED_PRECONDITION;
    return refused_ && refusal ? Answer::kDone : Answer::kFailed;
  }

 private:
  StreamPicker picker_;
  const bool refused_;
  KeyMaker keys_;
  v1::AddRequest request_;
};

class AddMany final : public Workload {
 public:
  AddMany(const Asked& asked, size_t items) : picker_(asked), items_(items) {
    request_.set_payload(Payload(asked.payload_bytes));
  }

  std::string method() const override { return "/buurtlog.bench.v1.TallyService/AddMany"; }
  std::string NextRequest(size_t caller) override {
    request_.mutable_header()->set_idempotency_key(keys_.NewKey());
    request_.clear_tally_ids();
    for (size_t i = 0; i < items_; ++i) request_.add_tally_ids(picker_.id(picker_.Next(caller)));
    return request_.SerializeAsString();
  }
  Answer Answered(size_t, const grpc::Status& status, const grpc::ByteBuffer& response) override {
    v1::AddManyResponse answer;
    if (!status.ok() || !Parse(response, answer)) return Answer::kFailed;
    const bool all = std::all_of(answer.results().begin(), answer.results().end(),
                                 [](const auto& result) { return result.has_receipt(); });
    return all && answer.results_size() == request_.tally_ids_size() ? Answer::kDone
                                                                     : Answer::kFailed;
  }

 private:
  StreamPicker picker_;
  const size_t items_;
  KeyMaker keys_;
  v1::AddManyRequest request_;
};

class PeerAppend final : public Workload {
 public:
  explicit PeerAppend(const Asked& asked)
      : picker_(asked), positions_(picker_.size(), 0), asked_of_(asked.callers, 0) {
    v1::PeerEvent& event = *request_.add_events();
    event.set_event_type("Added");
    event.add_tags();
    event.set_data(Payload(asked.payload_bytes));
    request_.mutable_condition()->mutable_fail_if_events_match()->add_items()->add_tags();
  }

  std::string method() const override { return "/umadb.v1.DCB/Append"; }
  std::string NextRequest(size_t caller) override {
    const size_t stream = picker_.Next(caller);
    asked_of_[caller] = stream;
    const std::string tag = absl::StrCat("tally-", picker_.id(stream));
    v1::PeerEvent& event = *request_.mutable_events(0);
    event.set_tags(0, tag);
    event.set_uuid(keys_.NewKey());
    v1::PeerAppendCondition& condition = *request_.mutable_condition();
    condition.mutable_fail_if_events_match()->mutable_items(0)->set_tags(0, tag);
    condition.clear_after();
    if (positions_[stream] > 0) condition.set_after(positions_[stream]);
    return request_.SerializeAsString();
  }
  Answer Answered(size_t caller, const grpc::Status& status,
                  const grpc::ByteBuffer& response) override {
    if (!status.ok()) {
      // The callers share what they know, so a lost race is won again without a look at the store.
      const bool race = status.error_code() == grpc::StatusCode::FAILED_PRECONDITION ||
                        status.error_code() == grpc::StatusCode::ABORTED;
      return race ? Answer::kRepeat : Answer::kFailed;
    }
    v1::PeerAppendResponse answer;
    if (!Parse(response, answer)) return Answer::kFailed;
    uint64_t& position = positions_[asked_of_[caller]];
    position = std::max(position, answer.position());
    return Answer::kDone;
  }

 private:
  StreamPicker picker_;
  std::vector<uint64_t> positions_;  // of the newest event known, by stream
  std::vector<size_t> asked_of_;     // by caller
  KeyMaker keys_;
  v1::PeerAppendRequest request_;
};

}  // namespace

std::string NameOf(Streams streams) {
  switch (streams) {
    case Streams::kMany: return "many";
    case Streams::kHot: return "hot";
    case Streams::kZipf: return "zipf";
  }
  return "";
}

StreamPicker::StreamPicker(const Asked& asked)
    : asked_(asked), turn_(asked.callers, 0), engine_(NewSeed()) {
  KeyMaker keys;
  const size_t streams = asked.streams == Streams::kHot ? 1 : asked.streams_of_many;
  for (size_t i = 0; i < streams; ++i) ids_.push_back(keys.NewKey());
  if (asked.streams != Streams::kZipf) return;
  double sum = 0;
  for (size_t i = 0; i < streams; ++i)
    weights_up_to_.push_back(sum += 1.0 / (1.0 + static_cast<double>(i)));
}

size_t StreamPicker::Next(size_t caller) {
  switch (asked_.streams) {
    case Streams::kHot: return 0;
    case Streams::kMany: {
      const size_t of_each = ids_.size() / asked_.callers;
      return caller * of_each + turn_[caller]++ % of_each;
    }
    case Streams::kZipf: break;
  }
  const double drawn = std::uniform_real_distribution<double>(0, weights_up_to_.back())(engine_);
  const auto found = std::upper_bound(weights_up_to_.begin(), weights_up_to_.end(), drawn);
  return std::min(static_cast<size_t>(found - weights_up_to_.begin()), ids_.size() - 1);
}

std::unique_ptr<Workload> AddWorkload(const Asked& asked) { return std::make_unique<Add>(asked); }

std::unique_ptr<Workload> AddManyWorkload(const Asked& asked, size_t items) {
  return std::make_unique<AddMany>(asked, items);
}

std::unique_ptr<Workload> PeerAppendWorkload(const Asked& asked) {
  return std::make_unique<PeerAppend>(asked);
}

}  // namespace buurtlog::bench
