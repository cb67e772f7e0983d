#include "libs/rpc/stream_reading.h"

#include <algorithm>
#include <vector>

#include "absl/types/span.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"

namespace buurtlog::rpc {
namespace {

using eventlog::EntryView;
using eventlog::Sequence;
using log::v1::ReadStreamRequest;
using log::v1::ReadStreamResponse;

absl::Status NoSuchStream() { return absl::NotFoundError("no such stream in this partition"); }

}  // namespace

absl::StatusOr<ReadStreamResponse> ReadStream(eventlog::EventLog& log,
                                              eventsourcing::StateStore* streams,
                                              const ReadStreamRequest& request) {
  const eventlog::Partition partition = request.partition();
  if (partition >= log.identity().partitions) {
    return InvalidField("partition", "is not one of this log");
  }
  const absl::StatusOr<eventsourcing::StreamId> stream =
      eventsourcing::ParseStreamId(request.stream());
  if (!stream.ok()) return InvalidField("stream", "is not `category-uuid`");
  if (streams == nullptr) return NoSuchStream();
  const size_t entries_max = request.entries_max() > 0 ? request.entries_max() : kStreamEntriesMax;
  // One more than asked for tells whether there is more.
  ABSL_ASSIGN_OR_RETURN(
      const std::vector<Sequence> sequences,
      streams->RecordsOf(partition, *stream, request.after_version(), entries_max + 1));
  if (sequences.empty() && request.after_version() == 0) return NoSuchStream();
  const size_t wanted = std::min(sequences.size(), entries_max);
  ReadStreamResponse response;
  response.mutable_entries()->Reserve(static_cast<int>(wanted));
  ABSL_RETURN_IF_ERROR(log.ReadEntries(partition, absl::MakeConstSpan(sequences.data(), wanted),
                                       {wanted, kStreamBytesMax}, [&](const EntryView& entry) {
                                         response.add_entries(entry.bytes.data(),
                                                              entry.bytes.size());
                                         return absl::OkStatus();
                                       }));
  response.set_more(static_cast<size_t>(response.entries_size()) < sequences.size());
  return response;
}

}  // namespace buurtlog::rpc
