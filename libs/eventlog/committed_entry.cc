#include "libs/eventlog/committed_entry.h"

#include <array>
#include <utility>

#include "absl/types/span.h"
#include "buurtlog/log/v1/record.pb.h"
#include "google/protobuf/util/time_util.h"
#include "libs/base/status_macros.h"

namespace buurtlog::eventlog {

absl::StatusOr<CommittedEntryPtr> FoldEntry(FoldState& state, Partition partition,
                                            std::string bytes, int64_t offset) {
  auto entry = std::make_shared<CommittedEntry>();
  entry->bytes = std::move(bytes);
  entry->offset = offset;
  absl::StatusOr<FoldResult> folded = Fold(state, partition, entry->bytes);
  ABSL_RETURN_IF_ERROR(folded.status());
  if (folded->verdict != Verdict::kCounts) return CommittedEntryPtr();
  entry->view = folded->entry;
  if (!folded->filled.empty()) {
    entry->bytes = std::move(folded->filled);
    ABSL_ASSIGN_OR_RETURN(entry->view, ParseEntry(entry->bytes));
    entry->view.hash = state.head_hash;
  }
  if (entry->view.header.kind == EntryKind::kEpoch) entry->owner = state.owner;
  return CommittedEntryPtr(std::move(entry));
}

std::string EncodeEpochRecord(const FoldState& known, Partition partition, const std::string& owner,
                              absl::Time now, Random& random) {
  std::array<uint8_t, 16> nonce{};
  random.Fill(absl::MakeSpan(nonce));
  log::v1::EpochRecord record;
  record.set_nonce(std::string(nonce.begin(), nonce.end()));
  record.set_owner(owner);
  record.set_known_sequence(known.next - 1);
  record.set_known_hash(known.head_hash.ToBytes());
  *record.mutable_recorded_at() =
      google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(now));
  EntryHeader header;
  header.kind = EntryKind::kEpoch;
  header.partition = partition;
  header.epoch = known.epoch + 1;
  return EncodeEntry(header, record.SerializeAsString());
}

}  // namespace buurtlog::eventlog
