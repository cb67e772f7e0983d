// A read model: SQLite tables folded from events, made for the questions people ask. It may be
// deleted at any time.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "libs/eventsourcing/event_codec.h"
#include "libs/sqlite/sqlite.h"

namespace buurtlog::eventsourcing {

struct ReadModelTable {
  std::string name;
  std::vector<std::string> columns;           // that say nothing about a person; in both digests
  std::vector<std::string> personal_columns;  // only in the content digest
  std::string key;  // columns that order the rows, comma-separated, unique
};

struct ReadModelSpec {
  std::string name;             // never changes; a-z and _
  uint32_t schema_version = 1;  // raised when the tables or the meaning of a row change; rebuilds
  std::vector<std::string> services;  // whose events it folds
  std::string ddl;                    // CREATE TABLE statements, and the indexes that Apply needs
  std::vector<ReadModelTable> tables;
  std::string query_indexes = "";  // CREATE INDEX statements for queries alone; in a file that is
                                   // folded from the beginning they are made after the rows
};

// Folds to the same rows in any interleaving of partitions and services: what belongs together but
// comes from several is kept apart and joined in the query. Not thread-safe; the runner calls it
// from one queue.
class ReadModel {
 public:
  virtual ~ReadModel() = default;
  virtual const ReadModelSpec& spec() const = 0;
  // Applies one event inside the runner's transaction. An error parks the stream; anything written
  // for this record is rolled back. Looks at no clock and no other file.
  virtual absl::Status Apply(const EventEnvelope& envelope, const google::protobuf::Message& event,
                             sqlite::Connection& rows) = 0;
};

}  // namespace buurtlog::eventsourcing
