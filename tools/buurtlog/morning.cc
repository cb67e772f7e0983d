#include "tools/buurtlog/morning.h"

#include <google/protobuf/util/message_differencer.h>
#include <google/protobuf/util/time_util.h>

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
#include "tools/buurtlog/sign_in.h"

namespace buurtlog::command {
namespace {

using visits::v1::VisitsService;
using Stub = VisitsService::Stub;

inline constexpr size_t kPhonesAtOnceMax = 8;
inline constexpr int kVisitsOfAMorning = 6;
inline constexpr int kMorningBeginsHour = 7;
inline constexpr int kMorningEndsHour = 13;

absl::Time TimeOf(const google::protobuf::Timestamp& time) {
  return absl::FromUnixMicros(google::protobuf::util::TimeUtil::TimestampToMicroseconds(time));
}
google::protobuf::Timestamp ProtoTime(absl::Time time) {
  return google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(time));
}
std::string NewKey() { return NewUuid(SystemClock().Now(), SystemRandom()).ToString(); }

// What becomes of one nurse's morning.
enum class Part {
  kConfirms,
  kDeviates,
  kUnplanned,
  kCorrects,
  kWrongClient,
  kLatePhone,
  kLeftForTheReader
};

struct Nurse {
  access::v1::Person person;
  Part part = Part::kConfirms;
  bool plans = false;                // nobody has planned this day yet
  std::vector<std::string> clients;  // of the team; those that she plans for, when she does
  std::vector<std::string> colleagues;
};

// Counts what all phones do; thread-safe.
class Tally {
 public:
  void Command(absl::Duration took) {
    absl::MutexLock lock(&mutex_);
    ++result_.commands;
    times_.push_back(took);
  }
  template <typename Change>
  void With(Change change) {
    absl::MutexLock lock(&mutex_);
    change(result_);
  }
  MorningResult Finish() {
    absl::MutexLock lock(&mutex_);
    std::sort(times_.begin(), times_.end());
    if (!times_.empty()) {
      result_.median = times_[times_.size() / 2];
      result_.slowest_of_hundred = times_[times_.size() * 99 / 100];
    }
    return result_;
  }

 private:
  absl::Mutex mutex_;
  MorningResult result_ ABSL_GUARDED_BY(mutex_);
  std::vector<absl::Duration> times_ ABSL_GUARDED_BY(mutex_);
};

absl::StatusOr<visits::v1::GetDaySheetResponse> SheetOf(
    const Session& session, const std::string& nurse_id, absl::CivilDay day,
    const std::vector<type::v1::Position>& after) {
  visits::v1::GetDaySheetRequest request;
  request.set_nurse_id(nurse_id);
  request.set_date(CareDayText(day));
  for (const auto& position : after) *request.add_min_position() = position;
  auto stub = VisitsService::NewStub(session.channel());
  return session.Call<Stub, visits::v1::GetDaySheetRequest, visits::v1::GetDaySheetResponse>(
      *stub, &Stub::GetDaySheet, request);
}

// What is still planned before the end of the morning.
std::vector<visits::v1::Visit> MorningOf(const visits::v1::GetDaySheetResponse& sheet,
                                         absl::CivilDay day) {
  std::vector<visits::v1::Visit> morning;
  const absl::Time end = StartOfCareDay(day) + absl::Hours(kMorningEndsHour);
  for (const auto& visit : sheet.visits()) {
    if (visit.stage() == visits::v1::VISIT_STAGE_PLANNED && TimeOf(visit.starts_at()) < end)
      morning.push_back(visit);
  }
  return morning;
}

// One nurse with her phone.
class Phone {
 public:
  Phone(const MorningOptions& options, absl::CivilDay day, Nurse nurse, Tally& tally)
      : options_(options), day_(day), nurse_(std::move(nurse)), tally_(tally) {}

  absl::Status Play() {
    ABSL_ASSIGN_OR_RETURN(SignedIn who,
                          SignInAs(options_.address, nurse_.person.person_id(), options_.timeout));
    session_ =
        std::make_unique<Session>(Session::At(options_.address, who.token, options_.timeout));
    stub_ = VisitsService::NewStub(session_->channel());
    if (nurse_.plans) ABSL_RETURN_IF_ERROR(Plan());
    ABSL_ASSIGN_OR_RETURN(std::vector<visits::v1::Visit> morning, Morning());
    if (morning.empty()) return absl::OkStatus();
    switch (nurse_.part) {
      case Part::kLeftForTheReader: return absl::OkStatus();
      case Part::kConfirms: return Confirm(morning);
      case Part::kDeviates: return Deviate(std::move(morning));
      case Part::kUnplanned: return Unplanned(morning);
      case Part::kCorrects: return Correct(morning);
      case Part::kWrongClient: return WrongClient(morning);
      case Part::kLatePhone: return LatePhone(morning);
    }
    return absl::OkStatus();
  }

 private:
  template <typename Request, typename Response>
  absl::StatusOr<Response> Send(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request) {
    const absl::Time begin = absl::Now();
    auto response = session_->Call<Stub, Request, Response>(*stub_, method, request);
    tally_.Command(absl::Now() - begin);
    if (response.ok() && response->GetDescriptor()->FindFieldByName("receipt") != nullptr)
      Remember(*response);
    return response;
  }
  // Her next look must show what she has just written.
  void Remember(const google::protobuf::Message& response) {
    const auto* field = response.GetDescriptor()->FindFieldByName("receipt");
    const auto& receipt = static_cast<const type::v1::Receipt&>(
        response.GetReflection()->GetMessage(response, field));
    if (receipt.has_position()) written_.push_back(receipt.position());
  }

  // What is still planned for her morning.
  absl::StatusOr<std::vector<visits::v1::Visit>> Morning() {
    ABSL_ASSIGN_OR_RETURN(auto sheet,
                          SheetOf(*session_, nurse_.person.person_id(), day_, written_));
    return MorningOf(sheet, day_);
  }

  absl::Status Plan() {
    absl::Time at = StartOfCareDay(day_) + absl::Hours(kMorningBeginsHour);
    for (int i = 0; i < kVisitsOfAMorning && !nurse_.clients.empty(); ++i) {
      visits::v1::PlanVisitRequest request;
      request.mutable_header()->set_idempotency_key(NewKey());
      request.set_client_id(nurse_.clients[static_cast<size_t>(i) % nurse_.clients.size()]);
      request.set_nurse_id(nurse_.person.person_id());
      *request.mutable_starts_at() = ProtoTime(at);
      request.set_duration_minutes(20 + 5 * (i % 4));
      ABSL_RETURN_IF_ERROR((Send<visits::v1::PlanVisitRequest, visits::v1::PlanVisitResponse>(
                                &Stub::PlanVisit, request)
                                .status()));
      at += absl::Minutes(45);
    }
    return absl::OkStatus();
  }

  visits::v1::ConfirmDayRequest Confirmation(const std::vector<visits::v1::Visit>& morning) {
    visits::v1::ConfirmDayRequest request;
    request.mutable_header()->set_idempotency_key(NewKey());
    request.set_nurse_id(nurse_.person.person_id());
    request.set_date(CareDayText(day_));
    for (const auto& visit : morning) {
      visits::v1::SeenVisit& seen = *request.add_visits();
      seen.set_visit_id(visit.visit_id());
      seen.set_client_id(visit.client_id());
      seen.set_expected_version(visit.version());
    }
    return request;
  }
  absl::StatusOr<visits::v1::ConfirmDayResponse> SendConfirmation(
      const visits::v1::ConfirmDayRequest& request) {
    ABSL_ASSIGN_OR_RETURN(auto confirmed,
                          (Send<visits::v1::ConfirmDayRequest, visits::v1::ConfirmDayResponse>(
                              &Stub::ConfirmDay, request)));
    for (const auto& visit : confirmed.visits()) {
      if (visit.result().has_error())
        return absl::FailedPreconditionError(visit.result().error().message());
    }
    return confirmed;
  }
  absl::Status Confirm(const std::vector<visits::v1::Visit>& morning) {
    if (morning.empty()) return absl::OkStatus();
    ABSL_ASSIGN_OR_RETURN(auto confirmed, SendConfirmation(Confirmation(morning)));
    for (const auto& visit : confirmed.visits())
      written_.push_back(visit.result().receipt().position());
    tally_.With([&](MorningResult& r) {
      r.visits_recorded += static_cast<uint64_t>(confirmed.visits_size());
    });
    return absl::OkStatus();
  }

  // One visit took 25 minutes longer and a colleague helped; the rest went as planned.
  absl::Status Deviate(std::vector<visits::v1::Visit> morning) {
    const visits::v1::Visit longer = morning.back();
    morning.pop_back();
    visits::v1::RecordVisitRequest request;
    request.mutable_header()->set_idempotency_key(NewKey());
    request.set_visit_id(longer.visit_id());
    request.set_client_id(longer.client_id());
    *request.mutable_starts_at() = longer.starts_at();
    request.set_duration_minutes(longer.duration_minutes() + 25);
    if (!nurse_.colleagues.empty()) request.set_second_nurse_id(nurse_.colleagues.front());
    request.set_report("Took longer: the wound needed two pairs of hands.");
    ABSL_RETURN_IF_ERROR((Send<visits::v1::RecordVisitRequest, visits::v1::RecordVisitResponse>(
                              &Stub::RecordVisit, request)
                              .status()));
    tally_.With([](MorningResult& r) { ++r.visits_recorded; });
    return Confirm(morning);
  }

  absl::Status Unplanned(const std::vector<visits::v1::Visit>& morning) {
    visits::v1::RecordUnplannedVisitRequest request;
    request.mutable_header()->set_idempotency_key(NewKey());
    request.set_client_id(morning.front().client_id());
    request.set_nurse_id(nurse_.person.person_id());
    *request.mutable_starts_at() =
        ProtoTime(StartOfCareDay(day_) + absl::Hours(6) + absl::Minutes(15));
    request.set_duration_minutes(20);
    request.set_report("Called by the family early: fell beside the bed, not hurt.");
    ABSL_RETURN_IF_ERROR(
        (Send<visits::v1::RecordUnplannedVisitRequest, visits::v1::RecordUnplannedVisitResponse>(
             &Stub::RecordUnplannedVisit, request)
             .status()));
    tally_.With([](MorningResult& r) {
      ++r.visits_recorded;
      ++r.unplanned;
    });
    return Confirm(morning);
  }

  // Confirms, then sees that one visit was ten minutes shorter.
  absl::Status Correct(const std::vector<visits::v1::Visit>& morning) {
    ABSL_ASSIGN_OR_RETURN(auto confirmed, SendConfirmation(Confirmation(morning)));
    tally_.With([&](MorningResult& r) {
      r.visits_recorded += static_cast<uint64_t>(confirmed.visits_size());
    });
    visits::v1::CorrectVisitRequest request;
    request.mutable_header()->set_idempotency_key(NewKey());
    request.set_visit_id(morning.front().visit_id());
    request.set_client_id(morning.front().client_id());
    request.set_corrects_recording_id(confirmed.visits(0).recording_id());
    *request.mutable_starts_at() = morning.front().starts_at();
    request.set_duration_minutes(std::max<uint32_t>(5, morning.front().duration_minutes() - 10));
    request.set_reason("Ten minutes shorter than planned.");
    ABSL_RETURN_IF_ERROR((Send<visits::v1::CorrectVisitRequest, visits::v1::CorrectVisitResponse>(
                              &Stub::CorrectVisit, request)
                              .status()));
    tally_.With([](MorningResult& r) { ++r.corrections; });
    return absl::OkStatus();
  }

  // Confirms, then sees that one visit stands with the wrong client.
  absl::Status WrongClient(const std::vector<visits::v1::Visit>& morning) {
    ABSL_ASSIGN_OR_RETURN(auto confirmed, SendConfirmation(Confirmation(morning)));
    tally_.With([&](MorningResult& r) {
      r.visits_recorded += static_cast<uint64_t>(confirmed.visits_size());
    });
    auto right =
        std::find_if(nurse_.clients.begin(), nurse_.clients.end(),
                     [&](const std::string& id) { return id != morning.front().client_id(); });
    if (right == nurse_.clients.end()) return absl::OkStatus();
    visits::v1::MoveVisitRequest request;
    request.mutable_header()->set_idempotency_key(NewKey());
    request.set_visit_id(morning.front().visit_id());
    request.set_client_id(morning.front().client_id());
    request.set_to_client_id(*right);
    request.set_corrects_recording_id(confirmed.visits(0).recording_id());
    ABSL_RETURN_IF_ERROR((
        Send<visits::v1::MoveVisitRequest, visits::v1::MoveVisitResponse>(&Stub::MoveVisit, request)
            .status()));
    tally_.With([](MorningResult& r) { ++r.corrections; });
    return absl::OkStatus();
  }

  // No network all morning: what she did arrives late, from a phone whose clock is three hours
  // wrong, and then once more because the first answer got lost on the way.
  absl::Status LatePhone(const std::vector<visits::v1::Visit>& morning) {
    visits::v1::ConfirmDayRequest request = Confirmation(morning);
    *request.mutable_header()->mutable_device_time() = ProtoTime(options_.now - absl::Hours(3));
    ABSL_ASSIGN_OR_RETURN(auto first, SendConfirmation(request));
    ABSL_ASSIGN_OR_RETURN(auto again, SendConfirmation(request));
    uint64_t same = 0;
    for (int i = 0; i < std::min(first.visits_size(), again.visits_size()); ++i) {
      same += google::protobuf::util::MessageDifferencer::Equals(first.visits(i), again.visits(i))
                  ? 1
                  : 0;
    }
    tally_.With([&](MorningResult& r) {
      r.visits_recorded += static_cast<uint64_t>(first.visits_size());
      r.late_receipts += static_cast<uint64_t>(first.visits_size());
      r.repeats_recognised += same;
    });
    if (same != static_cast<uint64_t>(first.visits_size())) {
      return absl::DataLossError("a repeated command did not get its first answer");
    }
    return absl::OkStatus();
  }

  const MorningOptions& options_;
  absl::CivilDay day_;
  Nurse nurse_;
  Tally& tally_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<Stub> stub_;
  std::vector<type::v1::Position> written_;
};

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
        absl::Status played = Phone(options, day, nurse, tally).Play();
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
