#include "tools/buurtlog/morning.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "buurtlog/access/v1/sign_in_service.grpc.pb.h"
#include "buurtlog/clients/v1/clients_service.grpc.pb.h"
#include "libs/base/care_day.h"
#include "libs/base/clock.h"
#include "libs/base/refusal.h"
#include "libs/base/scheduler.h"
#include "libs/base/status_macros.h"
#include "tools/buurtlog/phone.h"
#include "tools/buurtlog/sign_in.h"

namespace buurtlog::command {
namespace {

using visits::v1::VisitsService;
using Stub = VisitsService::Stub;

inline constexpr size_t kPhonesAtOnceMax = 8;

absl::StatusOr<std::vector<access::v1::Person>> Nurses(const MorningOptions& options) {
  const Session session = Session::At(options.address, "", options.timeout);
  auto stub = access::v1::SignInService::NewStub(session.channel());
  std::vector<access::v1::Person> nurses;
  access::v1::ListPeopleRequest request;
  request.set_role(access::v1::ROLE_NURSE);
  request.set_page_size(1000);
  do {
    ABSL_ASSIGN_OR_RETURN(
        auto page, (session.Call<access::v1::SignInService::Stub, access::v1::ListPeopleRequest,
                                 access::v1::ListPeopleResponse>(
                       *stub, &access::v1::SignInService::Stub::ListPeople, request)));
    nurses.insert(nurses.end(), page.people().begin(), page.people().end());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (nurses.empty()) {
    return WithReason(
        absl::FailedPreconditionError("there are no nurses here; `buurtlog region` makes a region"),
        "NO_NURSES");
  }
  return nurses;
}

// The parts of a morning: two late phones, one of each other kind, one left for the reader, all
// others confirm.
Part PartOf(size_t nurse, size_t nurses) {
  static constexpr Part kParts[] = {Part::kLeftForTheReader, Part::kLatePhone, Part::kDeviates,
                                    Part::kCorrects,         Part::kUnplanned, Part::kWrongClient,
                                    Part::kLatePhone};
  // Spread over the region rather than all in the first team.
  const size_t step = std::max<size_t>(1, nurses / std::size(kParts));
  return nurse % step == 0 && nurse / step < std::size(kParts) ? kParts[nurse / step]
                                                               : Part::kConfirms;
}

absl::StatusOr<std::vector<std::string>> ClientIds(const Session& session,
                                                   const std::string& team_id) {
  auto stub = clients::v1::ClientsService::NewStub(session.channel());
  clients::v1::ListClientsOfTeamRequest request;
  request.set_team_id(team_id);
  ABSL_ASSIGN_OR_RETURN(
      auto page,
      (session.Call<clients::v1::ClientsService::Stub, clients::v1::ListClientsOfTeamRequest,
                    clients::v1::ListClientsOfTeamResponse>(
          *stub, &clients::v1::ClientsService::Stub::ListClientsOfTeam, request)));
  std::vector<std::string> ids;
  for (const auto& client : page.clients()) ids.push_back(client.client_id());
  return ids;
}

absl::StatusOr<int64_t> TeamMinutes(const MorningOptions& options, const access::v1::Person& nurse,
                                    absl::CivilDay day) {
  ABSL_ASSIGN_OR_RETURN(SignedIn who,
                        SignInAs(options.address, nurse.person_id(), options.timeout));
  const Session session = Session::At(options.address, who.token, options.timeout);
  auto stub = VisitsService::NewStub(session.channel());
  visits::v1::GetTeamHoursRequest request;
  request.set_team_id(nurse.team_id());
  request.set_from_date(CareDayText(day));
  request.set_to_date(CareDayText(day));
  ABSL_ASSIGN_OR_RETURN(
      auto hours,
      (session.Call<Stub, visits::v1::GetTeamHoursRequest, visits::v1::GetTeamHoursResponse>(
          *stub, &Stub::GetTeamHours, request)));
  return static_cast<int64_t>(hours.minutes());
}

// Who of a team works this morning: whoever has visits planned. A day that nobody has planned at
// all is planned by everybody, each for clients of her own.
absl::Status AddTeam(const Session& session, const std::vector<const access::v1::Person*>& members,
                     absl::CivilDay day, std::vector<Nurse>& cast) {
  ABSL_ASSIGN_OR_RETURN(const std::vector<std::string> clients,
                        ClientIds(session, members.front()->team_id()));
  std::vector<Nurse> working;
  bool unplanned = true;
  for (const access::v1::Person* member : members) {
    ABSL_ASSIGN_OR_RETURN(auto sheet, SheetOf(session, member->person_id(), day, {}));
    unplanned = unplanned && sheet.visits().empty();
    if (!MorningOf(sheet, day).empty())
      working.push_back({*member, Part::kConfirms, false, clients, {}});
  }
  for (size_t m = 0; unplanned && m < members.size(); ++m) {
    Nurse nurse{*members[m], Part::kConfirms, true, {}, {}};
    for (size_t c = m; c < clients.size(); c += members.size()) nurse.clients.push_back(clients[c]);
    working.push_back(std::move(nurse));
  }
  for (Nurse& nurse : working) {
    for (const access::v1::Person* other : members) {
      if (other->person_id() != nurse.person.person_id())
        nurse.colleagues.push_back(other->person_id());
    }
    cast.push_back(std::move(nurse));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Nurse>> Cast(const MorningOptions& options, MorningResult& totals) {
  ABSL_ASSIGN_OR_RETURN(std::vector<access::v1::Person> people, Nurses(options));
  std::map<std::string, std::vector<const access::v1::Person*>> teams;
  for (const auto& person : people) teams[person.team_id()].push_back(&person);
  totals.teams = teams.size();
  std::vector<Nurse> cast;
  for (const auto& [team_id, members] : teams) {
    ABSL_ASSIGN_OR_RETURN(SignedIn who,
                          SignInAs(options.address, members.front()->person_id(), options.timeout));
    ABSL_RETURN_IF_ERROR(AddTeam(Session::At(options.address, who.token, options.timeout), members,
                                 totals.day, cast));
  }
  if (cast.empty()) {
    return WithReason(absl::FailedPreconditionError(
                          absl::StrCat("the morning of ", CareDayText(totals.day),
                                       " has been played; there is another one every day")),
                      "ALREADY_PLAYED");
  }
  totals.nurses = cast.size();
  for (size_t i = 0; i < cast.size(); ++i) {
    cast[i].part = PartOf(i, cast.size());
    if (cast[i].part == Part::kLeftForTheReader) totals.next_nurse = cast[i].person.name();
  }
  totals.first_team = cast.front().person.team_name();
  return cast;
}

// Everybody's morning, several phones at once. Late phones come when the others are done.
absl::Status PlayAll(const MorningOptions& options, absl::CivilDay day, std::vector<Nurse> cast,
                     Tally& tally) {
  absl::Mutex mutex;
  absl::Status failed;
  uint64_t done = 0;
  const size_t nurses = cast.size();
  std::stable_partition(cast.begin(), cast.end(),
                        [](const Nurse& nurse) { return nurse.part != Part::kLatePhone; });
  {
    absl::BlockingCounter left(static_cast<int>(nurses));
    std::unique_ptr<Scheduler> scheduler = NewThreadPoolScheduler(1);
    std::vector<std::unique_ptr<TaskQueue>> phones;
    for (size_t i = 0; i < std::min(nurses, kPhonesAtOnceMax); ++i) {
      phones.push_back(scheduler->NewQueue("phone", QueueKind::kBlocking));
    }
    for (size_t i = 0; i < nurses; ++i) {
      phones[i % phones.size()]->Post([&, nurse = std::move(cast[i])] {
        absl::Status played = PlayPhone(options, day, nurse, tally);
        uint64_t visits = 0;
        tally.With([&](MorningResult& r) { visits = r.visits_recorded; });
        {
          absl::MutexLock lock(&mutex);
          if (!played.ok()) {
            failed.Update(
                absl::Status(played.code(), absl::StrCat("a nurse's morning: ", played.message())));
          }
          ++done;
          if (options.progress) options.progress(visits, done, nurses);
        }
        left.DecrementCount();
      });
    }
    left.Wait();
  }
  return failed;
}

}  // namespace

absl::StatusOr<MorningResult> PlayMorning(const MorningOptions& options) {
  MorningResult totals;
  // The newest morning that is over: visits that have not been cannot be recorded.
  const absl::CivilDay today = CareDay(options.now);
  totals.day =
      options.now >= StartOfCareDay(today) + absl::Hours(kMorningEndsHour + 1) ? today : today - 1;
  ABSL_ASSIGN_OR_RETURN(std::vector<Nurse> cast, Cast(options, totals));
  const access::v1::Person first = cast.front().person;
  ABSL_ASSIGN_OR_RETURN(totals.minutes_before, TeamMinutes(options, first, totals.day));

  Tally tally;
  const absl::Time begin = absl::Now();
  ABSL_RETURN_IF_ERROR(PlayAll(options, totals.day, std::move(cast), tally));
  MorningResult result = tally.Finish();
  result.took = absl::Now() - begin;
  result.day = totals.day;
  result.teams = totals.teams;
  result.first_team = totals.first_team;
  result.nurses = totals.nurses;
  result.next_nurse = totals.next_nurse;
  result.minutes_before = totals.minutes_before;
  ABSL_ASSIGN_OR_RETURN(result.minutes_after, TeamMinutes(options, first, totals.day));
  return result;
}

}  // namespace buurtlog::command
