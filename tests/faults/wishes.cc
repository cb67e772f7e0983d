#include "tests/faults/wishes.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/refusal.h"
#include "tests/end_to_end/running_system.h"

namespace buurtlog::faults {
namespace {

using clients::v1::ClientsService;
using command::Session;
using end_to_end::Caller;
using end_to_end::NewKey;
using end_to_end::ProtoTime;
using teams::v1::TeamsService;
using visits::v1::VisitsService;

void Fill(const visits::v1::RecordUnplannedVisitResponse& response, Answer& answer) {
  answer.visit_id = response.visit_id();
  answer.recording_id = response.recording_id();
}
void Fill(const clients::v1::TakeClientInResponse& response, Answer& answer) {
  answer.client_id = response.client_id();
}
template <typename Response>
void Fill(const Response&, Answer&) {}

template <typename Service, typename Request, typename Response>
std::shared_ptr<Wish> MakeWish(const char* service, const char* what,
                               grpc::Status (Service::Stub::*method)(grpc::ClientContext*,
                                                                     const Request&, Response*),
                               Request request) {
  auto wish = std::make_shared<Wish>();
  wish->what = what;
  wish->service = service;
  wish->key = request.header().idempotency_key();
  wish->send = [method,
                request = std::move(request)](const Session& session) -> absl::StatusOr<Answer> {
    const absl::StatusOr<Response> response = Caller<Service>(session)(method, request);
    Answer answer;
    if (response.ok()) {
      answer.text = response->SerializeAsString();
      answer.position = response->receipt().position();
      Fill(*response, answer);
      return answer;
    }
    // A refusal on what exists is recorded, so it is the answer for ever.
    if (!absl::IsFailedPrecondition(response.status())) return response.status();
    answer.refused = true;
    answer.text = absl::StrCat(absl::StatusCodeToString(response.status().code()), " ",
                               StatusReason(response.status()).value_or(""), " ",
                               response.status().message());
    return answer;
  };
  return wish;
}

template <typename Request>
Request NewRequest() {
  Request request;
  request.mutable_header()->set_idempotency_key(NewKey());
  return request;
}

}  // namespace

WishPtr WishMaker::FormTheTeam() {
  auto request = NewRequest<teams::v1::FormTeamRequest>();
  request.set_team_id(team_.team_id);
  request.set_organisation_id(team_.organisation_id);
  request.set_name("Molenwijk");
  for (const std::string& nurse : team_.nurse_ids) {
    teams::v1::NewMember& member = *request.add_members();
    member.set_person_id(nurse);
    member.set_name("A nurse");
    member.set_qualification(teams::v1::QUALIFICATION_NURSE);
  }
  return MakeWish<TeamsService>("teams", "FormTeam", &TeamsService::Stub::FormTeam,
                                std::move(request));
}

WishPtr WishMaker::TakeIn() {
  // Numbers of the test range that pass the 11-test.
  static constexpr const char* kBsns[] = {"999900006", "999900018", "999900031", "999900043"};
  auto request = NewRequest<clients::v1::TakeClientInRequest>();
  for (const type::v1::Position& position : must_know_) {
    if (position.service() == "teams") *request.mutable_header()->add_min_position() = position;
  }
  request.set_team_id(team_.team_id);
  request.set_responsible_nurse_id(nurse_id_);
  request.set_bsn(kBsns[made_++ % 4]);
  request.set_given_name("Truus");
  request.set_family_name(absl::StrCat("Visser ", made_));
  request.set_birth_date("1938-04-02");
  request.mutable_referrer()->set_kind(clients::v1::REFERRER_KIND_GP);
  request.mutable_identity_document()->set_kind(clients::v1::IDENTITY_DOCUMENT_KIND_PASSPORT);
  request.mutable_identity_document()->set_checked(true);
  return MakeWish<ClientsService>("clients", "TakeClientIn", &ClientsService::Stub::TakeClientIn,
                                  std::move(request));
}

WishPtr WishMaker::Next() {
  if (Chance(2)) return TakeIn();
  if (Chance(3)) return HandOverToTheSame();
  if (Chance(3)) return FormAnother();
  if (Chance(2)) return AddAgain();
  if (Chance(8)) return Plan();
  if (Chance(8) && !realised_.empty()) return Move();
  return Visit();
}

WishPtr WishMaker::Visit() {
  auto request = NewRequest<visits::v1::RecordUnplannedVisitRequest>();
  for (const auto& position : must_know_) *request.mutable_header()->add_min_position() = position;
  request.set_client_id(AnyClient());
  request.set_nurse_id(nurse_id_);
  *request.mutable_starts_at() =
      ProtoTime(SystemClock().Now() - absl::Hours(40) + absl::Minutes(++made_ % 2'000));
  request.set_duration_minutes(5 + static_cast<uint32_t>(RandomBelow(random_, 60)));
  request.set_report(std::string(RandomBelow(random_, team_.report_characters_max), 'x'));
  const std::string client_id = request.client_id();
  auto wish =
      MakeWish<VisitsService>("visits", "RecordUnplannedVisit",
                              &VisitsService::Stub::RecordUnplannedVisit, std::move(request));
  wish->client_id = client_id;
  return wish;
}

WishPtr WishMaker::Plan() {
  auto request = NewRequest<visits::v1::PlanVisitRequest>();
  for (const auto& position : must_know_) *request.mutable_header()->add_min_position() = position;
  request.set_client_id(AnyClient());
  request.set_nurse_id(nurse_id_);
  *request.mutable_starts_at() = ProtoTime(SystemClock().Now() + absl::Hours(++made_ % 400));
  request.set_duration_minutes(30);
  return MakeWish<VisitsService>("visits", "PlanVisit", &VisitsService::Stub::PlanVisit,
                                 std::move(request));
}

// Half of them are moved before already, and refused.
WishPtr WishMaker::Move() {
  const Realised& visit = realised_[RandomBelow(random_, realised_.size())];
  auto request = NewRequest<visits::v1::MoveVisitRequest>();
  for (const auto& position : must_know_) *request.mutable_header()->add_min_position() = position;
  request.set_visit_id(visit.visit_id);
  request.set_client_id(visit.client_id);
  request.set_to_client_id(AnyClient());
  request.set_corrects_recording_id(visit.recording_id);
  return MakeWish<VisitsService>("visits", "MoveVisit", &VisitsService::Stub::MoveVisit,
                                 std::move(request));
}

// Refused: she is responsible already.
WishPtr WishMaker::HandOverToTheSame() {
  auto request = NewRequest<clients::v1::HandOverClientRequest>();
  request.set_client_id(AnyClient());
  request.set_nurse_id(nurse_id_);
  return MakeWish<ClientsService>("clients", "HandOverClient",
                                  &ClientsService::Stub::HandOverClient, std::move(request));
}

WishPtr WishMaker::FormAnother() {
  auto request = NewRequest<teams::v1::FormTeamRequest>();
  request.set_organisation_id(team_.organisation_id);
  request.set_name(absl::StrCat("Team ", ++made_));
  teams::v1::NewMember& member = *request.add_members();
  member.set_person_id(NewKey());
  member.set_name("A nurse");
  member.set_qualification(teams::v1::QUALIFICATION_NURSE);
  return MakeWish<TeamsService>("teams", "FormTeam", &TeamsService::Stub::FormTeam,
                                std::move(request));
}

// Refused: she is in it already.
WishPtr WishMaker::AddAgain() {
  auto request = NewRequest<teams::v1::AddMemberRequest>();
  request.set_team_id(team_.team_id);
  request.mutable_member()->set_person_id(nurse_id_);
  request.mutable_member()->set_name("A nurse");
  request.mutable_member()->set_qualification(teams::v1::QUALIFICATION_NURSE);
  return MakeWish<TeamsService>("teams", "AddMember", &TeamsService::Stub::AddMember,
                                std::move(request));
}

const std::string& WishMaker::AnyClient() {
  return clients_[RandomBelow(random_, clients_.size())];
}

void WishMaker::Learn(const Wish& wish, const Answer& answer) {
  // So many that each is visited often.
  constexpr size_t kClientsMax = 20;
  constexpr size_t kRealisedMax = 50;
  constexpr size_t kMustKnowMax = 32;
  if (answer.refused) return;
  const bool client = !answer.client_id.empty() && clients_.size() < kClientsMax;
  if (client) clients_.push_back(answer.client_id);
  if ((client || must_know_.empty()) && must_know_.size() < kMustKnowMax) {
    must_know_.push_back(answer.position);
  }
  if (!answer.recording_id.empty() && wish.what == "RecordUnplannedVisit") {
    if (realised_.size() >= kRealisedMax) realised_.erase(realised_.begin());
    realised_.push_back({answer.visit_id, wish.client_id, answer.recording_id});
  }
}

}  // namespace buurtlog::faults
