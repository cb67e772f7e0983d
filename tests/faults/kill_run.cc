#include "tests/faults/kill_run.h"

#include <signal.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "libs/base/scheduler.h"
#include "tests/end_to_end/child_process.h"
#include "tests/end_to_end/running_system.h"

namespace buurtlog::faults {
namespace {

constexpr absl::Duration kStartMax = absl::Seconds(60);
constexpr absl::Duration kAnswerMax = absl::Seconds(30);
// Asked again after each kill, besides all that was answered since the one before.
constexpr size_t kOlderRepeatsMax = 50;

}  // namespace

KillRun::KillRun(KillRunOptions options)
    : options_(std::move(options)),
      random_(options_.seed),
      system_(options_.shape, options_.data_folder, options_.work_folder),
      load_(system_, options_.seed, options_.callers),
      audit_(options_.data_folder) {}

const char* KillRun::NameOf(Moment moment) {
  switch (moment) {
    case Moment::kUnderLoad: return "under load";
    case Moment::kShortlyAfterTheStart: return "shortly after the start";
    case Moment::kDuringTheStart: return "during the start";
    case Moment::kDuringACleanStop: return "during a clean stop";
    case Moment::kInACommit: return "in a write to a journal";
    case Moment::kInAMove: return "in a move from a journal to log.db";
    case Moment::kInACheckpoint: return "in a checkpoint of a log's WAL";
    case Moment::kInTheHeadFile: return "in the write of a head file";
    case Moment::kInTheStateStore: return "in a write of a state store";
    case Moment::kInAReadModel: return "in a write of a read model or process";
    case Moment::kInARebuild: return "in a rebuild of read models";
  }
  return "";
}

KillRun::Moment KillRun::Draw() {
  const uint64_t drawn = Below(100);
  if (drawn < 25) return Moment::kUnderLoad;
  if (drawn < 33) return Moment::kShortlyAfterTheStart;
  if (drawn < 45) return Moment::kDuringTheStart;
  if (drawn < 50) return Moment::kDuringACleanStop;
  if (drawn < 59) return Moment::kInACommit;
  if (drawn < 65) return Moment::kInAMove;
  if (drawn < 71) return Moment::kInACheckpoint;
  if (drawn < 79) return Moment::kInTheHeadFile;
  if (drawn < 85) return Moment::kInTheStateStore;
  if (drawn < 92) return Moment::kInAReadModel;
  return Moment::kInARebuild;
}

KillRunResult KillRun::Run() {
  const absl::Time begin = absl::Now();
  now_ = "the first start";
  for (size_t i = 0; i < system_.count(); ++i) system_.Launch(i);
  for (size_t i = 0; i < system_.count(); ++i) {
    if (const absl::Status up = system_.AwaitServing(i, kStartMax); !up.ok()) {
      Violation(absl::StrCat("process ", i, " does not serve: ", up.ToString()));
    }
  }
  if (const absl::Status begun = load_.Begin(); !begun.ok()) {
    Violation(absl::StrCat("the load cannot begin: ", begun.ToString()));
  }
  while (result_.kills < options_.kills && result_.violations.empty()) {
    KillOnce(result_.kills + 1);
  }
  if (result_.violations.empty()) {
    now_ = "the end";
    repeated_to_ = 0;
    LookAfterwards();
    Verify();
  }
  for (size_t i = 0; i < system_.count(); ++i) {
    if (!system_.running(i)) continue;
    system_.Signal(i, SIGTERM);
    const int exit_code = system_.Wait(i);
    if (exit_code != 0) Violation(absl::StrCat("a clean stop ended with ", exit_code));
  }
  result_.answered = load_.answered();
  result_.refused = load_.refused();
  result_.repeated = load_.repeated();
  result_.tried_again = load_.tried_again();
  result_.records = audit_.records();
  result_.took = absl::Now() - begin;
  std::sort(recoveries_.begin(), recoveries_.end());
  if (!recoveries_.empty()) {
    result_.recovery_median = recoveries_[recoveries_.size() / 2];
    result_.recovery_longest = recoveries_.back();
  }
  return std::move(result_);
}

void KillRun::KillOnce(int number) {
  const Moment moment = Draw();
  const size_t victim = Below(system_.count());
  now_ = absl::StrCat("kill ", number, ", ", NameOf(moment),
                      system_.count() == 1 ? "" : absl::StrCat(", of process ", victim));
  load_.Resume();
  const bool as_meant = Die(moment, victim);
  ++result_.kills;
  ++result_.kills_by_moment[NameOf(as_meant ? moment : Moment::kUnderLoad)];
  load_.Pause();
  system_.faults().None();
  const absl::Time begin = absl::Now();
  Relaunch(victim);
  if (!result_.violations.empty()) return;
  recoveries_.push_back(absl::Now() - begin);
  LookAfterwards();
  if (number % options_.verify_every == 0) Verify();
  options_.tell(absl::StrCat(now_, ": ", load_.answered(), " answered, ", load_.repeated(),
                             " repeated, ", audit_.records(), " records"));
}

// False when the moment that was meant did not come, and it was killed all the same.
bool KillRun::Die(Moment moment, size_t victim) {
  const std::string service = system_.count() == 1 ? SystemProcesses::kServices[Below(3)]
                                                   : SystemProcesses::kServices[victim];
  switch (moment) {
    case Moment::kUnderLoad: KillAfter(victim, UpTo(options_.load_max)); return true;
    case Moment::kShortlyAfterTheStart:
      KillAfter(victim, UpTo(options_.load_max / 4));
      Relaunch(victim);
      KillAfter(victim, UpTo(absl::Milliseconds(30)));
      return true;
    case Moment::kDuringTheStart:
      KillAfter(victim, UpTo(options_.load_max / 4));
      system_.Launch(victim);
      load_.Reconnect();
      KillAfter(victim, UpTo(absl::Milliseconds(250)));
      return true;
    case Moment::kDuringACleanStop:
      system_.AwaitEnd(victim, UpTo(options_.load_max / 4));
      system_.Signal(victim, SIGTERM);
      KillAfter(victim, UpTo(absl::Milliseconds(60)));
      return true;
    case Moment::kInACheckpoint:
      // Most of it is done at a clean stop.
      ArmRule(moment, service);
      if (!system_.AwaitEnd(victim, UpTo(options_.load_max))) system_.Signal(victim, SIGTERM);
      return KillAfter(victim, kAnswerMax);
    case Moment::kInARebuild: {
      ArmRule(moment, service);
      const std::unique_ptr<Scheduler> scheduler = NewThreadPoolScheduler(1);
      const auto operator_queue = scheduler->NewQueue("operator", QueueKind::kBlocking);
      operator_queue->Post([&] {
        end_to_end::RunProgram({end_to_end::Program("buurtlog"), "--data", options_.data_folder,
                                "--address", system_.AddressOf(service), "replay", "--rebuild"},
                               absl::Minutes(1))
            .status()
            .IgnoreError();
      });
      return KillAfter(victim, 2 * options_.load_max);
    }
    default: ArmRule(moment, service); return KillAfter(victim, 2 * options_.load_max);
  }
}

void KillRun::ArmRule(Moment moment, const std::string& service) {
  const std::string folder = absl::StrCat("/", service, "/");
  DiskFaults& faults = system_.faults();
  switch (moment) {
    case Moment::kInACommit:
      return faults.Kill(folder + "log/journal-", static_cast<long>(1 + Below(200)));
    // What the journal holds is moved into log.db, and the WAL of log.db into the database.
    case Moment::kInAMove:
      return faults.Kill(folder + "log/log.db-wal$", static_cast<long>(1 + Below(200)));
    case Moment::kInACheckpoint:
      return faults.Kill(folder + "log/log.db$", static_cast<long>(1 + Below(12)));
    case Moment::kInTheHeadFile:
      return faults.Kill(folder + "log/heads", static_cast<long>(1 + Below(3)));
    case Moment::kInTheStateStore:
      return faults.Kill(folder + "state.db", static_cast<long>(1 + Below(200)));
    case Moment::kInAReadModel:
      return faults.Kill(Below(8) == 0 ? "/processes/" : folder + "read_models/",
                         static_cast<long>(1 + Below(200)));
    case Moment::kInARebuild: return faults.Kill(".rebuild", static_cast<long>(1 + Below(60)));
    default: return;
  }
}

bool KillRun::KillAfter(size_t victim, absl::Duration at_most) {
  const bool died = system_.AwaitEnd(victim, at_most);
  if (!died) system_.Signal(victim, SIGKILL);
  const int exit_code = system_.Wait(victim);
  // A clean stop may come to its end before the kill does.
  if (exit_code != 128 + SIGKILL && exit_code != 0) {
    Violation(
        absl::StrCat("the process ended by itself with ", exit_code, ": ", system_.TakeLogLines()));
  }
  return died && exit_code == 128 + SIGKILL;
}

void KillRun::Relaunch(size_t victim) {
  system_.Launch(victim);
  load_.Reconnect();
  // The others may have become unready meanwhile, but not have ended.
  if (const absl::Status up = system_.AwaitServing(victim, kStartMax); !up.ok()) {
    Violation(absl::StrCat("process ", victim, " does not serve again: ", up.ToString(), "; ",
                           system_.TakeLogLines()));
  }
}

void KillRun::LookAfterwards() {
  const std::vector<Done> done = load_.done();
  std::vector<Done> again(done.begin() + static_cast<std::ptrdiff_t>(repeated_to_), done.end());
  for (size_t i = 0; i < std::min(kOlderRepeatsMax, repeated_to_); ++i) {
    again.push_back(done[Below(repeated_to_)]);
  }
  load_.Repeat(std::move(again), kAnswerMax);
  repeated_to_ = done.size();
  if (const absl::Status more = load_.OneMore(kAnswerMax); !more.ok()) {
    Violation(absl::StrCat("the next command does not work: ", more.ToString()));
  }
  if (const absl::Status read = audit_.ReadOn(); !read.ok()) {
    Violation(absl::StrCat("the logs: ", read.ToString()));
  }
  for (const std::string& sentence : audit_.Compare(done)) Violation(sentence);
  const std::vector<std::string> of_load = load_.violations();
  for (; load_violations_ < of_load.size(); ++load_violations_) {
    Violation(of_load[load_violations_]);
  }
  const std::string lines = system_.TakeLogLines();
  for (const char* word : {"_discarded", "\"level\":\"error\"", "Truus", "Visser", "9999000"}) {
    if (absl::StrContains(lines, word)) {
      Violation(absl::StrCat("the log lines hold `", word, "`: ", lines));
    }
  }
}

void KillRun::Verify() {
  const auto verified = end_to_end::RunProgram(
      {end_to_end::Program("buurtlog"), "--data", options_.data_folder, "replay", "--verify"},
      absl::Minutes(5));
  ++result_.verified;
  if (!verified.ok()) return Violation(verified.status().ToString());
  if (verified->exit_code != 0) {
    Violation(
        absl::StrCat("replay --verify ended with ", verified->exit_code, ": ", verified->err));
  }
}

void KillRun::Violation(const std::string& sentence) {
  result_.violations.push_back(absl::StrCat("seed ", options_.seed, ", ", now_, ": ", sentence));
  options_.tell(absl::StrCat("VIOLATION: ", result_.violations.back()));
}

std::string ReportOf(const KillRunOptions& options, const KillRunResult& result) {
  std::string text = absl::StrFormat(
      "Seed %d, %s, %d nurses: %d kills, %d commands answered (%d of them refusals), %d asked "
      "again, "
      "%d calls tried again, %d records audited, %d times `replay --verify`, %d violations; "
      "recovery median %.2f s, longest %.2f s; took %s.\n\n| killed | times |\n|---|---|\n",
      options.seed,
      options.shape == Shape::kServe ? "`buurtlog serve`" : "three services of their own",
      options.callers, result.kills, result.answered, result.refused, result.repeated,
      result.tried_again, result.records, result.verified, result.violations.size(),
      absl::ToDoubleSeconds(result.recovery_median), absl::ToDoubleSeconds(result.recovery_longest),
      absl::FormatDuration(absl::Trunc(result.took, absl::Seconds(1))));
  for (const auto& [moment, times] : result.kills_by_moment) {
    absl::StrAppend(&text, "| ", moment, " | ", times, " |\n");
  }
  for (const std::string& violation : result.violations) {
    absl::StrAppend(&text, "\nVIOLATION: ", violation, "\n");
  }
  return text;
}

}  // namespace buurtlog::faults
