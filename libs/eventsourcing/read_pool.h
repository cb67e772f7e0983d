// Read-only connections to a file that may be replaced while they are in use. Private to
// libs/eventsourcing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/files.h"
#include "libs/sqlite/sqlite.h"

namespace buurtlog::eventsourcing {

// Connections that are kept when nobody reads. More readers at once open more.
inline constexpr size_t kIdleReadersMax = 8;

// Thread-safe.
class ReadPool {
 public:
  ReadPool(Files& files, std::string path) : files_(files), path_(std::move(path)) {}

  // Runs `read` inside one read transaction.
  absl::Status Read(absl::FunctionRef<absl::Status(sqlite::Connection& rows)> read);
  // Runs `replace`, which puts another file in the place of this one. Readers under way finish on
  // the old file, which the system keeps for as long as they have it open; later ones see the new
  // file.
  absl::Status Replace(absl::FunctionRef<absl::Status()> replace);

 private:
  struct Reader {
    sqlite::Connection connection;
    uint64_t generation = 0;
  };
  absl::StatusOr<Reader> Take();
  void Give(Reader reader);

  Files& files_;
  const std::string path_;
  absl::Mutex mutex_;
  uint64_t generation_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<Reader> idle_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace buurtlog::eventsourcing
