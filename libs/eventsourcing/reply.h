// A callback that is called exactly once, whatever happens to the task that holds it: dropped with
// a queue that ends, it is called with UNAVAILABLE, so that no caller waits for ever.
#pragma once

#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

namespace buurtlog::eventsourcing {

// `Result` is absl::Status or an absl::StatusOr. Not thread-safe.
template <typename Result>
class Reply {
 public:
  explicit Reply(absl::AnyInvocable<void(Result)> done) : done_(std::move(done)) {}
  Reply(Reply&& other) noexcept : done_(std::exchange(other.done_, nullptr)) {}
  Reply& operator=(Reply&&) = delete;
  ~Reply() {
    if (done_) done_(absl::UnavailableError("shutting down"));
  }

  void operator()(Result result) {
    absl::AnyInvocable<void(Result)> done = std::exchange(done_, nullptr);
    if (done) done(std::move(result));
  }

 private:
  absl::AnyInvocable<void(Result)> done_;
};

}  // namespace buurtlog::eventsourcing
