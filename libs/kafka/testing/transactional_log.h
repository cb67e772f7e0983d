// The way that Kafka itself offers to append exactly once, for benchmarks to compare with: a
// transactional producer, one transaction for all that waits.
#pragma once

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "libs/base/scheduler.h"
#include "libs/kafka/client.h"

namespace buurtlog::kafka {

// Thread-safe.
class TransactionalLog {
 public:
  // INVALID_ARGUMENT naming a property, UNAVAILABLE. `scheduler` outlives it. Blocks.
  static absl::StatusOr<std::unique_ptr<TransactionalLog>> Open(const Properties& properties,
                                                                const std::string& topic,
                                                                Scheduler& scheduler);
  ~TransactionalLog();

  // `done` is called when the transaction with these bytes is committed. One that is not ends the
  // process.
  void Append(std::string bytes, absl::AnyInvocable<void()> done);

  class Impl;

 private:
  explicit TransactionalLog(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace buurtlog::kafka
