#include "libs/rpc/stream_reading.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"

namespace buurtlog::rpc {
namespace {

using eventlog::EntryView;
using eventlog::Sequence;
using log::v1::ReadStreamRequest;
using log::v1::ReadStreamResponse;

// How many of `sequences`, from `begin` on, stand next to each other: they are read at once.
size_t RunLength(const std::vector<Sequence>& sequences, size_t begin, size_t end) {
  size_t length = 1;
  while (begin + length < end && sequences[begin + length] == sequences[begin] + length) ++length;
  return length;
}

// Reads entries `sequence` and on, `count` of them or as many as `bytes_left` has room for; the
// number that was read.
absl::StatusOr<size_t> ReadRun(eventlog::LogReader& log, eventlog::Partition partition,
                               Sequence sequence, const eventlog::ReadLimits& limits,
                               ReadStreamResponse& response) {
  ABSL_ASSIGN_OR_RETURN(eventlog::FoldState at, log.Seek(partition, sequence));
  size_t entries = 0;
  ABSL_RETURN_IF_ERROR(log.Read(partition, at, limits, [&](const EntryView& entry) {
    response.add_entries(entry.bytes.data(), entry.bytes.size());
    ++entries;
    return absl::OkStatus();
  }));
  if (entries > 0) return entries;
  return absl::DataLossError(absl::StrCat("the stream index names entry ", sequence,
                                          " of partition ", partition, ", which is not there"));
}

absl::Status NoSuchStream() { return absl::NotFoundError("no such stream in this partition"); }

}  // namespace

absl::StatusOr<ReadStreamResponse> ReadStream(eventlog::LogReader& log,
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
  size_t bytes = 0;
  size_t read = 0;
  while (read < wanted && bytes < kStreamBytesMax) {
    const eventlog::ReadLimits limits = {RunLength(sequences, read, wanted),
                                         kStreamBytesMax - bytes};
    ABSL_ASSIGN_OR_RETURN(const size_t entries,
                          ReadRun(log, partition, sequences[read], limits, response));
    for (size_t i = 0; i < entries; ++i) {
      bytes += response.entries(static_cast<int>(read + i)).size();
    }
    read += entries;
  }
  response.set_more(read < sequences.size());
  return response;
}

}  // namespace buurtlog::rpc
