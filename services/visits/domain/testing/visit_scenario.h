// Visits, clients and events in text format for the tests of the rules. Header only; for tests.
#pragma once

#include <string>

#include "absl/strings/str_cat.h"
#include "libs/eventsourcing/testing/scenario.h"
#include "services/visits/domain/visit.h"

namespace buurtlog::visits::testing {

using VisitScenario = eventsourcing::testing::Scenario<v1::VisitState, v1::VisitEvent, Evolve>;

inline constexpr char kVisit[] = "01890000-0000-7000-8000-00000000000a";
// What a scenario's command, whose key is fixed, makes.
inline const std::string kNewVisit = NewVisitId(*ParseUuid("01890000-0000-7000-8000-000000000001"));
inline const std::string kNewRecording =
    NewRecordingId(*ParseUuid("01890000-0000-7000-8000-000000000001"));
// A scenario's clock stands at 1760000000.
inline constexpr int64_t kNow = 1'760'000'000;

inline ClientFacts InCare() {
  ClientFacts facts;
  facts.team_id = "team";
  facts.members = {
      {"anna"}, {"bert"}, {"carla", absl::InfinitePast(), absl::FromUnixSeconds(kNow - 86'400)}};
  return facts;
}
inline ClientFacts Unknown() { return {}; }
inline ClientFacts Ended() {
  ClientFacts facts = InCare();
  facts.care_ended_at = absl::FromUnixSeconds(kNow - 7'200);
  return facts;
}

inline std::string At(const std::string& field, int64_t seconds_from_now) {
  return absl::StrCat(field, " { seconds: ", kNow + seconds_from_now, " } ");
}

// Begins an hour ago, for 30 minutes.
inline std::string Planned() {
  return absl::StrCat("planned { visit_id: '", kVisit,
                      "' client_id: 'client' team_id: 'team' nurse_id: 'anna' ",
                      At("starts_at", -3'600), "duration_minutes: 30 }");
}
inline std::string Realised(const std::string& rest) {
  return absl::StrCat("realised { visit_id: '", kVisit,
                      "' client_id: 'client' team_id: 'team' nurse_id: 'anna' ",
                      "recording_id: 'first' ", rest, "}");
}
inline std::string RealisedAsPlanned() {
  return Realised(absl::StrCat(At("starts_at", -3'600),
                               "duration_minutes: 30 basis: RECORDING_BASIS_PLANNED "));
}
inline std::string Cancelled() {
  return absl::StrCat("cancelled { visit_id: '", kVisit,
                      "' client_id: 'client' reason: CANCELLATION_REASON_CLIENT_ABSENT }");
}
inline std::string Withdrawn() {
  return absl::StrCat("withdrawn { visit_id: '", kVisit,
                      "' client_id: 'client' to_client_id: 'other' to_visit_id: 'there' }");
}

}  // namespace buurtlog::visits::testing
