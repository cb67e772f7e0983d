// One nurse with her phone, in a morning that is played. Private to the play.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/civil_time.h"
#include "absl/time/time.h"
#include "buurtlog/access/v1/people.pb.h"
#include "buurtlog/visits/v1/visits_service.grpc.pb.h"
#include "tools/buurtlog/morning.h"
#include "tools/buurtlog/session.h"

namespace buurtlog::command {

inline constexpr int kMorningEndsHour = 13;

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
    const std::vector<type::v1::Position>& after);

// What is still planned before the end of the morning.
std::vector<visits::v1::Visit> MorningOf(const visits::v1::GetDaySheetResponse& sheet,
                                         absl::CivilDay day);

// Plays the nurse's part against the system at `options.address`.
absl::Status PlayPhone(const MorningOptions& options, absl::CivilDay day, Nurse nurse,
                       Tally& tally);

}  // namespace buurtlog::command
