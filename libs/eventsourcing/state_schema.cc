#include "libs/eventsourcing/state_schema.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <openssl/evp.h>

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "libs/base/check.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/record.h"
#include "libs/eventsourcing/follower_file.h"

namespace buurtlog::eventsourcing {
namespace {

// Raised when the tables below change.
constexpr int kStoreSchema = 2;

constexpr char kTables[] = R"sql(
  CREATE TABLE checkpoint(partition INTEGER PRIMARY KEY, state BLOB NOT NULL);
  CREATE TABLE state(partition INTEGER NOT NULL, category INTEGER NOT NULL, id BLOB NOT NULL,
                     version INTEGER NOT NULL, bytes BLOB NOT NULL,
                     PRIMARY KEY(partition, category, id)) WITHOUT ROWID;
  CREATE TABLE name(partition INTEGER NOT NULL, key BLOB NOT NULL, actor BLOB NOT NULL,
                    sequence INTEGER NOT NULL, PRIMARY KEY(partition, key, actor)) WITHOUT ROWID;
  CREATE TABLE record_of(partition INTEGER NOT NULL, category INTEGER NOT NULL, id BLOB NOT NULL,
                         version_behind INTEGER NOT NULL, sequence INTEGER NOT NULL,
                         PRIMARY KEY(partition, category, id, version_behind)) WITHOUT ROWID;
  CREATE TABLE schema(stamp TEXT NOT NULL);
  CREATE TABLE log(id BLOB NOT NULL);
)sql";

using DescriptorSet = absl::flat_hash_set<const google::protobuf::Descriptor*>;

// Everything of the schema that the bytes of a state message depend on: the message and what its
// fields lead to.
void AppendSchema(const google::protobuf::Descriptor* message, DescriptorSet& seen,
                  std::string& out) {
  if (!seen.insert(message).second) return;
  google::protobuf::DescriptorProto proto;
  message->CopyTo(&proto);
  absl::StrAppend(&out, message->full_name(), "\n", proto.SerializeAsString(), "\n");
  for (int i = 0; i < message->field_count(); ++i) {
    const google::protobuf::FieldDescriptor* field = message->field(i);
    if (field->message_type() != nullptr) AppendSchema(field->message_type(), seen, out);
    if (field->enum_type() != nullptr) {
      google::protobuf::EnumDescriptorProto values;
      field->enum_type()->CopyTo(&values);
      absl::StrAppend(&out, field->enum_type()->full_name(), "\n", values.SerializeAsString(),
                      "\n");
    }
  }
}

std::string SchemaStamp(const std::vector<const AggregateType*>& types, uint32_t partitions) {
  std::string schema = absl::StrCat(kStoreSchema, "\n", partitions, "\n");
  for (const AggregateType* type : types) {
    absl::StrAppend(&schema, type->category, "\n", type->evolve_version, "\n");
    DescriptorSet seen;
    AppendSchema(type->state->GetDescriptor(), seen, schema);
  }
  std::array<uint8_t, 32> digest{};
  CHECK(EVP_Digest(schema.data(), schema.size(), digest.data(), nullptr, EVP_sha256(), nullptr) ==
        1);
  return eventlog::Hash{digest}.ToHex();
}

absl::StatusOr<sqlite::Connection> OpenWriter(Files& files, const std::string& path) {
  ABSL_RETURN_IF_ERROR(CheckBeforeOpening(files, path));
  ABSL_ASSIGN_OR_RETURN(sqlite::Connection db, sqlite::Connection::Open(path, FollowerOptions()));
  // NORMAL: a crash of the machine may cost the newest transactions, which are folded again, but
  // never tears the file.
  ABSL_RETURN_IF_ERROR(
      db.Execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-16384"));
  db.CheckpointWhole(sqlite::kWalPagesMax);
  return db;
}

// The stamp in the file; empty when the file has no tables yet. DATA_LOSS also when the
// checkpoints, without which nothing can begin, cannot be read.
absl::StatusOr<std::string> ReadStamp(sqlite::Connection& db) {
  ABSL_ASSIGN_OR_RETURN(sqlite::Statement tables,
                        db.Prepare("SELECT count(*) FROM sqlite_schema WHERE name = 'schema'"));
  ABSL_ASSIGN_OR_RETURN(bool has_row, tables.Step());
  if (!has_row || tables.Int(0) == 0) return std::string();
  ABSL_RETURN_IF_ERROR(db.Execute("SELECT partition, state FROM checkpoint"));
  ABSL_ASSIGN_OR_RETURN(sqlite::Statement stamp, db.Prepare("SELECT stamp FROM schema"));
  ABSL_ASSIGN_OR_RETURN(bool has_stamp, stamp.Step());
  return has_stamp ? std::string(stamp.Text(0)) : std::string("none");
}

absl::Status MakeTables(sqlite::Connection& db, const std::string& stamp) {
  ABSL_ASSIGN_OR_RETURN(sqlite::Transaction transaction,
                        sqlite::Transaction::Begin(db, sqlite::Transaction::Mode::kWrite));
  ABSL_RETURN_IF_ERROR(db.Execute(kTables));
  {
    ABSL_ASSIGN_OR_RETURN(sqlite::Statement insert,
                          db.Prepare("INSERT INTO schema(stamp) VALUES(?)"));
    ABSL_RETURN_IF_ERROR(insert.Bind(1, std::string_view(stamp)).Run());
  }
  return transaction.Commit();
}

}  // namespace

absl::StatusOr<StateFile> OpenStateFile(Files& files, const std::string& path,
                                        const std::vector<const AggregateType*>& types,
                                        uint32_t partitions) {
  const std::string stamp = SchemaStamp(types, partitions);
  std::string discarded;
  // What is left beside a main file that is gone belongs to no database.
  if (!files.Exists(path)) ABSL_RETURN_IF_ERROR(RemoveDatabase(files, path));
  absl::StatusOr<sqlite::Connection> writer = OpenWriter(files, path);
  absl::StatusOr<std::string> found = writer.ok() ? ReadStamp(*writer) : writer.status();
  if (absl::IsDataLoss(found.status())) {
    discarded = "the file is damaged";
  } else if (!found.ok()) {
    return found.status();
  } else if (!found->empty() && *found != stamp) {
    discarded = "it was folded with another schema of the states";
  }
  if (!discarded.empty()) {
    writer = absl::InternalError("closed");
    ABSL_RETURN_IF_ERROR(RemoveDatabase(files, path));
    writer = OpenWriter(files, path);
    if (!writer.ok()) return writer.status();
    found = std::string();
  }
  if (found->empty()) ABSL_RETURN_IF_ERROR(MakeTables(*writer, stamp));
  return StateFile{*std::move(writer), std::move(discarded)};
}

}  // namespace buurtlog::eventsourcing
