#include "libs/eventsourcing/state_store.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/status_macros.h"
#include "libs/eventsourcing/follower_file.h"
#include "libs/eventsourcing/recent_names.h"
#include "libs/eventsourcing/state_schema.h"
#include "libs/sqlite/sqlite.h"

namespace buurtlog::eventsourcing {
namespace {

using eventlog::FoldState;
using eventlog::Partition;
using eventlog::Sequence;

// What waits is gathered this long, so that a busy service writes few and large transactions ...
constexpr absl::Duration kFlushDelay = absl::Milliseconds(200);
// ... unless this much waits already.
constexpr size_t kFlushAtOnceChanges = 8'192;
constexpr absl::Duration kFlushRetryDelay = absl::Milliseconds(500);
constexpr size_t kReadersKeptMax = 16;

std::string_view Bytes(const Uuid& id) {
  return {reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()};
}

struct StreamKey {
  size_t category = 0;
  Uuid id;
  friend auto operator<=>(const StreamKey&, const StreamKey&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const StreamKey& k) {
    return H::combine(std::move(h), k.category, k.id);
  }
};

struct RecordPlace {
  uint64_t version_behind = 0;
  Sequence sequence = 0;
};

struct StreamChanges {
  StoredState newest;
  std::vector<RecordPlace> records;
};

// Changes of one partition that go to the file in one transaction, together with their checkpoint.
struct Generation {
  absl::flat_hash_map<StreamKey, StreamChanges> streams;
  absl::flat_hash_map<CommandName, Sequence> names;
  FoldState behind;
  size_t changes = 0;
  bool empty = true;
};

// The changes of a partition that are not in the file yet. A flush takes the waiting ones over as
// `flushing` and clears those when they are committed: whoever finds nothing here finds it in the
// file.
struct Overlay {
  absl::Mutex mutex;
  Generation waiting ABSL_GUARDED_BY(mutex);
  // Changed only by the holder of the write lock, with `mutex` held too; so that holder may read
  // without.
  Generation flushing;
  RecentNames recent ABSL_GUARDED_BY(mutex){kKnowsNothing};
};

// In the order of the key, so that neighbours in the table are written one after the other.
template <typename Map>
auto Sorted(const Map& map) {
  std::vector<const typename Map::value_type*> rows;
  rows.reserve(map.size());
  for (const auto& row : map) rows.push_back(&row);
  std::sort(rows.begin(), rows.end(), [](auto* a, auto* b) { return a->first < b->first; });
  return rows;
}

}  // namespace

class StateStore::Impl {
 public:
  Impl(std::string path, std::vector<const AggregateType*> types, uint32_t partitions,
       std::string discarded, sqlite::Connection writer, Scheduler& scheduler, Files& files)
      : files_(files),
        path_(std::move(path)),
        types_(std::move(types)),
        discarded_(std::move(discarded)),
        overlays_(partitions),
        writer_(std::move(writer)),
        queue_(scheduler.NewQueue("state-store", QueueKind::kBlocking)),
        tasks_(*queue_) {
    for (Partition partition = 0; partition < partitions; ++partition) LearnNewest(partition);
  }

  ~Impl() {
    queue_ = nullptr;
    // What cannot be written now is folded again at the next start.
    Flush().IgnoreError();
  }

  const std::string& discarded() const { return discarded_; }

  absl::Status health() const {
    return damaged_ ? absl::DataLossError("is damaged; the next start folds it anew")
                    : absl::OkStatus();
  }

  absl::Status BelongTo(const Uuid& log_id) {
    absl::MutexLock lock(&write_mutex_);
    ABSL_ASSIGN_OR_RETURN(sqlite::Transaction transaction,
                          sqlite::Transaction::Begin(writer_, sqlite::Transaction::Mode::kWrite));
    sqlite::Statement& select = writer_.Cached("SELECT id FROM log");
    ABSL_ASSIGN_OR_RETURN(const bool known, select.Step());
    if (known && select.Blob(0) == Bytes(log_id)) return absl::OkStatus();
    if (known) discarded_ = "it was folded from another log";
    for (const char* table : {"log", "checkpoint", "state", "name", "record_of"}) {
      ABSL_RETURN_IF_ERROR(writer_.Cached(absl::StrCat("DELETE FROM ", table)).Run());
    }
    ABSL_RETURN_IF_ERROR(
        writer_.Cached("INSERT INTO log(id) VALUES(?)").BindBlob(1, Bytes(log_id)).Run());
    return transaction.Commit();
  }
  size_t waiting() const { return waiting_.load(std::memory_order_relaxed); }

  absl::StatusOr<std::optional<FoldState>> Checkpoint(Partition partition) {
    absl::MutexLock lock(&write_mutex_);
    sqlite::Statement& select = writer_.Cached("SELECT state FROM checkpoint WHERE partition = ?");
    select.Bind(1, static_cast<int64_t>(partition));
    absl::StatusOr<bool> has_row = select.Step();
    if (!has_row.ok()) return Noticed(has_row.status());
    std::optional<FoldState> state;
    if (*has_row) {
      absl::StatusOr<FoldState> parsed = eventlog::ParseFoldState(select.Blob(0));
      select.Reset();
      if (!parsed.ok()) return Noticed(absl::DataLossError("a checkpoint that cannot be read"));
      state = *std::move(parsed);
    } else {
      select.Reset();
    }
    return state;
  }

  absl::StatusOr<StoredState> Load(Partition partition, const StreamId& stream) {
    const StreamKey key = KeyOf(stream);
    {
      Overlay& overlay = overlays_[partition];
      absl::MutexLock lock(&overlay.mutex);
      for (const Generation* generation : {&overlay.waiting, &overlay.flushing}) {
        if (auto it = generation->streams.find(key); it != generation->streams.end()) {
          return it->second.newest;
        }
      }
    }
    StoredState state;
    absl::Status status = Query([&](sqlite::Connection& db) -> absl::Status {
      sqlite::Statement& select = db.Cached(
          "SELECT version, bytes FROM state WHERE partition = ? AND category = ? AND id = ?");
      select.Bind(1, static_cast<int64_t>(partition)).Bind(2, static_cast<int64_t>(key.category));
      select.BindBlobView(3, Bytes(key.id));
      ABSL_ASSIGN_OR_RETURN(bool has_row, select.Step());
      if (has_row) state = {static_cast<uint64_t>(select.Int(0)), std::string(select.Blob(1))};
      select.Reset();
      return absl::OkStatus();
    });
    if (!status.ok()) return status;
    return state;
  }

  absl::StatusOr<std::optional<Sequence>> Find(Partition partition, const CommandName& command) {
    {
      Overlay& overlay = overlays_[partition];
      absl::MutexLock lock(&overlay.mutex);
      for (const Generation* generation : {&overlay.waiting, &overlay.flushing}) {
        if (auto it = generation->names.find(command); it != generation->names.end())
          return it->second;
      }
      if (overlay.recent.Knows(command.key)) return overlay.recent.Find(command);
    }
    std::optional<Sequence> sequence;
    absl::Status status = Query([&](sqlite::Connection& db) -> absl::Status {
      sqlite::Statement& select =
          db.Cached("SELECT sequence FROM name WHERE partition = ? AND key = ? AND actor = ?");
      select.Bind(1, static_cast<int64_t>(partition));
      select.BindBlobView(2, Bytes(command.key)).BindBlobView(3, Bytes(command.actor));
      ABSL_ASSIGN_OR_RETURN(bool has_row, select.Step());
      if (has_row) sequence = static_cast<Sequence>(select.Int(0));
      select.Reset();
      return absl::OkStatus();
    });
    if (!status.ok()) return status;
    return sequence;
  }

  absl::StatusOr<std::vector<Sequence>> RecordsOf(Partition partition, const StreamId& stream,
                                                  uint64_t after_version, size_t limit) {
    const StreamKey key = KeyOf(stream);
    std::vector<RecordPlace> newer;
    {
      Overlay& overlay = overlays_[partition];
      absl::MutexLock lock(&overlay.mutex);
      for (const Generation* generation : {&overlay.flushing, &overlay.waiting}) {
        if (auto it = generation->streams.find(key); it != generation->streams.end()) {
          newer.insert(newer.end(), it->second.records.begin(), it->second.records.end());
        }
      }
    }
    // A flush may have put some of `newer` into the file meanwhile; those are not wanted twice.
    const int64_t before = newer.empty() ? INT64_MAX : static_cast<int64_t>(newer.front().sequence);
    std::vector<Sequence> sequences;
    ABSL_RETURN_IF_ERROR(Query([&](sqlite::Connection& db) -> absl::Status {
      sqlite::Statement& select = db.Cached(
          "SELECT sequence FROM record_of WHERE partition = ? AND category = ? AND id = ? AND "
          "version_behind > ? AND sequence < ? ORDER BY version_behind LIMIT ?");
      select.Bind(1, static_cast<int64_t>(partition)).Bind(2, static_cast<int64_t>(key.category));
      select.BindBlobView(3, Bytes(key.id)).Bind(4, static_cast<int64_t>(after_version));
      select.Bind(5, before).Bind(6, static_cast<int64_t>(limit));
      while (true) {
        ABSL_ASSIGN_OR_RETURN(bool has_row, select.Step());
        if (!has_row) break;
        sequences.push_back(static_cast<Sequence>(select.Int(0)));
      }
      select.Reset();
      return absl::OkStatus();
    }));
    for (const RecordPlace& record : newer) {
      if (record.version_behind > after_version && sequences.size() < limit) {
        sequences.push_back(record.sequence);
      }
    }
    return sequences;
  }

  void Add(Partition partition, std::vector<StateChange> changes, const FoldState& behind) {
    const size_t count = changes.size();
    Overlay& overlay = overlays_[partition];
    {
      absl::MutexLock lock(&overlay.mutex);
      Generation& waiting = overlay.waiting;
      for (StateChange& change : changes) {
        waiting.names.insert_or_assign(change.command, change.sequence);
        overlay.recent.Add(change.command, change.sequence);
        if (!change.state.has_value()) continue;
        StreamChanges& stream = waiting.streams[KeyOf(change.stream)];
        stream.newest.version = change.version;
        stream.newest.state = *std::move(change.state);
        stream.records.push_back({change.version, change.sequence});
      }
      waiting.behind = behind;
      waiting.changes += count;
      waiting.empty = false;
    }
    const size_t now_waiting = waiting_.fetch_add(count, std::memory_order_relaxed) + count;
    if (now_waiting >= kFlushAtOnceChanges) {
      if (!flush_now_posted_.exchange(true)) {
        tasks_.Post([this] {
          flush_now_posted_ = false;
          FlushTask();
        });
      }
    } else if (!flush_posted_.exchange(true)) {
      PostFlush(kFlushDelay);
    }
  }

  absl::Status Discard(Partition partition) {
    absl::MutexLock write_lock(&write_mutex_);
    {
      Overlay& overlay = overlays_[partition];
      absl::MutexLock lock(&overlay.mutex);
      waiting_.fetch_sub(overlay.waiting.changes + overlay.flushing.changes);
      overlay.waiting = {};
      overlay.flushing = {};
      overlay.recent = RecentNames(kKnowsNothing);
    }
    ABSL_ASSIGN_OR_RETURN(sqlite::Transaction transaction,
                          sqlite::Transaction::Begin(writer_, sqlite::Transaction::Mode::kWrite));
    for (const char* table : {"checkpoint", "state", "name", "record_of"}) {
      sqlite::Statement& erase =
          writer_.Cached(absl::StrCat("DELETE FROM ", table, " WHERE partition = ?"));
      ABSL_RETURN_IF_ERROR(erase.Bind(1, static_cast<int64_t>(partition)).Run());
    }
    ABSL_RETURN_IF_ERROR(transaction.Commit());
    LearnNewest(partition);
    return absl::OkStatus();
  }

  absl::Status Flush() {
    absl::MutexLock lock(&write_mutex_);
    // First what an earlier try left behind, if anything, and then what has come since.
    ABSL_RETURN_IF_ERROR(FlushOnce());
    return FlushOnce();
  }

 private:
  // Before anything is added to the partition. What cannot be read is met again when it is needed.
  void LearnNewest(Partition partition) ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_) {
    sqlite::Statement& select = writer_.Cached(
        "SELECT key FROM name WHERE partition = ? ORDER BY key DESC, actor DESC LIMIT 1");
    const absl::StatusOr<bool> row = select.Bind(1, static_cast<int64_t>(partition)).Step();
    absl::StatusOr<Uuid> newest = Uuid();
    if (row.ok() && *row) newest = UuidFromBytes(select.Blob(0));
    select.Reset();
    Overlay& overlay = overlays_[partition];
    absl::MutexLock lock(&overlay.mutex);
    if (row.ok() && newest.ok()) overlay.recent = RecentNames(*newest);
  }

  StreamKey KeyOf(const StreamId& stream) const {
    for (size_t i = 0; i < types_.size(); ++i) {
      if (types_[i]->category == stream.category) return {i, stream.id};
    }
    // No table row has this number, so a stream of an unknown category is one that does not exist.
    return {types_.size(), stream.id};
  }

  void PostFlush(absl::Duration delay) {
    tasks_.PostAfter(delay, [this] {
      flush_posted_ = false;
      FlushTask();
    });
  }

  void FlushTask() {
    absl::MutexLock lock(&write_mutex_);
    const bool written = FlushOnce().ok();
    // Behind a try that failed more may wait, for which nobody has posted a flush.
    if (written && waiting() == 0) return;
    if (!flush_posted_.exchange(true)) PostFlush(written ? kFlushDelay : kFlushRetryDelay);
  }

  // Writes one generation of every partition that has something to write, in one transaction.
  absl::Status FlushOnce() ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_) {
    std::vector<Partition> partitions;
    for (Partition partition = 0; partition < overlays_.size(); ++partition) {
      Overlay& overlay = overlays_[partition];
      absl::MutexLock lock(&overlay.mutex);
      if (overlay.flushing.empty) std::swap(overlay.flushing, overlay.waiting);
      if (!overlay.flushing.empty) partitions.push_back(partition);
    }
    if (partitions.empty()) return absl::OkStatus();
    ABSL_RETURN_IF_ERROR(Noticed(WriteFlushing(partitions)));
    for (Partition partition : partitions) {
      Generation written;  // is freed without the lock
      Overlay& overlay = overlays_[partition];
      absl::MutexLock lock(&overlay.mutex);
      std::swap(written, overlay.flushing);
      waiting_.fetch_sub(written.changes, std::memory_order_relaxed);
    }
    return absl::OkStatus();
  }

  absl::Status WriteFlushing(const std::vector<Partition>& partitions)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_) {
    ABSL_ASSIGN_OR_RETURN(sqlite::Transaction transaction,
                          sqlite::Transaction::Begin(writer_, sqlite::Transaction::Mode::kWrite));
    for (Partition partition : partitions) {
      ABSL_RETURN_IF_ERROR(WriteGeneration(partition, overlays_[partition].flushing));
    }
    return transaction.Commit();
  }

  absl::Status WriteGeneration(Partition partition, const Generation& generation)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_) {
    sqlite::Statement& state = writer_.Cached(
        "INSERT OR REPLACE INTO state(partition, category, id, version, bytes) VALUES(?,?,?,?,?)");
    sqlite::Statement& record = writer_.Cached(
        "INSERT OR REPLACE INTO record_of(partition, category, id, version_behind, sequence) "
        "VALUES(?,?,?,?,?)");
    sqlite::Statement& name = writer_.Cached(
        "INSERT OR REPLACE INTO name(partition, key, actor, sequence) VALUES(?,?,?,?)");
    for (const auto* stream : Sorted(generation.streams)) {
      YieldProcessor();
      const auto& [key, changes] = *stream;
      state.Bind(1, static_cast<int64_t>(partition)).Bind(2, static_cast<int64_t>(key.category));
      state.BindBlobView(3, Bytes(key.id)).Bind(4, static_cast<int64_t>(changes.newest.version));
      ABSL_RETURN_IF_ERROR(state.BindBlobView(5, changes.newest.state).Run());
      for (const RecordPlace& place : changes.records) {
        record.Bind(1, static_cast<int64_t>(partition)).Bind(2, static_cast<int64_t>(key.category));
        record.BindBlobView(3, Bytes(key.id)).Bind(4, static_cast<int64_t>(place.version_behind));
        ABSL_RETURN_IF_ERROR(record.Bind(5, static_cast<int64_t>(place.sequence)).Run());
      }
    }
    for (const auto* row : Sorted(generation.names)) {
      YieldProcessor();
      name.Bind(1, static_cast<int64_t>(partition)).BindBlobView(2, Bytes(row->first.key));
      name.BindBlobView(3, Bytes(row->first.actor)).Bind(4, static_cast<int64_t>(row->second));
      ABSL_RETURN_IF_ERROR(name.Run());
    }
    sqlite::Statement& checkpoint =
        writer_.Cached("INSERT OR REPLACE INTO checkpoint(partition, state) VALUES(?,?)");
    const std::string behind = eventlog::SerializeFoldState(generation.behind);
    return checkpoint.Bind(1, static_cast<int64_t>(partition)).BindBlobView(2, behind).Run();
  }

  // Runs `read` on a reading connection of its own, so that readers wait neither for each other nor
  // for the flusher.
  template <typename Read>
  absl::Status Query(Read read) {
    std::unique_ptr<sqlite::Connection> reader;
    {
      absl::MutexLock lock(&readers_mutex_);
      if (!readers_.empty()) {
        reader = std::move(readers_.back());
        readers_.pop_back();
      }
    }
    if (reader == nullptr) {
      sqlite::OpenOptions options = FollowerOptions();
      options.read_only = true;
      options.create = false;
      absl::StatusOr<sqlite::Connection> opened = sqlite::Connection::Open(path_, options);
      // Too many open files, say: to a caller NOT_FOUND would mean that the stream does not exist.
      if (absl::IsNotFound(opened.status())) {
        return absl::UnavailableError(opened.status().message());
      }
      ABSL_RETURN_IF_ERROR(opened.status());
      reader = std::make_unique<sqlite::Connection>(*std::move(opened));
    }
    ABSL_RETURN_IF_ERROR(Noticed(read(*reader)));
    absl::MutexLock lock(&readers_mutex_);
    if (readers_.size() < kReadersKeptMax) readers_.push_back(std::move(reader));
    return absl::OkStatus();
  }

  // A damaged file is thrown away at the next start; said each time, until it is written down.
  absl::Status Noticed(absl::Status status) {
    if (absl::IsDataLoss(status)) damaged_ = true;
    if (damaged_ && !marked_.exchange(true)) marked_ = MarkDamaged(files_, path_).ok();
    return status;
  }

  Files& files_;
  const std::string path_;
  const std::vector<const AggregateType*> types_;
  std::string discarded_;  // changed before anything is asked only
  std::atomic<bool> damaged_ = false;
  std::atomic<bool> marked_ = false;  // as damaged, for the next start
  std::vector<Overlay> overlays_;
  std::atomic<size_t> waiting_ = 0;
  std::atomic<bool> flush_posted_ = false;
  std::atomic<bool> flush_now_posted_ = false;
  absl::Mutex write_mutex_;
  sqlite::Connection writer_ ABSL_GUARDED_BY(write_mutex_);
  absl::Mutex readers_mutex_;
  std::vector<std::unique_ptr<sqlite::Connection>> readers_ ABSL_GUARDED_BY(readers_mutex_);
  std::unique_ptr<TaskQueue> queue_;
  TaskQueue& tasks_;  // *queue_; stays while the queue waits for its last task to end
};

StateStore::StateStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StateStore::~StateStore() = default;

absl::StatusOr<std::unique_ptr<StateStore>> StateStore::Open(
    const std::string& path, std::vector<const AggregateType*> types, uint32_t partitions,
    Scheduler& scheduler, Files& files) {
  // The rows name a category by its place in this order.
  std::sort(types.begin(), types.end(), [](auto* a, auto* b) { return a->category < b->category; });
  ABSL_ASSIGN_OR_RETURN(StateFile file, OpenStateFile(files, path, types, partitions));
  return std::unique_ptr<StateStore>(new StateStore(
      std::make_unique<Impl>(path, std::move(types), partitions, std::move(file.discarded),
                             std::move(file.writer), scheduler, files)));
}

const std::string& StateStore::discarded() const { return impl_->discarded(); }
absl::Status StateStore::BelongTo(const Uuid& log_id) { return impl_->BelongTo(log_id); }
absl::Status StateStore::health() const { return impl_->health(); }
absl::StatusOr<std::optional<FoldState>> StateStore::Checkpoint(Partition partition) {
  return impl_->Checkpoint(partition);
}
absl::StatusOr<StoredState> StateStore::Load(Partition partition, const StreamId& stream) {
  return impl_->Load(partition, stream);
}
absl::StatusOr<std::optional<Sequence>> StateStore::Find(Partition partition,
                                                         const CommandName& command) {
  return impl_->Find(partition, command);
}
absl::StatusOr<std::vector<Sequence>> StateStore::RecordsOf(Partition partition,
                                                            const StreamId& stream,
                                                            uint64_t after_version, size_t limit) {
  return impl_->RecordsOf(partition, stream, after_version, limit);
}
void StateStore::Add(Partition partition, std::vector<StateChange> changes,
                     const FoldState& behind) {
  impl_->Add(partition, std::move(changes), behind);
}
absl::Status StateStore::Discard(Partition partition) { return impl_->Discard(partition); }
absl::Status StateStore::Flush() { return impl_->Flush(); }
size_t StateStore::waiting() const { return impl_->waiting(); }

}  // namespace buurtlog::eventsourcing
