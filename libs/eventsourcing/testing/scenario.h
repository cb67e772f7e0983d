// Given events, when a command, then events or a refusal: the form of every test of rules. Header
// only; for tests.
//
//   constexpr auto kDecide = [](const auto&... arguments) { return Decide(arguments...); };
//   using Scenario =
//       eventsourcing::testing::Scenario<VisitState, VisitEvent, Evolve, decltype(kDecide)>;
//
//   Scenario()
//       .Given({R"pb(planned { ... })pb"})
//       .When<CheckInRequest>(R"pb(...)pb")
//       .ThenRefused("VISIT_CANCELLED");
#pragma once

#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "libs/base/refusal.h"
#include "libs/eventsourcing/decider.h"

namespace buurtlog::eventsourcing::testing {

// Reads text format; the test fails when it is malformed.
template <typename Message>
Message Proto(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

// Finds Decide where the types of its arguments stand.
struct DeciderOfArguments {
  template <typename... Arguments>
  auto operator()(const Arguments&... arguments) const {
    return Decide(arguments...);
  }
};

// `kEvolve` is the aggregate's Evolve. `Decider` calls its Decide: a type of the test's own,
// because messages stand in the namespace `v1` and so do not lead the compiler to the rules.
template <typename State, typename Event, void (*kEvolve)(State&, const Event&),
          typename Decider = DeciderOfArguments>
class Scenario {
 public:
  Scenario() {
    context_.now = absl::FromUnixSeconds(1'760'000'000);
    context_.occurred_at = context_.now;
    context_.command_id = *ParseUuid("01890000-0000-7000-8000-000000000001");
  }

  Scenario& Given(const std::vector<std::string>& events) {
    for (const std::string& text : events) kEvolve(state_, Proto<Event>(text));
    return *this;
  }
  Scenario& At(absl::Time now) {
    context_.now = context_.occurred_at = now;
    return *this;
  }

  // Decides with Decide(state, command, facts..., context).
  template <typename Request, typename... Facts>
  Scenario& When(const std::string& command, const Facts&... facts) {
    result_ = Decider()(state_, Proto<Request>(command), facts..., context_);
    return *this;
  }

  // The same with a decider that is named, for commands without facts: argument-dependent lookup
  // looks only in the namespaces of the arguments, which are those of the messages then.
  template <typename Request>
  Scenario& WhenDecidedBy(absl::StatusOr<std::vector<Event>> (*decide)(const State&, const Request&,
                                                                       const CommandContext&),
                          const std::string& command) {
    result_ = decide(state_, Proto<Request>(command), context_);
    return *this;
  }

  // The events, in order, fields that are not named in `events` included (the comparison is exact).
  void Then(const std::vector<std::string>& events) {
    ASSERT_TRUE(result_.ok()) << result_.status();
    ASSERT_EQ(result_->size(), events.size());
    for (size_t i = 0; i < events.size(); ++i) {
      EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals((*result_)[i],
                                                                     Proto<Event>(events[i])))
          << "event " << i << " is\n"
          << (*result_)[i].DebugString() << "and not\n"
          << events[i];
    }
  }
  void ThenNothing() { Then({}); }
  void ThenRefused(const std::string& reason) {
    ASSERT_FALSE(result_.ok());
    EXPECT_EQ(RefusalReason(result_.status()).value_or(""), reason) << result_.status();
  }
  void ThenFails(absl::StatusCode code, const std::string& field = "") {
    ASSERT_FALSE(result_.ok());
    EXPECT_EQ(result_.status().code(), code) << result_.status();
    EXPECT_EQ(StatusField(result_.status()).value_or(""), field);
  }

 private:
  State state_;
  CommandContext context_;
  absl::StatusOr<std::vector<Event>> result_ = absl::InternalError("no command yet");
};

}  // namespace buurtlog::eventsourcing::testing
