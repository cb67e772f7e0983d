#include "services/visits/read_models/team_hours.h"

#include <algorithm>
#include <limits>

#include "buurtlog/visits/v1/visits_events.pb.h"
#include "libs/base/care_day.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"
#include "services/visits/read_models/columns.h"

namespace buurtlog::visits {
namespace {

using eventsourcing::EventEnvelope;
using v1::VisitEvent;

constexpr int64_t kMicrosPerMinute = 60'000'000;

absl::Status Realise(const EventEnvelope& envelope, const v1::VisitRealised& realised,
                     sqlite::Connection& rows) {
  ABSL_ASSIGN_OR_RETURN(const std::string client, IdColumn(realised.client_id()));
  ABSL_ASSIGN_OR_RETURN(const std::string team, IdColumn(realised.team_id()));
  const std::string visit = envelope.stream.id.ToBytes();
  return rows
      .Cached(
          "INSERT INTO realised_visit(client_id, visit_id, team_id, starts_at, "
          "duration_minutes, basis, two_nurses) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)")
      .BindBlobView(1, client)
      .BindBlobView(2, visit)
      .BindBlobView(3, team)
      .Bind(4, TimeColumn(realised.starts_at()))
      .Bind(5, int64_t{realised.duration_minutes()})
      .Bind(6, int64_t{realised.basis()})
      .Bind(7, int64_t{!realised.second_nurse_id().empty()})
      .Run();
}

absl::Status Correct(const EventEnvelope& envelope, const v1::VisitCorrected& corrected,
                     sqlite::Connection& rows) {
  ABSL_ASSIGN_OR_RETURN(const std::string client, IdColumn(corrected.client_id()));
  const std::string visit = envelope.stream.id.ToBytes();
  return rows
      .Cached(
          "UPDATE realised_visit SET starts_at = ?3, duration_minutes = ?4, basis = ?5, "
          "two_nurses = ?6 WHERE client_id = ?1 AND visit_id = ?2")
      .BindBlobView(1, client)
      .BindBlobView(2, visit)
      .Bind(3, TimeColumn(corrected.starts_at()))
      .Bind(4, int64_t{corrected.duration_minutes()})
      .Bind(5, int64_t{corrected.basis()})
      .Bind(6, int64_t{!corrected.second_nurse_id().empty()})
      .Run();
}

absl::Status Withdraw(const EventEnvelope& envelope, const v1::VisitWithdrawn& withdrawn,
                      sqlite::Connection& rows) {
  ABSL_ASSIGN_OR_RETURN(const std::string client, IdColumn(withdrawn.client_id()));
  const std::string visit = envelope.stream.id.ToBytes();
  return rows.Cached("DELETE FROM realised_visit WHERE client_id = ?1 AND visit_id = ?2")
      .BindBlobView(1, client)
      .BindBlobView(2, visit)
      .Run();
}

// Counts the visits of one client after another, each client's in order of their begin.
class MinutesCounter {
 public:
  explicit MinutesCounter(v1::GetTeamHoursResponse& hours) : hours_(hours) {}

  void Add(const sqlite::Statement& row) {
    if (const std::string_view client = row.Blob(0); client != client_) {
      client_ = std::string(client);
      first_covered_until_ = second_covered_until_ = std::numeric_limits<int64_t>::min();
    }
    const int64_t begin = row.Int(1) / kMicrosPerMinute;
    const int64_t end = begin + row.Int(2);
    const auto basis = static_cast<v1::RecordingBasis>(row.Int(3));
    hours_.set_visits(hours_.visits() + 1);
    Count(begin, end, basis, first_covered_until_);
    if (row.Int(4) != 0) {
      const uint64_t counted = Count(begin, end, basis, second_covered_until_);
      hours_.set_second_nurse_minutes(hours_.second_nurse_minutes() + counted);
    }
  }

 private:
  // The minutes from `begin` to `end` that are not covered yet count on `basis`.
  uint64_t Count(int64_t begin, int64_t end, v1::RecordingBasis basis, int64_t& covered_until) {
    const auto counted =
        static_cast<uint64_t>(std::max<int64_t>(0, end - std::max(begin, covered_until)));
    covered_until = std::max(covered_until, end);
    const auto all = static_cast<uint64_t>(end - begin);
    hours_.set_overlapping_minutes(hours_.overlapping_minutes() + all - counted);
    hours_.set_minutes(hours_.minutes() + counted);
    if (basis == v1::RECORDING_BASIS_PLANNED) {
      hours_.set_planned_minutes(hours_.planned_minutes() + counted);
    } else if (basis == v1::RECORDING_BASIS_DEVIATING) {
      hours_.set_deviating_minutes(hours_.deviating_minutes() + counted);
    } else {
      hours_.set_unplanned_minutes(hours_.unplanned_minutes() + counted);
    }
    return counted;
  }

  v1::GetTeamHoursResponse& hours_;
  std::string client_;
  int64_t first_covered_until_ = 0;
  int64_t second_covered_until_ = 0;
};

}  // namespace

const eventsourcing::ReadModelSpec& TeamHours::spec() const {
  static const auto* const kSpec =
      new eventsourcing::ReadModelSpec{"team_hours",
                                       1,
                                       {"visits"},
                                       R"sql(
        CREATE TABLE realised_visit(client_id BLOB NOT NULL, visit_id BLOB NOT NULL, team_id BLOB NOT NULL,
                                    starts_at INTEGER NOT NULL, duration_minutes INTEGER NOT NULL,
                                    basis INTEGER NOT NULL, two_nurses INTEGER NOT NULL,
                                    PRIMARY KEY(client_id, visit_id)) WITHOUT ROWID;
      )sql",
                                       {{"realised_visit",
                                         {"client_id", "visit_id", "team_id", "starts_at",
                                          "duration_minutes", "basis", "two_nurses"},
                                         {},
                                         "client_id, visit_id"}},
                                       R"sql(
        CREATE INDEX realised_visit_by_team ON realised_visit(team_id, starts_at);
      )sql"};
  return *kSpec;
}

absl::Status TeamHours::Apply(const EventEnvelope& envelope, const google::protobuf::Message& event,
                              sqlite::Connection& rows) {
  if (envelope.stream.category != "visit") return absl::OkStatus();
  const auto& visit = static_cast<const VisitEvent&>(event);
  switch (visit.event_case()) {
    case VisitEvent::kRealised: return Realise(envelope, visit.realised(), rows);
    case VisitEvent::kCorrected: return Correct(envelope, visit.corrected(), rows);
    case VisitEvent::kWithdrawn: return Withdraw(envelope, visit.withdrawn(), rows);
    case VisitEvent::kPlanned:
    case VisitEvent::kCancelled:
    case VisitEvent::EVENT_NOT_SET: return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::GetTeamHoursResponse> HoursOf(sqlite::Connection& rows,
                                                 const HoursPeriod& period) {
  if (period.to < period.from) return InvalidField("to_date", "is before from_date");
  if (period.to - period.from > kDaysPerPeriodMax) {
    return InvalidField("to_date", "is more than 400 days after from_date");
  }
  v1::GetTeamHoursResponse hours;
  MinutesCounter counter(hours);
  sqlite::Statement& row = rows.Cached(
      "SELECT client_id, starts_at, duration_minutes, basis, two_nurses "
      "FROM realised_visit WHERE team_id = ?1 AND starts_at >= ?2 AND starts_at < ?3 "
      "ORDER BY client_id, starts_at, visit_id");
  row.BindBlob(1, period.team_id.ToBytes())
      .Bind(2, TimeColumn(StartOfCareDay(period.from)))
      .Bind(3, TimeColumn(StartOfCareDay(period.to + 1)));
  while (true) {
    ABSL_ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return hours;
    counter.Add(row);
  }
}

}  // namespace buurtlog::visits
