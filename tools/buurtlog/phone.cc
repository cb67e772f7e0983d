#include "tools/buurtlog/phone.h"

#include <google/protobuf/util/message_differencer.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/care_day.h"
#include "libs/base/clock.h"
#include "libs/base/status_macros.h"
#include "tools/buurtlog/sign_in.h"

namespace buurtlog::command {
namespace {

using visits::v1::VisitsService;
using Stub = VisitsService::Stub;

inline constexpr int kVisitsOfAMorning = 6;
inline constexpr int kMorningBeginsHour = 7;

absl::Time TimeOf(const google::protobuf::Timestamp& time) {
  return absl::FromUnixMicros(google::protobuf::util::TimeUtil::TimestampToMicroseconds(time));
}
google::protobuf::Timestamp ProtoTime(absl::Time time) {
  return google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(time));
}
std::string NewKey() { return NewUuid(SystemClock().Now(), SystemRandom()).ToString(); }

}  // namespace

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

namespace {

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

}  // namespace

absl::Status PlayPhone(const MorningOptions& options, absl::CivilDay day, Nurse nurse,
                       Tally& tally) {
  return Phone(options, day, std::move(nurse), tally).Play();
}

}  // namespace buurtlog::command
