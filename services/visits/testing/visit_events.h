// Short ways to write events of visits. Header only; for tests.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "buurtlog/visits/v1/visits_events.pb.h"
#include "libs/base/ids.h"
#include "libs/eventsourcing/testing/history.h"

namespace buurtlog::visits::testing {

// An id from a small number, for tests that need a few.
inline Uuid TestId(uint64_t number) {
  Uuid id = *ParseUuid("01890000-0000-7000-8000-000000000000");
  for (size_t i = 0; i < 6; ++i) id.bytes[15 - i] = static_cast<uint8_t>(number >> (8 * i));
  return id;
}

// When the log takes what a test adds.
inline const absl::Time kRecordedAt = absl::FromUnixSeconds(1'760'010'000);

// One visit: its ids, and what a test says of it.
struct VisitFacts {
  Uuid visit = TestId(0xa0);
  Uuid client = TestId(0xc0);
  Uuid team = TestId(0x70);
  Uuid nurse = TestId(0xe0);
  std::string second_nurse;  // 36 characters, or empty
  absl::Time starts_at = absl::FromUnixSeconds(1'760'000'000);
  uint32_t minutes = 30;
  v1::RecordingBasis basis = v1::RECORDING_BASIS_PLANNED;
  Uuid recording = TestId(0xb0);
  std::string report;
};

inline v1::VisitEvent Planned(const VisitFacts& facts) {
  v1::VisitEvent event;
  v1::VisitPlanned& planned = *event.mutable_planned();
  planned.set_visit_id(facts.visit.ToString());
  planned.set_client_id(facts.client.ToString());
  planned.set_team_id(facts.team.ToString());
  planned.set_nurse_id(facts.nurse.ToString());
  planned.mutable_starts_at()->set_seconds(absl::ToUnixSeconds(facts.starts_at));
  planned.set_duration_minutes(facts.minutes);
  return event;
}

inline v1::VisitEvent Realised(const VisitFacts& facts) {
  v1::VisitEvent event;
  v1::VisitRealised& realised = *event.mutable_realised();
  realised.set_visit_id(facts.visit.ToString());
  realised.set_client_id(facts.client.ToString());
  realised.set_team_id(facts.team.ToString());
  realised.set_nurse_id(facts.nurse.ToString());
  realised.set_second_nurse_id(facts.second_nurse);
  realised.mutable_starts_at()->set_seconds(absl::ToUnixSeconds(facts.starts_at));
  realised.set_duration_minutes(facts.minutes);
  realised.set_basis(facts.basis);
  realised.set_report(facts.report);
  realised.set_recording_id(facts.recording.ToString());
  return event;
}

// `facts` say what is right; the recording that was wrong is `wrong`.
inline v1::VisitEvent Corrected(const VisitFacts& facts, const Uuid& wrong) {
  v1::VisitEvent event;
  v1::VisitCorrected& corrected = *event.mutable_corrected();
  corrected.set_visit_id(facts.visit.ToString());
  corrected.set_client_id(facts.client.ToString());
  corrected.set_corrects_recording_id(wrong.ToString());
  corrected.set_recording_id(facts.recording.ToString());
  corrected.set_second_nurse_id(facts.second_nurse);
  corrected.mutable_starts_at()->set_seconds(absl::ToUnixSeconds(facts.starts_at));
  corrected.set_duration_minutes(facts.minutes);
  corrected.set_basis(facts.basis);
  corrected.set_report(facts.report);
  corrected.set_reason("typed wrong");
  return event;
}

inline v1::VisitEvent Withdrawn(const VisitFacts& facts, const Uuid& to_client) {
  v1::VisitEvent event;
  v1::VisitWithdrawn& withdrawn = *event.mutable_withdrawn();
  withdrawn.set_visit_id(facts.visit.ToString());
  withdrawn.set_client_id(facts.client.ToString());
  withdrawn.set_corrects_recording_id(facts.recording.ToString());
  withdrawn.set_to_client_id(to_client.ToString());
  withdrawn.set_report(facts.report);
  return event;
}

inline v1::VisitEvent Cancelled(const VisitFacts& facts) {
  v1::VisitEvent event;
  v1::VisitCancelled& cancelled = *event.mutable_cancelled();
  cancelled.set_visit_id(facts.visit.ToString());
  cancelled.set_client_id(facts.client.ToString());
  cancelled.set_reason(v1::CANCELLATION_REASON_CLIENT_ABSENT);
  return event;
}

// Adds an event of this visit to a history; its id.
inline Uuid Add(eventsourcing::testing::History& history, const VisitFacts& facts,
                const v1::VisitEvent& event) {
  return history.Add<v1::VisitEvent>({"visits", "visit", facts.visit, facts.client}, kRecordedAt,
                                     {event.ShortDebugString()})[0];
}

// Some visits of some clients, with every kind of event, for tests of interleaving.
inline void AddManyVisits(eventsourcing::testing::History& history) {
  for (uint64_t i = 0; i < 24; ++i) {
    VisitFacts facts;
    facts.visit = TestId(0x1000 + i);
    facts.client = TestId(0x2000 + i % 7);
    facts.nurse = TestId(0x3000 + i % 3);
    facts.starts_at += absl::Minutes(i * 20);
    facts.recording = TestId(0x4000 + i);
    Add(history, facts, Planned(facts));
    if (i % 6 == 5) {
      Add(history, facts, Cancelled(facts));
      continue;
    }
    Add(history, facts, Realised(facts));
    if (i % 4 == 3) {
      const Uuid wrong = facts.recording;
      facts.recording = TestId(0x5000 + i);
      facts.minutes = 45;
      facts.second_nurse = TestId(0x3000 + (i + 1) % 3).ToString();
      Add(history, facts, Corrected(facts, wrong));
    }
    if (i % 5 == 4) Add(history, facts, Withdrawn(facts, TestId(0x2000)));
  }
}

}  // namespace buurtlog::visits::testing
