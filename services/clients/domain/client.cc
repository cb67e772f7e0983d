#include "services/clients/domain/client.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "libs/base/care_day.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"
#include "libs/eventsourcing/command_rule.h"

namespace buurtlog::clients {

using eventsourcing::MakeRule;

namespace {

constexpr size_t kAgbDigits = 8;
constexpr size_t kPostcodeDigits = 4;
constexpr size_t kPostcodeCharacters = 6;

bool IsDigit(char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); }
bool IsLetter(char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)); }

// Ids stand in the log in lower case; the form of a request allows both.
absl::StatusOr<std::string> Canonical(std::string_view field, const std::string& id) {
  const absl::StatusOr<Uuid> parsed = ParseUuid(id);
  if (!parsed.ok()) return InvalidField(field, "is not a UUID");
  return parsed->ToString();
}

// `1234AB`; empty stays empty.
absl::StatusOr<std::string> ParsePostcode(const std::string& text) {
  std::string postcode = absl::AsciiStrToUpper(text);
  if (postcode.size() == kPostcodeCharacters + 1 && postcode[kPostcodeDigits] == ' ') {
    postcode.erase(kPostcodeDigits, 1);
  }
  const auto letters = postcode.begin() + std::min(postcode.size(), kPostcodeDigits);
  const bool right = postcode.size() == kPostcodeCharacters && postcode[0] != '0' &&
                     std::all_of(postcode.begin(), letters, IsDigit) &&
                     std::all_of(letters, postcode.end(), IsLetter);
  if (!right && !text.empty()) {
    return WithReason(InvalidField("postcode", "is not four digits and two letters"),
                      "POSTCODE_FORM");
  }
  return postcode;
}

// Empty is allowed: not everybody has one.
absl::Status CheckAgb(std::string_view field, const std::string& agb) {
  if (agb.empty()) return absl::OkStatus();
  if (agb.size() == kAgbDigits && std::all_of(agb.begin(), agb.end(), IsDigit)) {
    return absl::OkStatus();
  }
  return WithReason(InvalidField(field, "is not a code of 8 digits"), "AGB_FORM");
}

absl::Status CheckBirthDate(const std::string& text, absl::Time now) {
  const absl::StatusOr<absl::CivilDay> day = ParseCareDay(text);
  if (!day.ok()) return InvalidField("birth_date", "is not a date YYYY-MM-DD");
  if (*day > CareDay(now)) {
    return WithReason(InvalidField("birth_date", "lies in the future"), "BIRTH_DATE_IN_FUTURE");
  }
  return absl::OkStatus();
}

absl::Status CheckNurse(const TeamFacts& team, const std::string& team_id) {
  const auto& teams = team.teams_of_nurse;
  if (std::find(teams.begin(), teams.end(), team_id) != teams.end()) return absl::OkStatus();
  return Refuse("NURSE_NOT_IN_TEAM", "the nurse is not in the client's team");
}

// Who she is, with every field checked and in the form in which it is kept.
absl::StatusOr<v1::ClientTakenIn> WhoSheIs(const v1::TakeClientInRequest& command,
                                           BsnRange bsn_range, const CommandContext& context) {
  v1::ClientTakenIn taken_in;
  ABSL_ASSIGN_OR_RETURN(const Uuid id, ClientIdOf(command));
  taken_in.set_client_id(id.ToString());
  ABSL_ASSIGN_OR_RETURN(*taken_in.mutable_team_id(), Canonical("team_id", command.team_id()));
  ABSL_ASSIGN_OR_RETURN(*taken_in.mutable_bsn(), ParseBsn(command.bsn(), bsn_range));
  taken_in.set_given_name(command.given_name());
  taken_in.set_family_name(command.family_name());
  ABSL_RETURN_IF_ERROR(CheckBirthDate(command.birth_date(), context.now));
  taken_in.set_birth_date(command.birth_date());
  ABSL_ASSIGN_OR_RETURN(*taken_in.mutable_postcode(), ParsePostcode(command.postcode()));
  taken_in.set_house_number(command.house_number());
  ABSL_RETURN_IF_ERROR(CheckAgb("gp_agb", command.gp_agb()));
  taken_in.set_gp_agb(command.gp_agb());
  taken_in.set_identity_document_kind(command.identity_document().kind());
  taken_in.set_identity_document_checked(command.identity_document().checked());
  return taken_in;
}

void AddContactPersons(const v1::TakeClientInRequest& command, const std::string& client_id,
                       const CommandContext& context, Events& events) {
  for (int i = 0; i < command.contact_persons_size(); ++i) {
    const v1::ContactPerson& person = command.contact_persons(i);
    v1::ContactPersonNamed& named = *events.emplace_back().mutable_contact_person_named();
    named.set_client_id(client_id);
    named.set_contact_person_id(context.NewId(absl::StrCat("contact_person/", i)).ToString());
    named.set_name(person.name());
    named.set_relation(person.relation());
    named.set_phone(person.phone());
  }
}

void AddWishes(const v1::TakeClientInRequest& command, const std::string& client_id,
               const CommandContext& context, Events& events) {
  for (int i = 0; i < command.wishes_size(); ++i) {
    v1::WishRecorded& wish = *events.emplace_back().mutable_wish_recorded();
    wish.set_client_id(client_id);
    wish.set_wish_id(context.NewId(absl::StrCat("wish/", i)).ToString());
    wish.set_wish(command.wishes(i));
  }
}

v1::ClientEvent NurseNamed(const std::string& client_id, const std::string& nurse_id) {
  v1::ClientEvent event;
  event.mutable_responsible_nurse_named()->set_client_id(client_id);
  event.mutable_responsible_nurse_named()->set_nurse_id(nurse_id);
  return event;
}

absl::Status CheckInCare(const v1::ClientState& client) {
  switch (client.stage()) {
    case v1::CARE_STAGE_IN_CARE: return absl::OkStatus();
    case v1::CARE_STAGE_ENDED: return Refuse("CARE_ENDED", "care of this client has ended");
    default: return absl::NotFoundError("no such client");
  }
}

}  // namespace

absl::StatusOr<Uuid> ClientIdOf(const v1::TakeClientInRequest& command) {
  if (command.client_id().empty()) {
    const absl::StatusOr<Uuid> key = ParseUuid(command.header().idempotency_key());
    if (!key.ok()) return InvalidField("header.idempotency_key", "is not a UUID");
    return DerivedUuid(*key, "client");
  }
  absl::StatusOr<Uuid> id = ParseUuid(command.client_id());
  if (!id.ok()) return InvalidField("client_id", "is not a UUID");
  return id;
}

absl::StatusOr<Events> Decide(const v1::ClientState& client, const v1::TakeClientInRequest& command,
                              const IntakeFacts& facts, const CommandContext& context) {
  const TeamFacts& team = facts.team;
  if (client.stage() != v1::CARE_STAGE_UNSPECIFIED) {
    return absl::AlreadyExistsError("the client was taken in before");
  }
  Events events(1);
  v1::ClientTakenIn& taken_in = *events.front().mutable_client_taken_in();
  ABSL_ASSIGN_OR_RETURN(taken_in, WhoSheIs(command, facts.bsn_range, context));
  const std::string client_id = taken_in.client_id();
  const std::string team_id = taken_in.team_id();
  ABSL_ASSIGN_OR_RETURN(const std::string nurse_id,
                        Canonical("responsible_nurse_id", command.responsible_nurse_id()));
  ABSL_RETURN_IF_ERROR(
      CheckAgb("referrer.organisation_agb", command.referrer().organisation_agb()));
  if (!team.team_exists) return absl::NotFoundError("no such team");
  ABSL_RETURN_IF_ERROR(CheckNurse(team, team_id));

  events.push_back(NurseNamed(client_id, nurse_id));
  AddContactPersons(command, client_id, context, events);
  AddWishes(command, client_id, context, events);

  v1::CareStarted& started = *events.emplace_back().mutable_care_started();
  started.set_client_id(client_id);
  started.set_team_id(team_id);
  started.set_referrer_kind(command.referrer().kind());
  started.set_referrer_agb(command.referrer().organisation_agb());
  started.set_started_on(CareDayText(CareDay(context.occurred_at)));
  return events;
}

absl::StatusOr<Events> Decide(const v1::ClientState& client,
                              const v1::HandOverClientRequest& command, const TeamFacts& team,
                              const CommandContext&) {
  ABSL_RETURN_IF_ERROR(CheckInCare(client));
  ABSL_ASSIGN_OR_RETURN(const std::string client_id, Canonical("client_id", command.client_id()));
  ABSL_ASSIGN_OR_RETURN(const std::string nurse_id, Canonical("nurse_id", command.nurse_id()));
  if (client.responsible_nurse_id() == nurse_id) {
    return Refuse("ALREADY_RESPONSIBLE", "this nurse is the responsible one already");
  }
  ABSL_RETURN_IF_ERROR(CheckNurse(team, client.team_id()));
  return Events{NurseNamed(client_id, nurse_id)};
}

absl::StatusOr<Events> Decide(const v1::ClientState& client, const v1::EndCareRequest& command,
                              const CommandContext& context) {
  ABSL_RETURN_IF_ERROR(CheckInCare(client));
  v1::ClientEvent event;
  v1::CareEnded& ended = *event.mutable_care_ended();
  ABSL_ASSIGN_OR_RETURN(*ended.mutable_client_id(), Canonical("client_id", command.client_id()));
  ended.set_team_id(client.team_id());
  ended.set_reason(command.reason());
  ended.set_ended_on(CareDayText(CareDay(context.occurred_at)));
  return Events{event};
}

void Evolve(v1::ClientState& client, const v1::ClientEvent& event) {
  switch (event.event_case()) {
    case v1::ClientEvent::kClientTakenIn:
      client.set_stage(v1::CARE_STAGE_IN_CARE);
      client.set_team_id(event.client_taken_in().team_id());
      break;
    case v1::ClientEvent::kResponsibleNurseNamed:
      client.set_responsible_nurse_id(event.responsible_nurse_named().nurse_id());
      break;
    case v1::ClientEvent::kCareEnded: client.set_stage(v1::CARE_STAGE_ENDED); break;
    case v1::ClientEvent::kContactPersonNamed:
    case v1::ClientEvent::kWishRecorded:
    case v1::ClientEvent::kCareStarted:
    case v1::ClientEvent::EVENT_NOT_SET: break;
  }
}

const eventsourcing::AggregateType& ClientAggregate() {
  static const auto* const type = new eventsourcing::AggregateType(
      eventsourcing::MakeAggregateType<v1::ClientState, v1::ClientEvent, Evolve>(
          "client", kEvolveVersion,
          {MakeRule<v1::ClientState, v1::ClientEvent, v1::TakeClientInRequest, IntakeFacts>(
               &Decide, &SerializeIntakeFacts, &ParseIntakeFacts),
           MakeRule<v1::ClientState, v1::ClientEvent, v1::HandOverClientRequest, TeamFacts>(
               &Decide, &SerializeTeamFacts, &ParseTeamFacts),
           MakeRule<v1::ClientState, v1::ClientEvent, v1::EndCareRequest, &Decide>()}));
  return *type;
}

}  // namespace buurtlog::clients
