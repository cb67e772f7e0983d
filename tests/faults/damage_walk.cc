#include "tests/faults/damage_walk.h"

#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "libs/base/care_day.h"
#include "libs/base/status_macros.h"
#include "libs/base/testing/patience.h"
#include "libs/eventlog/head_file.h"
#include "libs/eventlog/identity_file.h"
#include "tests/end_to_end/running_system.h"

namespace buurtlog::faults {
namespace {

namespace fs = std::filesystem;
using end_to_end::Caller;
using end_to_end::Program;
using end_to_end::ProgramResult;

constexpr size_t kNurses = 3;
constexpr size_t kRepeatsMax = 12;
constexpr int kExitRefused = 3;
constexpr int kExitDamaged = 6;
constexpr int kExitSignal = 128;
constexpr absl::Duration kStartMax = absl::Seconds(30);

absl::StatusOr<ProgramResult> VerifyFolder(const std::string& folder) {
  return end_to_end::RunProgram({Program("buurtlog"), "--data", folder, "replay", "--verify"},
                                absl::Minutes(1));
}

DamageResult Wrong(std::string why) { return {Outcome::kWrong, std::move(why)}; }

}  // namespace

std::string NameOf(const Damage& damage) {
  switch (damage.kind) {
    case Damage::Kind::kFlip:
      return absl::StrFormat("%s: byte %d ^ 0x%02x", damage.file, damage.offset, damage.mask);
    case Damage::Kind::kCutToNothing: return absl::StrCat(damage.file, ": cut to nothing");
    case Damage::Kind::kCutInHalf: return absl::StrCat(damage.file, ": cut in half");
    case Damage::Kind::kCutByOne: return absl::StrCat(damage.file, ": cut by one byte");
    case Damage::Kind::kRemove: return absl::StrCat(damage.file, ": removed");
  }
  return "";
}

const char* NameOf(Outcome outcome) {
  switch (outcome) {
    case Outcome::kDetected: return "detected";
    case Outcome::kRefused: return "refused";
    case Outcome::kRebuilt: return "folded anew";
    case Outcome::kHarmless: return "harmless";
    case Outcome::kLikeACrash: return "like a crash";
    case Outcome::kWrong: return "WRONG";
  }
  return "";
}

DamageWalk::DamageWalk(std::string work_folder, uint64_t seed)
    : work_folder_(std::move(work_folder)),
      random_(seed),
      system_(Shape::kServe, work_folder_ + "/data", work_folder_),
      load_(system_, seed, kNurses),
      pristine_(work_folder_ + "/pristine") {}

std::string DamageWalk::DataPath(const std::string& file) const {
  return absl::StrCat(system_.data_folder(), "/", file);
}

uint64_t DamageWalk::SizeOf(const std::string& file) const {
  return fs::file_size(absl::StrCat(pristine_, "/", file));
}

Damage DamageWalk::DrawFlip(const std::string& file) {
  Damage damage;
  damage.file = file;
  damage.offset = RandomBelow(random_, SizeOf(file));
  damage.mask = static_cast<uint8_t>(1 << RandomBelow(random_, 8));
  return damage;
}

absl::Status DamageWalk::Prepare(Ending ending, size_t commands) {
  if (begun_) Restore();
  const size_t before = load_.done().size();
  system_.Launch(0);
  ABSL_RETURN_IF_ERROR(system_.AwaitServing(0));
  load_.Reconnect();
  if (!std::exchange(begun_, true)) ABSL_RETURN_IF_ERROR(load_.Begin());
  const size_t wanted = load_.answered() + commands;
  load_.Resume();
  const absl::Time give_up = absl::Now() + absl::Minutes(1);
  while (load_.answered() < wanted && absl::Now() < give_up) {
    system_.AwaitEnd(0, absl::Milliseconds(20));
  }
  system_.Signal(0, ending == Ending::kStopped ? SIGTERM : SIGKILL);
  system_.Wait(0);
  load_.Pause();
  const std::vector<Done> done = load_.done();
  done_.insert(done_.end(), done.begin() + static_cast<std::ptrdiff_t>(before), done.end());
  fs::remove_all(pristine_);
  fs::copy(system_.data_folder(), pristine_, fs::copy_options::recursive);
  files_.clear();
  for (const auto& file : fs::recursive_directory_iterator(pristine_)) {
    if (!file.is_regular_file()) continue;
    files_.push_back(fs::relative(file.path(), pristine_).string());
    // Damage to an empty file is not to be had.
    if (file.file_size() == 0) files_.pop_back();
  }
  std::sort(files_.begin(), files_.end());
  for (const char* service : SystemProcesses::kServices) {
    const std::string folder = absl::StrCat(pristine_, "/", service, "/log");
    ABSL_ASSIGN_OR_RETURN(const auto identity, eventlog::ReadIdentityFile(SystemFiles(), folder));
    ABSL_ASSIGN_OR_RETURN(const auto heads,
                          eventlog::ReadHeadFile(SystemFiles(), folder, identity));
    known_[service].clear();
    for (const eventlog::KnownHead& head : heads) known_[service].push_back(head.sequence);
  }
  whole_ = std::make_unique<LogAudit>(system_.data_folder());
  ABSL_RETURN_IF_ERROR(whole_->ReadOn());
  // What is shown of it when it is whole.
  Restore();
  system_.Launch(0);
  ABSL_RETURN_IF_ERROR(system_.AwaitServing(0));
  load_.Reconnect();
  shown_ = AskWhenSettled();
  system_.Signal(0, SIGTERM);
  if (system_.Wait(0) != 0) return absl::InternalError("no clean stop");
  for (const absl::Status& error : shown_.errors) ABSL_RETURN_IF_ERROR(error);
  return absl::OkStatus();
}

void DamageWalk::Restore() {
  fs::remove_all(system_.data_folder());
  fs::copy(pristine_, system_.data_folder(), fs::copy_options::recursive);
}

absl::Status DamageWalk::Do(const Damage& damage) {
  const std::string path = DataPath(damage.file);
  const uint64_t size = fs::file_size(path);
  switch (damage.kind) {
    case Damage::Kind::kCutToNothing: fs::resize_file(path, 0); return absl::OkStatus();
    case Damage::Kind::kCutInHalf: fs::resize_file(path, size / 2); return absl::OkStatus();
    case Damage::Kind::kCutByOne: fs::resize_file(path, size - 1); return absl::OkStatus();
    case Damage::Kind::kRemove: fs::remove(path); return absl::OkStatus();
    case Damage::Kind::kFlip: break;
  }
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(damage.offset));
  const int byte = file.get();
  file.seekp(static_cast<std::streamoff>(damage.offset));
  file.put(static_cast<char>(byte ^ damage.mask));
  return file.good() ? absl::OkStatus() : absl::InternalError("cannot flip");
}

// Everything that a nurse can look at, and some of what she asked for before.
DamageWalk::Shown DamageWalk::Ask() {
  Shown shown;
  const auto add = [&shown](const auto& response) {
    shown.answers.push_back(response.ok() ? response->SerializeAsString() : "");
    shown.errors.push_back(response.status());
  };
  const command::Session session = load_.SessionOf(0, "visits");
  Caller<visits::v1::VisitsService> visits(session);
  Caller<teams::v1::TeamsService> teams(session);
  Caller<clients::v1::ClientsService> clients(session);
  const absl::CivilDay today = CareDay(SystemClock().Now());
  for (const std::string& nurse : load_.nurse_ids()) {
    for (int day = -2; day <= 1; ++day) {
      visits::v1::GetDaySheetRequest request;
      request.set_nurse_id(nurse);
      request.set_date(CareDayText(today + day));
      add(visits(&visits::v1::VisitsService::Stub::GetDaySheet, request));
    }
  }
  visits::v1::GetTeamHoursRequest hours;
  hours.set_team_id(load_.team_id());
  hours.set_from_date(CareDayText(today - 3));
  hours.set_to_date(CareDayText(today));
  add(visits(&visits::v1::VisitsService::Stub::GetTeamHours, hours));
  teams::v1::GetTeamRequest team;
  team.set_team_id(load_.team_id());
  add(teams(&teams::v1::TeamsService::Stub::GetTeam, team));
  clients::v1::ListClientsOfTeamRequest of_team;
  of_team.set_team_id(load_.team_id());
  of_team.set_page_size(100);
  add(clients(&clients::v1::ClientsService::Stub::ListClientsOfTeam, of_team));
  for (const Done& done : done_) {
    if (done.answer.client_id.empty()) continue;
    visits::v1::GetClientTimelineRequest timeline;
    timeline.set_client_id(done.answer.client_id);
    timeline.set_page_size(200);
    add(visits(&visits::v1::VisitsService::Stub::GetClientTimeline, timeline));
    clients::v1::GetClientRequest client;
    client.set_client_id(done.answer.client_id);
    add(clients(&clients::v1::ClientsService::Stub::GetClient, client));
  }
  for (size_t i = 0; i < std::min(kRepeatsMax, done_.size()); ++i) {
    const Done& done = done_[i * done_.size() / std::min(kRepeatsMax, done_.size())];
    const auto again = done.wish->send(load_.SessionOf(done.caller, done.wish->service));
    shown.answers.push_back(again.ok() ? again->text : "");
    shown.errors.push_back(again.status());
  }
  return shown;
}

// A process may still have something to do behind a start, and does it behind every start alike.
DamageWalk::Shown DamageWalk::AskWhenSettled() {
  const absl::Duration unchanged_for = Patience(absl::Seconds(1));
  Shown shown = Ask();
  absl::Time changed = absl::Now();
  while (absl::Now() - changed < unchanged_for) {
    system_.AwaitEnd(0, absl::Milliseconds(50));
    Shown next = Ask();
    if (next.answers != shown.answers) changed = absl::Now();
    shown = std::move(next);
  }
  return shown;
}

std::string DamageWalk::WhatIsMissing(bool& missing) {
  LogAudit audit(system_.data_folder());
  if (const absl::Status read = audit.ReadOn(); !read.ok()) {
    // Found by whoever reads it.
    return absl::IsDataLoss(read) ? "" : read.ToString();
  }
  for (const Done& done : done_) {
    if (audit.PlaceOf(done.wish->key) != nullptr) continue;
    missing = true;
    const LogAudit::Place& place = *whole_->PlaceOf(done.wish->key);
    if (place.sequence <= known_[place.service][place.partition]) {
      return absl::StrCat(place.service, "/", place.partition, "/", place.sequence,
                          " is gone, and the head file knows of it");
    }
  }
  return "";
}

DamageResult DamageWalk::Try(const Damage& damage) {
  Restore();
  if (const absl::Status done = Do(damage); !done.ok()) return Wrong(done.ToString());
  system_.TakeLogLines();
  const auto verified = VerifyFolder(system_.data_folder());
  if (!verified.ok()) return Wrong(verified.status().ToString());
  if (verified->exit_code >= kExitSignal || verified->exit_code == 1) {
    return Wrong(
        absl::StrCat("replay --verify ended with ", verified->exit_code, ": ", verified->err));
  }
  system_.Launch(0);
  const absl::Status up = system_.AwaitServing(0, kStartMax);
  if (up.ok()) return LookAtRunning(verified->exit_code == 0);
  if (absl::IsDeadlineExceeded(up)) {
    const std::string lines = system_.TakeLogLines();
    system_.Signal(0, SIGTERM);
    system_.Wait(0);
    if (absl::StrContains(lines, "not_ready") && absl::StrContains(lines, "DATA_LOSS")) {
      return {Outcome::kDetected, ""};
    }
    return Wrong(absl::StrCat("it neither serves nor says why not: ", lines));
  }
  const int exit_code = system_.Wait(0);
  const std::string lines = system_.TakeLogLines();
  if (exit_code == kExitDamaged) return {Outcome::kDetected, ""};
  if (exit_code == kExitRefused) return {Outcome::kRefused, ""};
  return Wrong(absl::StrCat("serve ended with ", exit_code, ": ", lines));
}

DamageResult DamageWalk::LookAtRunning(bool verified) {
  load_.Reconnect();
  Shown shown = Ask();
  if (shown.answers != shown_.answers) shown = AskWhenSettled();
  const absl::Status more = load_.OneMore(absl::Seconds(5));
  bool missing = false;
  const std::string gone = WhatIsMissing(missing);
  system_.Signal(0, SIGTERM);
  const int exit_code = system_.Wait(0);
  const std::string lines = system_.TakeLogLines();
  if (exit_code != 0) return Wrong(absl::StrCat("it ended with ", exit_code, ": ", lines));
  if (!gone.empty()) return Wrong(gone);
  const auto again = VerifyFolder(system_.data_folder());
  if (!again.ok()) return Wrong(again.status().ToString());
  if (again->exit_code != 0 && again->exit_code != kExitDamaged) {
    return Wrong(absl::StrCat("replay --verify ended with ", again->exit_code, ": ", again->err));
  }
  bool errors = !more.ok();
  for (size_t i = 0; i < shown.answers.size(); ++i) {
    if (!shown.errors[i].ok()) {
      errors = true;
    } else if (shown.answers[i] != shown_.answers[i] && !missing) {
      return Wrong(absl::StrCat("answer ", i, " is another one, and nobody noticed"));
    }
  }
  if (missing) return {again->exit_code == 0 ? Outcome::kLikeACrash : Outcome::kDetected, ""};
  if (again->exit_code != 0) return {Outcome::kDetected, ""};
  if (absl::StrContains(lines, "_discarded") || absl::StrContains(lines, "DATA_LOSS")) {
    return {Outcome::kRebuilt, ""};
  }
  if (errors) {
    std::string why = absl::StrCat("calls fail, and nothing is said: ", more.ToString());
    for (const absl::Status& error : shown.errors) {
      if (absl::IsUnauthenticated(error)) return {Outcome::kRefused, ""};
      if (!error.ok()) absl::StrAppend(&why, "; ", error.ToString());
    }
    return Wrong(std::move(why));
  }
  return {verified ? Outcome::kHarmless : Outcome::kRebuilt, ""};
}

}  // namespace buurtlog::faults
