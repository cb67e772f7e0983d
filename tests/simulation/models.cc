#include "tests/simulation/models.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/absl_view.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"

namespace buurtlog::simulation {
namespace {

using eventsourcing::AggregateType;
using eventsourcing::Command;
using eventsourcing::CommandContext;
using eventsourcing::EventEnvelope;
using eventsourcing::MakeAggregateType;
using eventsourcing::MakeRule;
using eventsourcing::ReadModelSpec;
using eventsourcing::testing::EvolveList;
using eventsourcing::testing::ListValue;
using eventsourcing::testing::Value;

constexpr int64_t kMixModulus = 1'000'000'007;

std::string_view TextOf(const google::protobuf::Message& event) {
  return static_cast<const Value&>(event).string_value();
}

// As DecideList, but a rule refuses only on a list that exists, so that every refusal is recorded.
absl::StatusOr<std::vector<Value>> DecideWish(const ListValue& state, const ListValue& request,
                                              const eventsourcing::CommandContext& context) {
  if (state.values().empty() && request.values(0).string_value() == "refuse") {
    return absl::NotFoundError("no such list");
  }
  return eventsourcing::testing::DecideList(state, request, context);
}

absl::StatusOr<std::vector<Value>> DecideCopy(const ListValue&, const Value& request,
                                              const eventsourcing::CommandContext&) {
  if (request.string_value().find(kPrivateMark) != std::string::npos) {
    return Refuse("PRIVATE", "this text is not copied");
  }
  return std::vector<Value>{request};
}

class ListModel final : public eventsourcing::ReadModel {
 public:
  ListModel() {
    spec_.name = "lists";
    spec_.services = {kLists};
    spec_.ddl =
        "CREATE TABLE list(id BLOB PRIMARY KEY, texts INTEGER NOT NULL, mix INTEGER NOT NULL, "
        "last TEXT NOT NULL) WITHOUT ROWID;";
    spec_.tables = {{"list", {"id", "texts", "mix"}, {"last"}, "id"}};
  }
  const ReadModelSpec& spec() const override { return spec_; }
  absl::Status Apply(const EventEnvelope& envelope, const google::protobuf::Message& event,
                     sqlite::Connection& rows) override {
    ABSL_ASSIGN_OR_RETURN(ListRow row, ReadListRow(rows, envelope.stream.id));
    return rows.Cached("INSERT OR REPLACE INTO list(id, texts, mix, last) VALUES(?1, ?2, ?3, ?4)")
        .BindBlob(1, envelope.stream.id.ToBytes())
        .Bind(2, row.texts + 1)
        .Bind(3, MixText(row.mix, TextOf(event)))
        .Bind(4, TextOf(event))
        .Run();
  }

 private:
  ReadModelSpec spec_;
};

class CopyModel final : public eventsourcing::ReadModel {
 public:
  CopyModel() {
    spec_.name = "copies";
    spec_.services = {kLists, kCopies};
    spec_.ddl =
        "CREATE TABLE text(list BLOB NOT NULL, version INTEGER NOT NULL, text TEXT NOT NULL, "
        "PRIMARY KEY(list, version)) WITHOUT ROWID;"
        "CREATE TABLE copy(list BLOB NOT NULL, version INTEGER NOT NULL, text TEXT NOT NULL, "
        "PRIMARY KEY(list, version)) WITHOUT ROWID;";
    spec_.tables = {{"text", {"list", "version"}, {"text"}, "list, version"},
                    {"copy", {"list", "version"}, {"text"}, "list, version"}};
  }
  const ReadModelSpec& spec() const override { return spec_; }
  // Not OR REPLACE: an event that is applied twice is an error, which parks its stream.
  absl::Status Apply(const EventEnvelope& envelope, const google::protobuf::Message& event,
                     sqlite::Connection& rows) override {
    const bool is_copy = envelope.stream.category == CopyAggregate().category;
    return rows
        .Cached(is_copy ? "INSERT INTO copy(list, version, text) VALUES(?1, ?2, ?3)"
                        : "INSERT INTO text(list, version, text) VALUES(?1, ?2, ?3)")
        .BindBlob(1, envelope.stream.id.ToBytes())
        .Bind(2, static_cast<int64_t>(envelope.version))
        .Bind(3, TextOf(event))
        .Run();
  }

 private:
  ReadModelSpec spec_;
};

class CopyProcess final : public eventsourcing::Process {
 public:
  std::string_view name() const override { return "copy_lists"; }
  std::vector<std::string> services() const override { return {kLists}; }
  std::vector<Command> React(const EventEnvelope& envelope,
                             const google::protobuf::Message& event) const override {
    const std::string text(TextOf(event));
    Value request;
    request.set_string_value(text);
    std::vector<Command> commands;
    commands.push_back(eventsourcing::MakeCommand(CopyAggregate(), envelope.partition_key,
                                                  envelope.stream.id, request));
    return commands;
  }
};

}  // namespace

const AggregateType& ListAggregate() {
  static const auto* const kType =
      new AggregateType(MakeAggregateType<ListValue, Value, EvolveList>(
          "list", 1, {MakeRule<ListValue, Value, ListValue, &DecideWish>()}));
  return *kType;
}

const AggregateType& CopyAggregate() {
  static const AggregateType type = MakeAggregateType<ListValue, Value, EvolveList>(
      "copy", 1, {MakeRule<ListValue, Value, Value, &DecideCopy>()});
  return type;
}

int64_t MixText(int64_t before, std::string_view text) {
  int64_t mix = before;
  for (const char c : text) mix = (mix * 257 + c) % kMixModulus;
  return (mix * 257 + '\n') % kMixModulus;
}

std::unique_ptr<eventsourcing::ReadModel> NewListModel() { return std::make_unique<ListModel>(); }
std::unique_ptr<eventsourcing::ReadModel> NewCopyModel() { return std::make_unique<CopyModel>(); }
std::unique_ptr<eventsourcing::Process> NewCopyProcess() { return std::make_unique<CopyProcess>(); }

absl::StatusOr<ListRow> ReadListRow(sqlite::Connection& rows, const Uuid& list) {
  ListRow row;
  sqlite::Statement& select = rows.Cached("SELECT texts, mix FROM list WHERE id = ?1");
  ABSL_ASSIGN_OR_RETURN(const bool found, select.BindBlob(1, list.ToBytes()).Step());
  if (found) row = {select.Int(0), select.Int(1)};
  select.Reset();
  return row;
}

absl::StatusOr<CopyRow> ReadCopyRow(sqlite::Connection& rows, const Uuid& list) {
  CopyRow row;
  sqlite::Statement& select = rows.Cached(
      "SELECT count(*), count(copy.version), (SELECT count(*) FROM copy WHERE list = ?1) FROM text "
      "LEFT JOIN copy ON copy.list = text.list AND copy.text = text.text WHERE text.list = ?1");
  ABSL_ASSIGN_OR_RETURN(const bool found, select.BindBlob(1, list.ToBytes()).Step());
  if (found) row = {select.Int(0), select.Int(1), select.Int(2)};
  select.Reset();
  return row;
}

}  // namespace buurtlog::simulation
