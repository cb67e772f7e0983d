#include "tools/region/region_history.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "libs/base/care_day.h"
#include "libs/base/check.h"
#include "services/clients/domain/client.h"
#include "services/teams/domain/team.h"
#include "tools/region/names.h"

namespace buurtlog::region {
namespace {

inline constexpr int kNursesMin = 6;
inline constexpr int kNursesMax = 12;
inline constexpr int kTeamsOfAnOrganisation = 14;
inline constexpr size_t kClientsOfATeam = 40;
inline constexpr uint64_t kDaysInCare = 150;  // on average
inline constexpr int kOrganisationsMax = 3;

google::protobuf::Timestamp ProtoTime(absl::Time time) {
  return google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(time));
}

// The numbers of the test range that pass the 11-test, each from its first eight digits.
std::vector<std::string> TestBsns() {
  std::vector<std::string> numbers;
  for (int prefix = 99990000; prefix <= 99999999; ++prefix) {
    const std::string digits = absl::StrCat(prefix);
    int sum = 0;
    for (int i = 0; i < 8; ++i) sum += (9 - i) * (digits[static_cast<size_t>(i)] - '0');
    const int last = sum % 11;
    if (last == 10) continue;
    const int64_t number = int64_t{prefix} * 10 + last;
    if (number >= 999900006 && number <= 999999990) numbers.push_back(absl::StrCat(number));
  }
  CHECK(numbers.size() == kTestBsns);
  return numbers;
}

}  // namespace

History::History(const RegionOptions& options, ManualClock& clock, Random& random)
    : options_(options), clock_(clock), random_(random), bsns_(TestBsns()) {
  const int organisations =
      std::min(kOrganisationsMax, 1 + (options.teams - 1) / kTeamsOfAnOrganisation);
  for (int i = 0; i < organisations; ++i) organisations_.push_back(NewId());
  result_.organisations = static_cast<uint64_t>(organisations);
  // Drawn once, dealt in order: different people until the range is used up.
  for (size_t i = bsns_.size() - 1; i > 0; --i)
    std::swap(bsns_[i], bsns_[RandomBelow(random_, i + 1)]);
}

template <typename Request, typename Facts>
void History::Add(Commands& commands, const eventsourcing::AggregateType& type,
                  const Uuid& partition_key, const Uuid& stream_id, const Nurse& nurse,
                  const Uuid& key, const Request& request, Facts facts) {
  eventsourcing::Command command =
      eventsourcing::MakeCommand(type, partition_key, stream_id, request, std::move(facts));
  command.idempotency_key = key;
  command.actor = identity::ToActor(nurse.caller, "region");
  command.correlation_id = key;
  commands.push_back(std::move(command));
  ++result_.commands;
}

// People sign in by name here, so no two nurses have the same.
std::string History::NurseName() {
  std::string name = absl::StrCat(DrawGivenName(random_), " ", DrawFamilyName(random_));
  while (!nurse_names_.insert(name).second) {
    absl::StrAppend(&name, "-", DrawFamilyName(random_));
  }
  return name;
}

Commands History::FormTeams() {
  Commands commands;
  for (int t = 0; t < options_.teams; ++t) {
    Team team;
    team.id = NewId();
    team.name = TeamName(static_cast<size_t>(t));
    team.organisation_id = organisations_[static_cast<size_t>(t) % organisations_.size()];
    teams::v1::FormTeamRequest request;
    request.set_team_id(team.id.ToString());
    request.set_organisation_id(team.organisation_id.ToString());
    request.set_name(team.name);
    auto facts = std::make_shared<visits::ClientFacts>();
    facts->team_id = team.id.ToString();
    // The history begins in the middle of things: its clients and nurses have always been here.
    facts->care_started_at = absl::InfinitePast();
    const uint64_t members = kNursesMin + RandomBelow(random_, kNursesMax - kNursesMin + 1);
    for (uint64_t n = 0; n < members; ++n) {
      Nurse nurse;
      nurse.id = NewId();
      nurse.name = NurseName();
      nurse.caller = {nurse.id, access::v1::ROLE_NURSE, team.id, team.organisation_id, Uuid()};
      teams::v1::NewMember& member = *request.add_members();
      member.set_person_id(nurse.id.ToString());
      member.set_name(nurse.name);
      member.set_qualification(n < 3        ? teams::v1::QUALIFICATION_DISTRICT_NURSE
                               : n % 2 == 0 ? teams::v1::QUALIFICATION_NURSE
                                            : teams::v1::QUALIFICATION_CARER);
      facts->members.push_back({nurse.id.ToString()});
      team.nurses.push_back(std::move(nurse));
    }
    team.facts = std::move(facts);
    result_.nurses += members;
    Add(commands, teams::TeamAggregate(), team.id, team.id, team.nurses.front(), NewId(), request,
        eventsourcing::NoFacts());
    teams_.push_back(std::move(team));
  }
  result_.teams = teams_.size();
  return commands;
}

void History::TakeIn(size_t team_index, Commands& commands) {
  Team& team = teams_[team_index];
  Client client;
  client.id = NewId();
  client.team = team_index;
  client.responsible_nurse = RandomBelow(random_, std::min<size_t>(3, team.nurses.size()));
  // Three to seven days a week, at one moment of the day, mostly in the morning.
  static constexpr uint8_t kPatterns[] = {0b0010101, 0b0011111, 0b1111111, 0b0101010, 0b1011011};
  client.weekdays = kPatterns[RandomBelow(random_, std::size(kPatterns))];
  client.starts_minute = OneIn(4) ? static_cast<int>(17 * 60 + 5 * RandomBelow(random_, 48))
                                  : static_cast<int>(7 * 60 + 5 * RandomBelow(random_, 66));
  client.duration_minutes = static_cast<uint32_t>(15 + 5 * RandomBelow(random_, 8));

  clients::v1::TakeClientInRequest request;
  request.set_client_id(client.id.ToString());
  request.set_team_id(team.id.ToString());
  request.set_responsible_nurse_id(team.nurses[client.responsible_nurse].id.ToString());
  request.set_bsn(bsns_[clients_.size() % bsns_.size()]);
  request.set_given_name(DrawGivenName(random_));
  request.set_family_name(DrawFamilyName(random_));
  request.set_birth_date(absl::StrFormat("%04d-%02d-%02d", 1926 + RandomBelow(random_, 45),
                                         1 + RandomBelow(random_, 12),
                                         1 + RandomBelow(random_, 28)));
  request.add_wishes(DrawWish(random_));
  clients::v1::ContactPerson& contact = *request.add_contact_persons();
  contact.set_name(absl::StrCat(DrawGivenName(random_), " ", request.family_name()));
  contact.set_relation(OneIn(2) ? "daughter" : "son");
  contact.set_phone(absl::StrFormat("+31-6-5550%04d", RandomBelow(random_, 10'000)));
  request.mutable_referrer()->set_kind(OneIn(3) ? clients::v1::REFERRER_KIND_HOSPITAL
                                                : clients::v1::REFERRER_KIND_GP);
  request.mutable_identity_document()->set_kind(clients::v1::IDENTITY_DOCUMENT_KIND_IDENTITY_CARD);
  request.mutable_identity_document()->set_checked(true);
  clients::IntakeFacts facts;
  facts.team.team_exists = true;
  facts.team.teams_of_nurse = {team.id.ToString()};
  Add(commands, clients::ClientAggregate(), client.id, client.id,
      team.nurses[client.responsible_nurse], NewId(), request, facts);
  team.clients.push_back(clients_.size());
  clients_.push_back(client);
  ++result_.clients;
}

Commands History::ClientsComing(bool first_day) {
  Commands commands;
  for (size_t t = 0; t < teams_.size(); ++t) {
    while (teams_[t].clients.size() < kClientsOfATeam && (first_day || OneIn(3)))
      TakeIn(t, commands);
  }
  return commands;
}

bool History::HasPlans(size_t client) const {
  return std::any_of(planned_.begin(), planned_.end(), [client](const auto& day) {
    return std::any_of(day.second.begin(), day.second.end(),
                       [client](const PlannedVisit& visit) { return visit.client == client; });
  });
}

Commands History::ClientsLeaving() {
  Commands commands;
  for (Team& team : teams_) {
    for (size_t at = 0; at < team.clients.size();) {
      const size_t index = team.clients[at];
      if (!clients_[index].leaving) clients_[index].leaving = OneIn(kDaysInCare);
      if (!clients_[index].leaving || HasPlans(index)) {
        ++at;
        continue;
      }
      const Client& client = clients_[index];
      clients::v1::EndCareRequest request;
      request.set_client_id(client.id.ToString());
      request.set_reason(OneIn(3) ? clients::v1::END_OF_CARE_REASON_WISH_OF_CLIENT
                                  : clients::v1::END_OF_CARE_REASON_GOALS_REACHED);
      Add(commands, clients::ClientAggregate(), client.id, client.id,
          team.nurses[client.responsible_nurse], NewId(), request, eventsourcing::NoFacts());
      team.clients.erase(team.clients.begin() + static_cast<ptrdiff_t>(at));
    }
  }
  return commands;
}

Commands History::PlanVisits(absl::CivilDay day) {
  Commands commands;
  std::vector<PlannedVisit> visits;
  const absl::Time midnight = StartOfCareDay(day);
  const int weekday = static_cast<int>(absl::GetWeekday(day));  // Monday is 0
  for (Team& team : teams_) {
    // About half of the team works on a day; the round begins with another nurse each day.
    const size_t working = std::max<size_t>(2, team.nurses.size() / 2);
    const size_t first = static_cast<size_t>(day - absl::CivilDay(2000, 1, 1)) % team.nurses.size();
    size_t turn = 0;
    for (size_t index : team.clients) {
      const Client& client = clients_[index];
      if (client.leaving || (client.weekdays >> weekday & 1) == 0) continue;
      PlannedVisit visit;
      visit.id = NewId();
      visit.client = index;
      visit.nurse = (first + turn++ % working) % team.nurses.size();
      visit.starts_at = midnight + absl::Minutes(client.starts_minute);
      visit.duration_minutes = client.duration_minutes;
      visits::v1::PlanVisitRequest request;
      request.set_visit_id(visit.id.ToString());
      request.set_client_id(client.id.ToString());
      request.set_nurse_id(team.nurses[visit.nurse].id.ToString());
      *request.mutable_starts_at() = ProtoTime(visit.starts_at);
      request.set_duration_minutes(visit.duration_minutes);
      Add(commands, visits::VisitAggregate(), client.id, visit.id,
          team.nurses[client.responsible_nurse], NewId(), request, *team.facts);
      visits.push_back(visit);
      ++result_.visits;
    }
  }
  planned_.emplace_back(day, std::move(visits));
  return commands;
}

void History::RecordOne(const PlannedVisit& visit, absl::CivilDay day, Commands& commands) {
  const Client& client = clients_[visit.client];
  const Team& team = teams_[client.team];
  const Nurse& nurse = team.nurses[visit.nurse];
  const Uuid key = NewId();
  if (OneIn(60)) {
    visits::v1::CancelVisitRequest request;
    request.set_visit_id(visit.id.ToString());
    request.set_client_id(client.id.ToString());
    request.set_reason(OneIn(2) ? visits::v1::CANCELLATION_REASON_CLIENT_ABSENT
                                : visits::v1::CANCELLATION_REASON_TAKEN_OVER_BY_NETWORK);
    Add(commands, visits::VisitAggregate(), client.id, visit.id, nurse, key, request,
        eventsourcing::NoFacts());
    return;
  }
  if (OneIn(12)) {
    visits::v1::RecordVisitRequest request;
    request.set_visit_id(visit.id.ToString());
    request.set_client_id(client.id.ToString());
    *request.mutable_starts_at() = ProtoTime(visit.starts_at);
    request.set_duration_minutes(visit.duration_minutes +
                                 static_cast<uint32_t>(5 * RandomBelow(random_, 6)));
    if (OneIn(4))
      request.set_second_nurse_id(
          team.nurses[(visit.nurse + 1) % team.nurses.size()].id.ToString());
    request.set_report(DrawReport(random_));
    Add(commands, visits::VisitAggregate(), client.id, visit.id, nurse, key, request, *team.facts);
    return;
  }
  visits::v1::ConfirmVisit request;
  request.set_visit_id(visit.id.ToString());
  request.set_client_id(client.id.ToString());
  request.set_nurse_id(nurse.id.ToString());
  *request.mutable_day_begins_at() = ProtoTime(StartOfCareDay(day));
  *request.mutable_day_ends_at() = ProtoTime(StartOfCareDay(day + 1));
  Add(commands, visits::VisitAggregate(), client.id, visit.id, nurse, key, request, *team.facts);
  if (OneIn(200)) recorded_.push_back({visit, key});
}

Commands History::RecordVisits(absl::CivilDay day) {
  CHECK(!planned_.empty() && planned_.front().first == day);
  const std::vector<PlannedVisit> visits = std::move(planned_.front().second);
  planned_.pop_front();
  recorded_.clear();
  Commands commands;
  for (const PlannedVisit& visit : visits) RecordOne(visit, day, commands);
  return commands;
}

Commands History::CorrectVisits() {
  Commands commands;
  for (const Recorded& recorded : recorded_) {
    const Client& client = clients_[recorded.visit.client];
    const Team& team = teams_[client.team];
    visits::v1::CorrectVisitRequest request;
    request.set_visit_id(recorded.visit.id.ToString());
    request.set_client_id(client.id.ToString());
    request.set_corrects_recording_id(visits::NewRecordingId(recorded.key));
    *request.mutable_starts_at() = ProtoTime(recorded.visit.starts_at);
    request.set_duration_minutes(recorded.visit.duration_minutes + 10);
    request.set_reason("Ten minutes longer than planned.");
    Add(commands, visits::VisitAggregate(), client.id, recorded.visit.id,
        team.nurses[recorded.visit.nurse], NewId(), request, *team.facts);
  }
  return commands;
}

std::vector<identity::Person> History::People() const {
  std::vector<identity::Person> people;
  SeededRandom ids(options_.seed ^ 0x6F70657261746F72);
  const absl::Time formed = StartOfCareDay(options_.today - static_cast<int>(options_.years * 365));
  auto add = [&](const std::string& name, access::v1::Role role, const Uuid& organisation) {
    people.push_back({NewUuid(formed, ids), name, role, Uuid(), "", organisation});
  };
  add("operator", access::v1::ROLE_OPERATOR, Uuid());
  add("coach", access::v1::ROLE_COACH, organisations_.front());
  add("back office", access::v1::ROLE_BACK_OFFICE, organisations_.front());
  for (const Team& team : teams_) {
    for (const Nurse& nurse : team.nurses) {
      people.push_back(
          {nurse.id, nurse.name, access::v1::ROLE_NURSE, team.id, team.name, team.organisation_id});
    }
  }
  return people;
}

}  // namespace buurtlog::region
