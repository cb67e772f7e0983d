// What follows the logs of a simulated machine: two read models and a process over two services.
// `lists` has lists of texts, which clients command; `copies` has a copy of each, which the process
// makes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libs/eventsourcing/process.h"
#include "libs/eventsourcing/projection.h"
#include "libs/eventsourcing/testing/list_aggregate.h"

namespace buurtlog::simulation {

inline constexpr char kLists[] = "lists";
inline constexpr char kCopies[] = "copies";
// A text with this in it is not copied: a rule of `copies` refuses it.
inline constexpr char kPrivateMark = '!';

// The aggregates of the two services.
const eventsourcing::AggregateType& ListAggregate();
const eventsourcing::AggregateType& CopyAggregate();

// A number that follows from all texts before and this one, in their order.
int64_t MixText(int64_t before, std::string_view text);

// Of each list how many texts, and the mix of all: nothing is counted twice, left out or taken in
// another order unnoticed.
std::unique_ptr<eventsourcing::ReadModel> NewListModel();
// The texts of lists and of copies, which a query joins.
std::unique_ptr<eventsourcing::ReadModel> NewCopyModel();
// Copies each text.
std::unique_ptr<eventsourcing::Process> NewCopyProcess();

// Of one list.
struct ListRow {
  int64_t texts = 0;
  int64_t mix = 0;
  friend bool operator==(const ListRow&, const ListRow&) = default;
};
absl::StatusOr<ListRow> ReadListRow(sqlite::Connection& rows, const Uuid& list);
// How many texts of the list are there, and how many of these have a copy.
struct CopyRow {
  int64_t texts = 0;
  int64_t copied = 0;
  int64_t copies = 0;
};
absl::StatusOr<CopyRow> ReadCopyRow(sqlite::Connection& rows, const Uuid& list);

}  // namespace buurtlog::simulation
