#include "tools/buurtlog/care_command.h"

#include <google/protobuf/util/time_util.h>

#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "buurtlog/clients/v1/clients_service.grpc.pb.h"
#include "buurtlog/teams/v1/teams_service.grpc.pb.h"
#include "buurtlog/visits/v1/visits_service.grpc.pb.h"
#include "libs/base/care_day.h"
#include "libs/base/clock.h"
#include "libs/base/status_macros.h"

namespace buurtlog::command {
namespace {

using clients::v1::ClientsService;
using teams::v1::TeamsService;
using visits::v1::VisitsService;

inline constexpr uint32_t kClientsPageSize = 100;

absl::Time TimeOf(const google::protobuf::Timestamp& time) {
  return absl::FromUnixMicros(google::protobuf::util::TimeUtil::TimestampToMicroseconds(time));
}

// ENUM_NAME_LIKE_THIS without its prefix, as words.
std::string Words(absl::string_view name, absl::string_view prefix) {
  return absl::StrReplaceAll(absl::AsciiStrToLower(absl::StripPrefix(name, prefix)), {{"_", " "}});
}

std::string StageText(const visits::v1::Visit& visit) {
  std::string text = Words(visits::v1::VisitStage_Name(visit.stage()), "VISIT_STAGE_");
  if (visit.basis() != visits::v1::RECORDING_BASIS_UNSPECIFIED) {
    absl::StrAppend(&text, ", ",
                    Words(visits::v1::RecordingBasis_Name(visit.basis()), "RECORDING_BASIS_"));
  }
  return text;
}

absl::StatusOr<std::string> TeamOf(const Session& session, const std::string& given) {
  if (!given.empty()) return given;
  if (session.who().team_id.empty()) {
    return absl::InvalidArgumentError(
        "whoever is signed in has no team; name one: buurtlog team TEAM_ID");
  }
  return session.who().team_id;
}

absl::StatusOr<std::vector<clients::v1::ClientSummary>> ClientsOf(const Session& session,
                                                                  const std::string& team_id) {
  auto stub = ClientsService::NewStub(session.channel());
  std::vector<clients::v1::ClientSummary> all;
  clients::v1::ListClientsOfTeamRequest request;
  request.set_team_id(team_id);
  request.set_page_size(kClientsPageSize);
  do {
    ABSL_ASSIGN_OR_RETURN(auto page,
                          (session.Call<ClientsService::Stub, clients::v1::ListClientsOfTeamRequest,
                                        clients::v1::ListClientsOfTeamResponse>(
                              *stub, &ClientsService::Stub::ListClientsOfTeam, request)));
    all.insert(all.end(), page.clients().begin(), page.clients().end());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return all;
}

struct Named {
  std::string name;
  std::string id;
};

// The id of the only one whose name has `part` in it.
absl::StatusOr<std::string> TheOneNamed(const std::vector<Named>& among, const std::string& part,
                                        absl::string_view kind) {
  std::string found;
  for (const Named& candidate : among) {
    if (!absl::StrContains(absl::AsciiStrToLower(candidate.name), absl::AsciiStrToLower(part)))
      continue;
    if (!found.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("more than one ", kind,
                       " of the team answers to that; give more of the name, or the id"));
    }
    found = candidate.id;
  }
  if (found.empty())
    return absl::NotFoundError(absl::StrCat("no ", kind, " of the team answers to that"));
  return found;
}

// ---- team

absl::Status PrintHours(const Session& session, const Output& output, const std::string& team_id) {
  auto stub = VisitsService::NewStub(session.channel());
  const absl::CivilDay today = CareDay(SystemClock().Now());
  const absl::CivilDay monday = absl::PrevWeekday(today + 1, absl::Weekday::monday);
  struct Period {
    std::string name;
    absl::CivilDay from;
    absl::CivilDay to;
  };
  const std::vector<Period> periods = {{"today", today, today},
                                       {"this week", monday, today},
                                       {"last week", monday - 7, monday - 1},
                                       {"last four weeks", today - 27, today}};
  Table table({"hours", "visits", "total", "as planned", "otherwise", "unplanned", "second nurse",
               "overlap"},
              {1, 2, 3, 4, 5, 6, 7});
  for (const Period& period : periods) {
    visits::v1::GetTeamHoursRequest request;
    request.set_team_id(team_id);
    request.set_from_date(CareDayText(period.from));
    request.set_to_date(CareDayText(period.to));
    ABSL_ASSIGN_OR_RETURN(auto hours,
                          (session.Call<VisitsService::Stub, visits::v1::GetTeamHoursRequest,
                                        visits::v1::GetTeamHoursResponse>(
                              *stub, &VisitsService::Stub::GetTeamHours, request)));
    output.Json(hours);
    table.Add({period.name, Grouped(hours.visits()),
               HoursMinutes(static_cast<int64_t>(hours.minutes())),
               HoursMinutes(static_cast<int64_t>(hours.planned_minutes())),
               HoursMinutes(static_cast<int64_t>(hours.deviating_minutes())),
               HoursMinutes(static_cast<int64_t>(hours.unplanned_minutes())),
               HoursMinutes(static_cast<int64_t>(hours.second_nurse_minutes())),
               HoursMinutes(static_cast<int64_t>(hours.overlapping_minutes()))});
  }
  table.Print(output);
  return absl::OkStatus();
}

absl::Status Team(CommandLine& line, const Output& output, const std::string& given) {
  ABSL_ASSIGN_OR_RETURN(Session session, Session::Open(line.MakeSessionOptions()));
  ABSL_ASSIGN_OR_RETURN(std::string team_id, TeamOf(session, given));
  auto stub = TeamsService::NewStub(session.channel());
  teams::v1::GetTeamRequest request;
  request.set_team_id(team_id);
  ABSL_ASSIGN_OR_RETURN(
      auto response,
      (session.Call<TeamsService::Stub, teams::v1::GetTeamRequest, teams::v1::GetTeamResponse>(
          *stub, &TeamsService::Stub::GetTeam, request)));
  output.Json(response);
  const teams::v1::Team& team = response.team();
  output.Heading(absl::StrCat(team.name(), ", ", team.members_size(), " members"));
  Table members({"name", "level", "since", "id"});
  for (const auto& member : team.members()) {
    members.Add({member.name(),
                 Words(teams::v1::Qualification_Name(member.qualification()), "QUALIFICATION_"),
                 CareDayText(CareDay(TimeOf(member.joined_at()))), member.person_id()});
  }
  members.Print(output);
  output.Line("");
  return PrintHours(session, output, team_id);
}

absl::Status Clients(CommandLine& line, const Output& output, const std::string& given) {
  ABSL_ASSIGN_OR_RETURN(Session session, Session::Open(line.MakeSessionOptions()));
  ABSL_ASSIGN_OR_RETURN(std::string team_id, TeamOf(session, given));
  ABSL_ASSIGN_OR_RETURN(auto list, ClientsOf(session, team_id));
  Table table({"name", "id"});
  for (const auto& client : list) {
    output.Json(client);
    table.Add({absl::StrCat(client.given_name(), " ", client.family_name()), client.client_id()});
  }
  table.Print(output);
  return absl::OkStatus();
}

// ---- day

// By id, or by a name among the members of the signed-in nurse's team.
absl::StatusOr<std::string> FindNurse(const Session& session, const std::string& nurse) {
  if (nurse.empty()) return session.who().person_id;
  if (ParseUuid(nurse).ok()) return nurse;
  teams::v1::GetTeamRequest request;
  ABSL_ASSIGN_OR_RETURN(*request.mutable_team_id(), TeamOf(session, ""));
  auto stub = TeamsService::NewStub(session.channel());
  ABSL_ASSIGN_OR_RETURN(
      auto response,
      (session.Call<TeamsService::Stub, teams::v1::GetTeamRequest, teams::v1::GetTeamResponse>(
          *stub, &TeamsService::Stub::GetTeam, request)));
  std::vector<Named> members;
  for (const auto& member : response.team().members())
    members.push_back({member.name(), member.person_id()});
  return TheOneNamed(members, nurse, "member");
}

void PrintDay(const Output& output, const visits::v1::GetDaySheetResponse& sheet) {
  output.Json(sheet);
  Table table({"from", "to", "minutes", "client", "state", "client id"}, {2});
  for (const auto& visit : sheet.visits()) {
    const absl::Time starts = TimeOf(visit.starts_at());
    table.Add({LocalTimeOfDay(starts),
               LocalTimeOfDay(starts + absl::Minutes(visit.duration_minutes())),
               absl::StrCat(visit.duration_minutes()), visit.client_name(), StageText(visit),
               visit.client_id()});
  }
  if (sheet.visits().empty()) output.Line("  no visits");
  table.Print(output);
}

// The command for what is still planned on this sheet.
visits::v1::ConfirmDayRequest ConfirmationOf(const visits::v1::GetDaySheetResponse& sheet,
                                             const visits::v1::GetDaySheetRequest& asked) {
  visits::v1::ConfirmDayRequest request;
  request.mutable_header()->set_idempotency_key(
      NewUuid(SystemClock().Now(), SystemRandom()).ToString());
  request.set_nurse_id(asked.nurse_id());
  request.set_date(asked.date());
  for (const auto& visit : sheet.visits()) {
    if (visit.stage() != visits::v1::VISIT_STAGE_PLANNED) continue;
    visits::v1::SeenVisit& seen = *request.add_visits();
    seen.set_visit_id(visit.visit_id());
    seen.set_client_id(visit.client_id());
    seen.set_expected_version(visit.version());
  }
  return request;
}

absl::Status Confirm(const Session& session, VisitsService::Stub& stub, const Output& output,
                     const visits::v1::GetDaySheetResponse& sheet,
                     visits::v1::GetDaySheetRequest asked) {
  const visits::v1::ConfirmDayRequest request = ConfirmationOf(sheet, asked);
  if (request.visits().empty()) {
    output.Line("  nothing left to confirm");
    return absl::OkStatus();
  }
  ABSL_ASSIGN_OR_RETURN(auto confirmed,
                        (session.Call<VisitsService::Stub, visits::v1::ConfirmDayRequest,
                                      visits::v1::ConfirmDayResponse>(
                            stub, &VisitsService::Stub::ConfirmDay, request)));
  output.Json(confirmed);
  int recorded = 0;
  for (const auto& visit : confirmed.visits()) {
    if (visit.result().has_receipt()) {
      ++recorded;
      *asked.add_min_position() = visit.result().receipt().position();
    } else {
      output.Line(absl::StrCat("  not confirmed: ", visit.visit_id(), ": ",
                               visit.result().error().message()));
    }
  }
  output.Line("");
  output.Heading(absl::StrCat(recorded, " of ", confirmed.visits_size(),
                              " visits confirmed with one command"));
  ABSL_ASSIGN_OR_RETURN(auto after,
                        (session.Call<VisitsService::Stub, visits::v1::GetDaySheetRequest,
                                      visits::v1::GetDaySheetResponse>(
                            stub, &VisitsService::Stub::GetDaySheet, asked)));
  PrintDay(output, after);
  return recorded == confirmed.visits_size()
             ? absl::OkStatus()
             : absl::FailedPreconditionError("some visits were not confirmed");
}

struct DayOptions {
  std::string nurse;
  std::string date;
  bool confirm = false;
};

absl::Status Day(CommandLine& line, const Output& output, const DayOptions& options) {
  ABSL_ASSIGN_OR_RETURN(Session session, Session::Open(line.MakeSessionOptions()));
  auto stub = VisitsService::NewStub(session.channel());
  visits::v1::GetDaySheetRequest request;
  ABSL_ASSIGN_OR_RETURN(*request.mutable_nurse_id(), FindNurse(session, options.nurse));
  request.set_date(options.date.empty() ? CareDayText(CareDay(SystemClock().Now())) : options.date);
  ABSL_ASSIGN_OR_RETURN(auto sheet,
                        (session.Call<VisitsService::Stub, visits::v1::GetDaySheetRequest,
                                      visits::v1::GetDaySheetResponse>(
                            *stub, &VisitsService::Stub::GetDaySheet, request)));
  output.Heading(
      absl::StrCat(options.nurse.empty() ? session.who().name : "nurse", ", ", request.date()));
  PrintDay(output, sheet);
  if (!options.confirm) return absl::OkStatus();
  return Confirm(session, *stub, output, sheet, std::move(request));
}

// ---- timeline

// By id, or by a name among the clients of the signed-in nurse's team.
absl::StatusOr<std::string> FindClient(const Session& session, const std::string& client) {
  if (ParseUuid(client).ok()) return client;
  ABSL_ASSIGN_OR_RETURN(std::string team_id, TeamOf(session, ""));
  ABSL_ASSIGN_OR_RETURN(auto list, ClientsOf(session, team_id));
  std::vector<Named> clients;
  for (const auto& candidate : list) {
    clients.push_back({absl::StrCat(candidate.given_name(), " ", candidate.family_name()),
                       candidate.client_id()});
  }
  return TheOneNamed(clients, client, "client");
}

std::string EventText(const visits::v1::VisitEvent& event) {
  auto when = [](const auto& e) {
    return absl::StrCat(LocalTime(TimeOf(e.starts_at())), ", ", e.duration_minutes(), " minutes");
  };
  switch (event.event_case()) {
    case visits::v1::VisitEvent::kPlanned:
      return absl::StrCat("planned for ", when(event.planned()));
    case visits::v1::VisitEvent::kRealised: {
      const auto& realised = event.realised();
      return absl::StrCat(
          "visit, ", Words(visits::v1::RecordingBasis_Name(realised.basis()), "RECORDING_BASIS_"),
          ": ", when(realised), realised.second_nurse_id().empty() ? "" : ", two nurses",
          realised.corrects_visit_id().empty() ? "" : ", moved here from another client",
          realised.report().empty() ? "" : absl::StrCat(": ", realised.report()));
    }
    case visits::v1::VisitEvent::kCorrected: {
      const auto& corrected = event.corrected();
      return absl::StrCat("corrected: ", when(corrected),
                          corrected.second_nurse_id().empty() ? "" : ", two nurses", " (",
                          corrected.reason(), ")");
    }
    case visits::v1::VisitEvent::kWithdrawn: return "withdrawn: belongs to another client";
    case visits::v1::VisitEvent::kCancelled:
      return absl::StrCat("cancelled: ",
                          Words(visits::v1::CancellationReason_Name(event.cancelled().reason()),
                                "CANCELLATION_REASON_"));
    case visits::v1::VisitEvent::EVENT_NOT_SET: break;
  }
  return "of a newer release";
}

absl::Status Timeline(CommandLine& line, const Output& output, const std::string& client,
                      uint32_t count) {
  ABSL_ASSIGN_OR_RETURN(Session session, Session::Open(line.MakeSessionOptions()));
  visits::v1::GetClientTimelineRequest request;
  ABSL_ASSIGN_OR_RETURN(*request.mutable_client_id(), FindClient(session, client));
  request.set_page_size(count);
  auto stub = VisitsService::NewStub(session.channel());
  ABSL_ASSIGN_OR_RETURN(auto timeline,
                        (session.Call<VisitsService::Stub, visits::v1::GetClientTimelineRequest,
                                      visits::v1::GetClientTimelineResponse>(
                            *stub, &VisitsService::Stub::GetClientTimeline, request)));
  output.Json(timeline);
  Table table({"recorded", "by", "what", "visit", "place in the log"});
  for (const auto& entry : timeline.entries()) {
    table.Add({LocalTime(TimeOf(entry.recorded_at())), entry.actor_id(), EventText(entry.event()),
               entry.visit_id(),
               absl::StrCat(entry.position().service(), "/", entry.position().partition(), "/",
                            entry.position().sequence())});
  }
  table.Print(output);
  if (timeline.entries().empty()) output.Line("  nothing yet");
  if (!timeline.next_page_token().empty()) output.Line("  ... and more; --count shows more");
  return absl::OkStatus();
}

}  // namespace

void AddCareCommands(CLI::App& app, CommandLine& line) {
  auto team_id = std::make_shared<std::string>();
  CLI::App* team =
      app.add_subcommand("team", "A team: members, and hours of today, this week and before");
  team->add_option("TEAM_ID", *team_id, "Default: the team of whoever is signed in");
  team->callback(
      Runs(line, [team_id](CommandLine& l, const Output& o) { return Team(l, o, *team_id); }));

  auto clients_team = std::make_shared<std::string>();
  CLI::App* clients = app.add_subcommand("clients", "The clients of a team");
  clients->add_option("TEAM_ID", *clients_team, "Default: the team of whoever is signed in");
  clients->callback(Runs(line, [clients_team](CommandLine& l, const Output& o) {
    return Clients(l, o, *clients_team);
  }));

  auto options = std::make_shared<DayOptions>();
  CLI::App* day = app.add_subcommand(
      "day", "A nurse's day sheet; --confirm confirms what is still planned, with one command");
  day->add_option(
      "--nurse", options->nurse,
      "Id of a nurse, or part of the name of a colleague; default: whoever is signed in");
  day->add_option("--date", options->date, "YYYY-MM-DD; default: today in Amsterdam");
  day->add_flag(
      "--confirm", options->confirm,
      "The day went as planned: record every visit that is still planned as it was planned");
  day->callback(
      Runs(line, [options](CommandLine& l, const Output& o) { return Day(l, o, *options); }));

  auto client = std::make_shared<std::string>();
  auto count = std::make_shared<uint32_t>(30);
  CLI::App* timeline = app.add_subcommand(
      "timeline", "What happened with a client's visits, newest first, corrections included");
  timeline->add_option("CLIENT", *client, "Id, or part of the name of a client of your team")
      ->required();
  timeline->add_option("--count", *count, "How many entries")
      ->check(CLI::Range(1, 200))
      ->capture_default_str();
  timeline->callback(Runs(line, [client, count](CommandLine& l, const Output& o) {
    return Timeline(l, o, *client, *count);
  }));
}

}  // namespace buurtlog::command
