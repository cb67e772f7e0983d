#include "libs/eventlog/chain_check.h"

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace buurtlog::eventlog {

absl::Status CheckOnChain(LogReader& log, Partition partition, const FoldState& place) {
  ABSL_ASSIGN_OR_RETURN(FoldState there, log.Head(partition));
  if (place.next > there.next) {
    return absl::DataLossError(absl::StrCat("partition ", partition, ", sequence ", there.next,
                                            ": missing; the log was known to go to ",
                                            place.next - 1));
  }
  if (place.next < there.next) {
    ABSL_ASSIGN_OR_RETURN(there, log.Seek(partition, place.next));
  }
  if (place.head_hash == there.head_hash) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("partition ", partition, ", sequence ", place.next - 1,
                                          ": another entry was known to be here"));
}

}  // namespace buurtlog::eventlog
