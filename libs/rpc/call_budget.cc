#include "libs/rpc/call_budget.h"

#include <algorithm>

#include "libs/base/refusal.h"

namespace buurtlog::rpc {
namespace {

constexpr char kTooManyCalls[] = "TOO_MANY_CALLS";

}  // namespace

bool IsOverBudget(const absl::Status& status) {
  return absl::IsResourceExhausted(status) && StatusReason(status) == kTooManyCalls;
}

void CallBudget::Fill(Bucket& bucket, absl::Time now) const {
  // A clock that was set back gives nothing and takes nothing.
  const double passed = std::max(0.0, absl::ToDoubleSeconds(now - bucket.at));
  bucket.calls = std::min(burst(), bucket.calls + passed * per_second_);
  bucket.at = now;
}

absl::Status CallBudget::Take(const identity::Caller& caller) {
  const Uuid& whose = caller.team_id == Uuid() ? caller.person_id : caller.team_id;
  if (per_second_ <= 0 || whose == Uuid() || caller.role == access::v1::ROLE_SERVICE) {
    return absl::OkStatus();
  }
  absl::MutexLock lock(&mutex_);
  const absl::Time now = clock_.Now();
  if (buckets_.size() >= forget_at_) {
    // A full one is as good as none.
    absl::erase_if(buckets_, [&](auto& entry) {
      Fill(entry.second, now);
      return entry.second.calls >= burst();
    });
    forget_at_ = std::max(forget_at_, 2 * buckets_.size());
  }
  Bucket& bucket = buckets_.try_emplace(whose, Bucket{burst(), now}).first->second;
  Fill(bucket, now);
  if (bucket.calls < 1) {
    return WithReason(
        absl::ResourceExhaustedError("too many calls of this team; try again in a second"),
        kTooManyCalls);
  }
  bucket.calls -= 1;
  return absl::OkStatus();
}

}  // namespace buurtlog::rpc
