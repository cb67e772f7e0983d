#include "tests/end_to_end/team_at_work.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "libs/base/care_day.h"
#include "libs/base/testing/patience.h"

namespace buurtlog::end_to_end {

using clients::v1::ClientsService;
using teams::v1::TeamsService;
using visits::v1::VisitsService;

TeamAtWork::TeamAtWork(std::string data_folder, std::vector<std::string> log_words)
    : team_uuid_(NewUuid(SystemClock().Now(), SystemRandom())),
      people_(WritePeople(data_folder, {"Anna de Vries", "Bram Kok", "Corrie Maas", "Daan Prins"},
                          team_uuid_)),
      system_(std::move(data_folder), std::move(log_words)),
      team_id_(team_uuid_.ToString()) {
  teams::v1::FormTeamRequest request;
  request.mutable_header()->set_idempotency_key(NewKey());
  request.set_team_id(team_id_);
  request.set_organisation_id(people_.front().organisation_id.ToString());
  request.set_name("Molenwijk");
  for (const identity::Person& person : people_) {
    if (person.role != access::v1::ROLE_NURSE) continue;
    nurse_ids_.push_back(person.person_id.ToString());
    teams::v1::NewMember& member = *request.add_members();
    member.set_person_id(nurse_ids_.back());
    member.set_name(person.name);
    member.set_qualification(teams::v1::QUALIFICATION_DISTRICT_NURSE);
  }
  const Session nurse = Nurse(0);
  Remember(Expect(Caller<TeamsService>(nurse)(&TeamsService::Stub::FormTeam, request)).receipt());
}

void TeamAtWork::Remember(const type::v1::Receipt& receipt) {
  written_.push_back(receipt.position());
}

absl::CivilDay TeamAtWork::Day(absl::Duration ago) { return CareDay(SystemClock().Now() - ago); }

clients::v1::TakeClientInRequest TeamAtWork::IntakeRequest() const {
  // Numbers of the test range that pass the 11-test.
  static constexpr const char* kBsns[] = {"999900006", "999900018", "999900031", "999900043",
                                          "999900055", "999900067", "999900079", "999900080",
                                          "999900092", "999900109", "999900110", "999900122"};
  clients::v1::TakeClientInRequest request;
  request.mutable_header()->set_idempotency_key(NewKey());
  for (const auto& position : written_) {
    if (position.service() == "teams") *request.mutable_header()->add_min_position() = position;
  }
  request.set_team_id(team_id_);
  request.set_responsible_nurse_id(nurse_ids_[0]);
  request.set_bsn(kBsns[static_cast<size_t>(clients_) % std::size(kBsns)]);
  request.set_given_name("Truus");
  request.set_family_name(absl::StrCat("Visser ", clients_ + 1));
  request.set_birth_date("1938-04-02");
  request.add_wishes("Coffee before anything else.");
  request.mutable_referrer()->set_kind(clients::v1::REFERRER_KIND_GP);
  request.mutable_identity_document()->set_kind(clients::v1::IDENTITY_DOCUMENT_KIND_PASSPORT);
  request.mutable_identity_document()->set_checked(true);
  return request;
}

std::string TeamAtWork::TakeClientIn() {
  const Session nurse = Nurse(0);
  const auto response =
      Expect(Caller<ClientsService>(nurse)(&ClientsService::Stub::TakeClientIn, IntakeRequest()));
  ++clients_;
  Remember(response.receipt());
  return response.client_id();
}

std::string TeamAtWork::Plan(const std::string& client_id, size_t nurse, absl::Duration ago,
                             uint32_t minutes) {
  visits::v1::PlanVisitRequest request;
  request.mutable_header()->set_idempotency_key(NewKey());
  for (const auto& position : written_) {
    if (position.service() != "visits") *request.mutable_header()->add_min_position() = position;
  }
  request.set_client_id(client_id);
  request.set_nurse_id(nurse_ids_[nurse]);
  *request.mutable_starts_at() = ProtoTime(SystemClock().Now() - ago);
  request.set_duration_minutes(minutes);
  const Session session = Nurse(nurse);
  const auto response =
      Expect(Caller<VisitsService>(session)(&VisitsService::Stub::PlanVisit, request));
  Remember(response.receipt());
  return response.visit_id();
}

std::vector<type::v1::Position> TeamAtWork::NewestOfVisits() const {
  std::map<uint32_t, type::v1::Position> newest;
  for (const auto& position : written_) {
    if (position.service() != "visits") continue;
    type::v1::Position& at = newest[position.partition()];
    if (at.sequence() < position.sequence()) at = position;
  }
  std::vector<type::v1::Position> positions;
  for (auto& [partition, position] : newest) positions.push_back(std::move(position));
  return positions;
}

visits::v1::GetDaySheetResponse TeamAtWork::DaySheet(size_t nurse, absl::CivilDay day) {
  visits::v1::GetDaySheetRequest request;
  request.set_nurse_id(nurse_ids_[nurse]);
  request.set_date(CareDayText(day));
  WaitForVisits(request);
  const Session session = Nurse(nurse);
  return Expect(Caller<VisitsService>(session)(&VisitsService::Stub::GetDaySheet, request));
}

visits::v1::GetTeamHoursResponse TeamAtWork::Hours(absl::CivilDay from, absl::CivilDay to) {
  visits::v1::GetTeamHoursRequest request;
  request.set_team_id(team_id_);
  request.set_from_date(CareDayText(from));
  request.set_to_date(CareDayText(to));
  WaitForVisits(request);
  const Session session = Nurse(0);
  return Expect(Caller<VisitsService>(session)(&VisitsService::Stub::GetTeamHours, request));
}

visits::v1::GetClientTimelineResponse TeamAtWork::Timeline(const std::string& client_id) {
  visits::v1::GetClientTimelineRequest request;
  request.set_client_id(client_id);
  request.set_page_size(200);
  WaitForVisits(request);
  const Session session = Nurse(0);
  return Expect(Caller<VisitsService>(session)(&VisitsService::Stub::GetClientTimeline, request));
}

visits::v1::GetTeamHoursResponse TeamAtWork::HoursOf(absl::CivilDay from, absl::CivilDay to,
                                                     uint32_t minutes) {
  const absl::Time give_up = absl::Now() + Patience(absl::Seconds(20));
  visits::v1::GetTeamHoursResponse hours = Hours(from, to);
  while (hours.minutes() != minutes && absl::Now() < give_up) hours = Hours(from, to);
  return hours;
}

visits::v1::GetClientTimelineResponse TeamAtWork::TimelineOf(const std::string& client_id,
                                                             int entries) {
  const absl::Time give_up = absl::Now() + Patience(absl::Seconds(20));
  visits::v1::GetClientTimelineResponse timeline = Timeline(client_id);
  while (timeline.entries_size() < entries && absl::Now() < give_up) timeline = Timeline(client_id);
  return timeline;
}

}  // namespace buurtlog::end_to_end
