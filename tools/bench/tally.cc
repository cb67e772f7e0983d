#include "tools/bench/tally.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "buurtlog/bench/v1/tally_service.pb.h"
#include "libs/base/refusal.h"
#include "libs/identity/caller.h"
#include "libs/rpc/command_call.h"

namespace buurtlog::bench {
namespace {

using Events = std::vector<v1::TallyEvent>;
using rpc::CallContext;
using rpc::Reply;

constexpr uint32_t kEvolveVersion = 1;

absl::StatusOr<Events> Decide(const v1::TallyState& tally, const v1::AddRequest& request,
                              const eventsourcing::CommandContext&) {
  if (request.full_at() > 0 && tally.count() >= request.full_at()) {
    return Refuse("TALLY_FULL", "the tally is full");
  }
  Events events(1);
  events[0].mutable_added()->set_payload(request.payload());
  return events;
}

void Evolve(v1::TallyState& tally, const v1::TallyEvent& event) {
  switch (event.event_case()) {
    case v1::TallyEvent::kAdded: tally.set_count(tally.count() + 1); break;
    case v1::TallyEvent::EVENT_NOT_SET: break;
  }
}

class Tally {
 public:
  explicit Tally(eventsourcing::ServiceNode& node) : node_(node) {}

  void Add(const CallContext& call, const v1::AddRequest& request, Reply<v1::AddResponse> reply) {
    const Uuid tally = *ParseUuid(request.tally_id());
    auto command = rpc::CommandFor(call, TallyAggregate(), tally, tally, request);
    if (!command.ok()) return reply(command.status());
    node_.executor().Execute(*std::move(command), rpc::ReceiptTo(std::move(reply)));
  }

  void AddMany(const CallContext& call, const v1::AddManyRequest& request,
               Reply<v1::AddManyResponse> reply) {
    std::vector<eventsourcing::Command> commands;
    commands.reserve(static_cast<size_t>(request.tally_ids_size()));
    const Uuid key = *ParseUuid(request.header().idempotency_key());
    for (int i = 0; i < request.tally_ids_size(); ++i) {
      const absl::StatusOr<Uuid> tally = ParseUuid(request.tally_ids(i));
      if (!tally.ok()) return reply(InvalidField("tally_ids", "holds what is not a UUID"));
      v1::AddRequest item;
      item.mutable_header()->set_idempotency_key(DerivedUuid(key, absl::StrCat(i)).ToString());
      item.set_tally_id(request.tally_ids(i));
      item.set_payload(request.payload());
      auto command = rpc::CommandFor(call, TallyAggregate(), *tally, *tally, item);
      if (!command.ok()) return reply(command.status());
      commands.push_back(*std::move(command));
    }
    node_.executor().ExecuteAll(
        std::move(commands), [reply = std::move(reply)](auto receipts) mutable {
          v1::AddManyResponse response;
          for (absl::StatusOr<type::v1::Receipt>& receipt : receipts) {
            type::v1::ItemResult& result = *response.add_results();
            if (receipt.ok()) {
              *result.mutable_receipt() = *std::move(receipt);
            } else {
              result.mutable_error()->set_code(static_cast<int32_t>(receipt.status().code()));
              result.mutable_error()->set_message(std::string(receipt.status().message()));
            }
          }
          reply(std::move(response));
        });
  }

 private:
  eventsourcing::ServiceNode& node_;
};

rpc::WiredService Wire(eventsourcing::ServiceNode& node) {
  auto tally = std::make_shared<Tally>(node);
  rpc::Service service("buurtlog.bench.v1.TallyService");
  service.Unary<v1::AddRequest, v1::AddResponse>(
      "Add", [tally](const auto& call, const auto& request, auto reply) {
        tally->Add(call, request, std::move(reply));
      });
  service.Unary<v1::AddManyRequest, v1::AddManyResponse>(
      "AddMany", [tally](const auto& call, const auto& request, auto reply) {
        tally->AddMany(call, request, std::move(reply));
      });
  return {tally, std::move(service)};
}

}  // namespace

const eventsourcing::AggregateType& TallyAggregate() {
  static const auto& type = *new eventsourcing::AggregateType(
      eventsourcing::MakeAggregateType<v1::TallyState, v1::TallyEvent, Evolve>(
          kTallyCategory, kEvolveVersion,
          {eventsourcing::MakeRule<v1::TallyState, v1::TallyEvent, v1::AddRequest, &Decide>()}));
  return type;
}

rpc::ServedService ServedTally() {
  rpc::ServedService served;
  served.service = kTallyService;
  served.aggregates = {&TallyAggregate()};
  served.wire = [](eventsourcing::ServiceNode& node, const std::vector<eventsourcing::LogSource>&)
      -> absl::StatusOr<rpc::WiredService> { return Wire(node); };
  return served;
}

}  // namespace buurtlog::bench
