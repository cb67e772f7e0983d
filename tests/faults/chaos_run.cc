#include "tests/faults/chaos_run.h"

#include <signal.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "libs/base/status_macros.h"

namespace buurtlog::faults {
namespace {

constexpr absl::Duration kStartMax = absl::Seconds(60);
constexpr absl::Duration kAnswerMax = absl::Seconds(60);
// Asked again at each look, besides all that was answered since the one before.
constexpr size_t kOlderRepeatsMax = 50;
constexpr size_t kOpenFaultsMax = 2;
constexpr int kExitOutOfReach = 5;
// Ahead by less than what makes other owners wait, or behind by more than an owner may be.
constexpr absl::Duration kClockAheadMax = absl::Seconds(4);
constexpr absl::Duration kClockBehindMax = absl::Seconds(20);

constexpr ChaosKind kAllKinds[] = {
    ChaosKind::kKillReplica, ChaosKind::kKillReplica, ChaosKind::kStopReplica,
    ChaosKind::kStopReplica, ChaosKind::kEndReplica,  ChaosKind::kKillBroker,
    ChaosKind::kPauseBroker, ChaosKind::kCutNetwork,  ChaosKind::kHoldNetwork,
    ChaosKind::kLoseSend,    ChaosKind::kDoubleSend,  ChaosKind::kLateSend,
    ChaosKind::kMoveClock};

RegionOptions RegionOf(const ChaosOptions& options, const KafkaCluster& cluster) {
  RegionOptions region;
  region.folder = options.folder + "/region";
  region.replicas = options.replicas;
  if (options.through_a_well_replica) region.called = options.replicas - 1;
  region.region = "chaos";
  region.replication = options.brokers;
  region.brokers = [&cluster](size_t replica) {
    return replica == SIZE_MAX ? cluster.direct() : cluster.Behind(replica);
  };
  return region;
}

// The brokers are known when the cluster has started.
absl::StatusOr<kafka::LogWords> StartedAndKnown(KafkaCluster& cluster,
                                                const RegionProcesses& region) {
  ABSL_RETURN_IF_ERROR(cluster.Start());
  return region.log_words();
}

}  // namespace

const char* NameOf(ChaosKind kind) {
  switch (kind) {
    case ChaosKind::kKillReplica: return "a replica killed with kill -9";
    case ChaosKind::kStopReplica: return "a replica stopped and let go on";
    case ChaosKind::kEndReplica: return "a replica ended and started again";
    case ChaosKind::kKillBroker: return "a broker killed with kill -9";
    case ChaosKind::kPauseBroker: return "a broker stopped and let go on";
    case ChaosKind::kCutNetwork: return "a replica cut off from the brokers";
    case ChaosKind::kHoldNetwork: return "a replica's sends held back";
    case ChaosKind::kLoseSend: return "a send lost";
    case ChaosKind::kDoubleSend: return "a send doubled";
    case ChaosKind::kLateSend: return "sends delivered late, from connections that are gone";
    case ChaosKind::kMoveClock: return "a replica's clock moved";
  }
  return "";
}

ChaosRun::ChaosRun(ChaosOptions options)
    : options_(std::move(options)),
      random_(options_.seed),
      cluster_(options_.folder + "/kafka", options_.brokers, options_.replicas),
      region_(RegionOf(options_, cluster_)),
      load_(region_, options_.seed, options_.callers),
      audit_(options_.folder, StartedAndKnown(cluster_, region_).value_or(kafka::LogWords{})) {}

absl::Status ChaosRun::Begin() {
  if (cluster_.direct().empty()) return absl::InternalError("the cluster has not started");
  for (size_t i = 0; i < region_.count(); ++i) region_.Launch(i);
  for (size_t i = 0; i < region_.count(); ++i) {
    ABSL_RETURN_IF_ERROR(region_.AwaitServing(i, kStartMax));
  }
  return load_.Begin();
}

ChaosResult ChaosRun::Run() {
  const absl::Time begin = absl::Now();
  now_ = "the start";
  if (const absl::Status begun = Begin(); !begun.ok()) Violation(begun.ToString());
  load_.Resume();
  while (result_.faults < options_.faults && result_.violations.empty()) {
    load_.WorkFor(options_.one_at_a_time ? options_.rest : UpTo(options_.pause_max));
    HealThoseThatAreOver();
    const ChaosKind kind = Draw();
    const absl::Time begun = absl::Now();
    if (!Inject(kind)) continue;
    ++result_.faults;
    ++result_.by_kind[NameOf(kind)];
    now_ = absl::StrCat("fault ", result_.faults, ", ", NameOf(kind));
    options_.tell(now_);
    if (options_.one_at_a_time) MeasureWait(kind, begun);
    if (result_.faults % options_.look_every == 0) Look(/*all=*/false);
  }
  End();
  result_.answered = load_.answered();
  result_.refused = load_.refused();
  result_.repeated = load_.repeated();
  result_.tried_again = load_.tried_again();
  result_.last_failure = load_.last_failure();
  result_.records = audit_.records();
  result_.took = absl::Now() - begin;
  return std::move(result_);
}

ChaosKind ChaosRun::Draw() {
  if (!options_.kinds.empty()) return options_.kinds[Below(options_.kinds.size())];
  return kAllKinds[Below(std::size(kAllKinds))];
}

bool ChaosRun::Well(size_t replica) const {
  return std::none_of(open_.begin(), open_.end(),
                      [replica](const Open& fault) { return fault.replica == replica; });
}

bool ChaosRun::Inject(ChaosKind kind) {
  if (open_.size() >= (options_.one_at_a_time ? 1 : kOpenFaultsMax)) return false;
  const absl::Duration lasts = options_.fault_min + UpTo(options_.fault_max);
  if (kind == ChaosKind::kKillBroker || kind == ChaosKind::kPauseBroker) {
    const bool open =
        std::any_of(open_.begin(), open_.end(), [](const Open& fault) { return fault.broker > 0; });
    if (open) return false;  // of three, two must be there
    const int broker = 1 + static_cast<int>(Below(static_cast<uint64_t>(options_.brokers)));
    const absl::Status done =
        cluster_.Broker(kind == ChaosKind::kKillBroker ? "kill" : "pause", broker);
    if (!done.ok()) Violation(absl::StrCat("the broker is not to be hit: ", done.ToString()));
    open_.push_back({kind, SIZE_MAX, broker, absl::Now() + lasts});
    return true;
  }
  // The last one may be left alone.
  const size_t replica =
      options_.one_at_a_time ? static_cast<size_t>(result_.faults) % Hit() : Below(Hit());
  return Well(replica) && InjectInReplica(kind, replica, lasts);
}

bool ChaosRun::InjectInReplica(ChaosKind kind, size_t replica, absl::Duration lasts) {
  switch (kind) {
    case ChaosKind::kKillReplica:
      region_.Signal(replica, SIGKILL);
      region_.Wait(replica);
      break;
    case ChaosKind::kEndReplica:
      // One that has only just been started would end before it minds the signal.
      if (!AwaitServing(replica).ok()) return false;
      region_.Signal(replica, SIGTERM);
      if (const int exit_code = region_.Wait(replica); exit_code != 0) {
        Violation(absl::StrCat("a clean stop ended with ", exit_code));
      }
      break;
    case ChaosKind::kStopReplica: region_.Signal(replica, SIGSTOP); break;
    case ChaosKind::kCutNetwork: cluster_.Network("cut", replica); break;
    case ChaosKind::kHoldNetwork: cluster_.Network("hold", replica); break;
    case ChaosKind::kLoseSend: cluster_.Network("lose", replica); break;
    case ChaosKind::kDoubleSend: cluster_.Network("double", replica); break;
    case ChaosKind::kLateSend:
      cluster_.Network("late", replica, absl::StrCat(absl::ToDoubleSeconds(lasts)));
      break;
    case ChaosKind::kMoveClock:
      region_.clock(replica).Set(Below(2) == 0 ? UpTo(kClockAheadMax) : -UpTo(kClockBehindMax));
      break;
    case ChaosKind::kKillBroker:
    case ChaosKind::kPauseBroker: return false;
  }
  open_.push_back({kind, replica, 0, absl::Now() + lasts});
  return true;
}

void ChaosRun::Heal(const Open& fault) {
  switch (fault.kind) {
    case ChaosKind::kKillReplica:
    case ChaosKind::kEndReplica: region_.Launch(fault.replica); break;
    case ChaosKind::kStopReplica: region_.Signal(fault.replica, SIGCONT); break;
    case ChaosKind::kKillBroker:
    case ChaosKind::kPauseBroker: {
      const absl::Status done =
          cluster_.Broker(fault.kind == ChaosKind::kKillBroker ? "start" : "resume", fault.broker);
      if (!done.ok()) Violation(absl::StrCat("the broker does not come back: ", done.ToString()));
      break;
    }
    case ChaosKind::kCutNetwork:
    case ChaosKind::kHoldNetwork:
    case ChaosKind::kLoseSend:
    case ChaosKind::kDoubleSend:
    case ChaosKind::kLateSend: cluster_.Network("mend", fault.replica); break;
    case ChaosKind::kMoveClock: region_.clock(fault.replica).Set(absl::ZeroDuration()); break;
  }
}

void ChaosRun::HealThoseThatAreOver() {
  std::vector<Open> last;
  for (const Open& fault : std::exchange(open_, {})) {
    if (fault.until <= absl::Now()) {
      Heal(fault);
    } else {
      last.push_back(fault);
    }
  }
  open_ = std::move(last);
}

void ChaosRun::HealAll() {
  for (const Open& fault : std::exchange(open_, {})) Heal(fault);
  for (size_t i = 0; i < region_.count(); ++i) {
    if (const absl::Status up = AwaitServing(i); !up.ok()) {
      Violation(absl::StrCat("replica ", i, " does not serve: ", up.ToString()));
    }
  }
}

// As whoever supervises it would: one that has given up, since the brokers were out of reach while
// it started, is started again.
absl::Status ChaosRun::AwaitServing(size_t replica) {
  const absl::Time give_up = absl::Now() + kStartMax;
  absl::Status up = region_.AwaitServing(replica, kStartMax);
  while (absl::IsOutOfRange(up) && absl::Now() < give_up) {
    if (region_.Wait(replica) != kExitOutOfReach) break;
    region_.Launch(replica);
    up = region_.AwaitServing(replica, give_up - absl::Now());
  }
  return up;
}

// Until whatever a nurse waited for while this happened was answered.
void ChaosRun::MeasureWait(ChaosKind kind, absl::Time begun) {
  load_.WorkFor(options_.fault_min + options_.fault_max + options_.rest);
  HealAll();
  load_.WorkFor(options_.rest);
  absl::Duration longest;
  for (const Done& done : load_.done()) {
    if (done.ended < begun || done.begun > begun + options_.rest) continue;
    longest = std::max(longest, done.ended - std::max(begun, done.begun));
  }
  result_.waited[NameOf(kind)].push_back(longest);
  options_.tell(absl::StrCat("waited for ", absl::FormatDuration(longest)));
}

void ChaosRun::Look(bool all) {
  HealAll();
  load_.Pause();
  // The wish that a nurse has in hand is answered later; everything else holds now.
  const std::vector<Done> done = load_.done();
  std::vector<Done> again;
  for (size_t i = all ? 0 : repeated_to_; i < done.size(); ++i) again.push_back(done[i]);
  for (size_t i = 0; !all && i < kOlderRepeatsMax && repeated_to_ > 0; ++i) {
    again.push_back(done[Below(repeated_to_)]);
  }
  repeated_to_ = done.size();
  load_.Repeat(std::move(again), kAnswerMax);
  if (const absl::Status more = load_.OneMore(kAnswerMax); !more.ok()) {
    Violation(absl::StrCat("the next command was answered ", more.ToString()));
  }
  if (const absl::Status read = audit_.ReadOn(); !read.ok()) {
    Violation(absl::StrCat("the log: ", read.ToString()));
  } else {
    for (const std::string& sentence : audit_.Compare(done)) Violation(sentence);
  }
  const std::vector<std::string> told = load_.violations();
  for (; load_violations_ < told.size(); ++load_violations_) Violation(told[load_violations_]);
  load_.Resume();
}

void ChaosRun::End() {
  now_ = "the end";
  if (result_.violations.empty()) Look(/*all=*/true);
  load_.Pause();
  for (const Open& fault : std::exchange(open_, {})) Heal(fault);
  for (size_t i = 0; i < region_.count(); ++i) {
    if (!region_.running(i)) continue;
    if (const absl::Status up = AwaitServing(i); !up.ok()) {
      Violation(absl::StrCat("replica ", i, " does not serve at the end: ", up.ToString()));
      continue;
    }
    region_.Signal(i, SIGTERM);
    if (const int exit_code = region_.Wait(i); exit_code != 0) {
      Violation(absl::StrCat("a clean stop ended with ", exit_code));
    }
  }
  if (!result_.violations.empty()) return;
  // Each replica's read models have the digest that the log gives, so all have the same.
  for (size_t i = 0; i < region_.count(); ++i) {
    const auto verified = region_.Command(i, {"replay", "--verify"}, absl::Seconds(120));
    if (!verified.ok() || verified->exit_code != 0) {
      Violation(absl::StrCat(
          "replay --verify of replica ", i, ": ",
          verified.ok() ? verified->out + verified->err : verified.status().ToString()));
    }
  }
}

void ChaosRun::Violation(const std::string& sentence) {
  result_.violations.push_back(absl::StrCat("seed ", options_.seed, ", ", now_, ": ", sentence));
  options_.tell(absl::StrCat("VIOLATION: ", result_.violations.back()));
}

std::string ReportOf(const ChaosOptions& options, const ChaosResult& result) {
  std::string text = absl::StrFormat(
      "Seed %d, %d replicas, %d brokers, %d nurses: %d faults, %d commands answered (%d of them "
      "refusals), %d asked again, %d calls that failed and were tried again, %d records audited, "
      "%d violations; took %s.\n\n| fault | times |\n|---|---|\n",
      options.seed, options.replicas, options.brokers, options.callers, result.faults,
      result.answered, result.refused, result.repeated, result.tried_again, result.records,
      result.violations.size(), absl::FormatDuration(absl::Trunc(result.took, absl::Seconds(1))));
  for (const auto& [kind, times] : result.by_kind) {
    absl::StrAppend(&text, "| ", kind, " | ", times, " |\n");
  }
  if (!result.waited.empty()) {
    absl::StrAppend(&text, "\n| fault | times | longest wait of a nurse: median | worst |\n",
                    "|---|---|---|---|\n");
  }
  for (const auto& [kind, waits] : result.waited) {
    std::vector<absl::Duration> sorted = waits;
    std::sort(sorted.begin(), sorted.end());
    absl::StrAppendFormat(&text, "| %s | %d | %.2f s | %.2f s |\n", kind, sorted.size(),
                          absl::ToDoubleSeconds(sorted[sorted.size() / 2]),
                          absl::ToDoubleSeconds(sorted.back()));
  }
  for (const std::string& violation : result.violations) {
    absl::StrAppend(&text, "\nVIOLATION: ", violation, "\n");
  }
  return text;
}

}  // namespace buurtlog::faults
