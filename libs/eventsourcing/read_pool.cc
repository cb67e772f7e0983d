#include "libs/eventsourcing/read_pool.h"

#include <utility>

#include "libs/base/status_macros.h"
#include "libs/eventsourcing/follower_file.h"

namespace buurtlog::eventsourcing {

absl::Status ReadPool::Read(absl::FunctionRef<absl::Status(sqlite::Connection& rows)> read) {
  ABSL_ASSIGN_OR_RETURN(Reader reader, Take());
  absl::Status status;
  {
    ABSL_ASSIGN_OR_RETURN(
        sqlite::Transaction transaction,
        sqlite::Transaction::Begin(reader.connection, sqlite::Transaction::Mode::kRead));
    status = read(reader.connection);
  }
  Give(std::move(reader));
  return status;
}

absl::Status ReadPool::Replace(absl::FunctionRef<absl::Status()> replace) {
  std::vector<Reader> old;  // closed without the lock
  absl::MutexLock lock(&mutex_);
  ++generation_;
  old.swap(idle_);
  return replace();
}

absl::StatusOr<ReadPool::Reader> ReadPool::Take() {
  // Opened under the lock, so that no connection takes the main file from before a replacement and
  // the write-ahead log from behind it.
  absl::MutexLock lock(&mutex_);
  if (!idle_.empty()) {
    Reader reader = std::move(idle_.back());
    idle_.pop_back();
    return reader;
  }
  absl::StatusOr<sqlite::Connection> connection = OpenForReading(files_, path_);
  // To a caller NOT_FOUND would mean that what they ask about does not exist.
  if (absl::IsNotFound(connection.status())) {
    return absl::UnavailableError(connection.status().message());
  }
  ABSL_RETURN_IF_ERROR(connection.status());
  return Reader{*std::move(connection), generation_};
}

void ReadPool::Give(Reader reader) {
  absl::MutexLock lock(&mutex_);
  if (reader.generation == generation_ && idle_.size() < kIdleReadersMax)
    idle_.push_back(std::move(reader));
}

}  // namespace buurtlog::eventsourcing
