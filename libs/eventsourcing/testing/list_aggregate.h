// An aggregate for tests of what is about no aggregate in particular: a list of texts. Each event
// is a text, and the state is all of them, so a test sees at once what happened and in which order.
// Header only; for tests.
#pragma once

#include <google/protobuf/struct.pb.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "libs/base/refusal.h"
#include "libs/eventsourcing/command_rule.h"

namespace buurtlog::eventsourcing::testing {

using google::protobuf::ListValue;
using google::protobuf::Value;

inline void EvolveList(ListValue& state, const Value& event) { *state.add_values() = event; }

// Appends each text as an event; "refuse" is refused by a rule, "missing" is NOT_FOUND unless the
// list has something, "nothing" gives no events.
inline absl::StatusOr<std::vector<Value>> DecideTexts(const ListValue& state,
                                                      const std::vector<std::string>& texts) {
  std::vector<Value> events;
  for (const std::string& text : texts) {
    if (text == "refuse")
      return Refuse("NOT_TODAY", absl::StrCat("no, with ", state.values_size(), " texts"));
    if (text == "missing" && state.values().empty()) return absl::NotFoundError("no such list");
    if (text == "nothing") continue;
    events.emplace_back().set_string_value(text);
  }
  return events;
}

// A request names the texts.
inline absl::StatusOr<std::vector<Value>> DecideList(const ListValue& state,
                                                     const ListValue& request,
                                                     const CommandContext&) {
  std::vector<std::string> texts;
  for (const Value& value : request.values()) texts.push_back(value.string_value());
  return DecideTexts(state, texts);
}

inline ListValue RequestFor(const std::vector<std::string>& texts) {
  ListValue request;
  for (const std::string& text : texts) request.add_values()->set_string_value(text);
  return request;
}

inline const AggregateType& ListType() {
  static const AggregateType type = MakeAggregateType<ListValue, Value, EvolveList>(
      "list", 1, {MakeRule<ListValue, Value, ListValue, &DecideList>()});
  return type;
}

}  // namespace buurtlog::eventsourcing::testing
