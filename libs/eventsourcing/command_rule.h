// How a kind of command is decided, as something that can be found by the name of its request: so a
// command is data, and the replica that owns its partition decides one that another replica took.
#pragma once

#include <google/protobuf/message.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "buurtlog/type/v1/command.pb.h"
#include "libs/eventsourcing/decider.h"

namespace buurtlog::eventsourcing {

// Of a rule that needs state and request alone.
struct NoFacts {
  static std::string Serialize(const NoFacts&) { return ""; }
  static absl::StatusOr<NoFacts> Parse(std::string_view) { return NoFacts(); }
};

// A rule as those see it who have its request and facts.
template <typename Request, typename Facts>
class RuleFor : public CommandRule {
 public:
  using CommandRule::CommandRule;
  virtual Decision Bind(Request request, Facts facts) const = 0;
  virtual std::string Serialize(const Facts& facts) const = 0;
  const google::protobuf::Descriptor& request() const final { return *Request::descriptor(); }
};

// `Facts`: what the rule is given besides state and request, looked up by the replica that took the
// call.
template <typename State, typename Event, typename Request, typename Facts>
class Rule final : public RuleFor<Request, Facts> {
 public:
  using Decide = absl::StatusOr<std::vector<Event>> (*)(const State&, const Request&, const Facts&,
                                                        const CommandContext&);
  using SerializeFacts = std::string (*)(const Facts&);
  using ParseFacts = absl::StatusOr<Facts> (*)(std::string_view);

  Rule(Decide decide, SerializeFacts serialize, ParseFacts parse, uint32_t since)
      : RuleFor<Request, Facts>(since), decide_(decide), serialize_(serialize), parse_(parse) {}

  Decision Bind(Request request, Facts facts) const override {
    return [decide = decide_, request = std::move(request), facts = std::move(facts)](
               const google::protobuf::Message& state,
               const CommandContext& context) -> absl::StatusOr<WrappedEvents> {
      return Wrap(decide(static_cast<const State&>(state), request, facts, context));
    };
  }
  std::string Serialize(const Facts& facts) const override { return serialize_(facts); }
  absl::StatusOr<Decision> Restore(const Uuid& key, std::string_view body,
                                   std::string_view facts) const override {
    Request request;
    if (!request.ParseFromArray(body.data(), static_cast<int>(body.size()))) {
      return absl::InvalidArgumentError("body: is not the request it says it is");
    }
    if constexpr (requires { request.mutable_header(); }) {
      request.mutable_header()->set_idempotency_key(key.ToString());
    }
    absl::StatusOr<Facts> parsed = parse_(facts);
    if (!parsed.ok()) return parsed.status();
    return Bind(std::move(request), *std::move(parsed));
  }

 private:
  const Decide decide_;
  const SerializeFacts serialize_;
  const ParseFacts parse_;
};

// A rule `decide(state, request, facts, context)`, of events since a release.
template <typename State, typename Event, typename Request, typename Facts>
std::shared_ptr<const CommandRule> MakeRule(
    typename Rule<State, Event, Request, Facts>::Decide decide,
    std::string (*serialize)(const Facts&), absl::StatusOr<Facts> (*parse)(std::string_view),
    uint32_t since = 1) {
  return std::make_shared<Rule<State, Event, Request, Facts>>(decide, serialize, parse, since);
}

// A rule `kDecide(state, request, context)`.
template <typename State, typename Event, typename Request,
          absl::StatusOr<std::vector<Event>> (*kDecide)(const State&, const Request&,
                                                        const CommandContext&)>
std::shared_ptr<const CommandRule> MakeRule(uint32_t since = 1) {
  return MakeRule<State, Event, Request, NoFacts>(
      [](const State& state, const Request& request, const NoFacts&,
         const CommandContext& context) { return kDecide(state, request, context); },
      &NoFacts::Serialize, &NoFacts::Parse, since);
}

// The aggregate's rule for such requests; null when it has none.
const CommandRule* RuleOf(const AggregateType& type, const google::protobuf::Descriptor& request);

}  // namespace buurtlog::eventsourcing
