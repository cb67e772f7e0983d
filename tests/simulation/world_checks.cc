// What must hold in a simulated world.
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/about.h"
#include "libs/base/status_macros.h"
#include "tests/simulation/models.h"
#include "tests/simulation/world.h"

namespace buurtlog::simulation {
namespace {

using eventlog::FoldState;
using eventlog::Partition;
using Place = std::pair<std::string, Partition>;

// How far the rows say they were folded.
absl::StatusOr<std::map<Place, eventlog::Sequence>> ReadPlaces(sqlite::Connection& rows) {
  std::map<Place, eventlog::Sequence> places;
  ABSL_ASSIGN_OR_RETURN(sqlite::Statement select,
                        rows.Prepare("SELECT service, partition, state FROM checkpoint"));
  while (true) {
    ABSL_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return places;
    ABSL_ASSIGN_OR_RETURN(const FoldState state, eventlog::ParseFoldState(select.Blob(2)));
    places[{std::string(select.Text(0)), static_cast<Partition>(select.Int(1))}] = state.next;
  }
}

eventlog::Sequence PlaceOf(const std::map<Place, eventlog::Sequence>& places,
                           const std::string& service, Partition partition) {
  const auto place = places.find({service, partition});
  return place == places.end() ? 1 : place->second;
}

absl::Status Differs(const std::string& model, const std::string& stream) {
  return absl::InternalError(absl::StrCat("read model ", model,
                                          " is not what the log says of list ",
                                          UuidFromBytes(stream).value_or(Uuid()).ToString()));
}

absl::Status CheckListRows(sqlite::Connection& rows, const RawLog& lists) {
  ABSL_ASSIGN_OR_RETURN(const auto places, ReadPlaces(rows));
  int64_t streams = 0;
  for (const auto& [id, stream] : lists.streams) {
    ListRow expected;
    const size_t count = stream.CountBefore(PlaceOf(places, kLists, stream.partition));
    for (size_t i = 0; i < count; ++i) {
      expected = {expected.texts + 1, MixText(expected.mix, stream.texts[i].text)};
    }
    ABSL_ASSIGN_OR_RETURN(const Uuid list, UuidFromBytes(id));
    ABSL_ASSIGN_OR_RETURN(const ListRow row, ReadListRow(rows, list));
    if (!(row == expected)) return Differs("lists", id);
    if (count > 0) ++streams;
  }
  ABSL_ASSIGN_OR_RETURN(sqlite::Statement select, rows.Prepare("SELECT count(*) FROM list"));
  ABSL_ASSIGN_OR_RETURN(const bool row, select.Step());
  return row && select.Int(0) == streams
             ? absl::OkStatus()
             : absl::InternalError("read model lists has rows of lists that are not in the log");
}

absl::Status CheckTexts(sqlite::Connection& rows, const std::string& service, const char* sql,
                        const RawLog& log, const std::map<Place, eventlog::Sequence>& places) {
  std::map<std::string, size_t> counts;
  ABSL_ASSIGN_OR_RETURN(sqlite::Statement select, rows.Prepare(sql));
  while (true) {
    ABSL_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) break;
    const std::string id(select.Blob(0));
    const auto stream = log.streams.find(id);
    const size_t index = counts[id]++;
    if (stream == log.streams.end() || stream->second.texts.size() <= index ||
        select.Int(1) != static_cast<int64_t>(index) + 1 ||
        stream->second.texts[index].text != select.Text(2)) {
      return Differs("copies", id);
    }
  }
  for (const auto& [id, stream] : log.streams) {
    const size_t expected = stream.CountBefore(PlaceOf(places, service, stream.partition));
    if (counts[id] != expected) return Differs("copies", id);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status World::CheckModels(Machine& machine, const RawLog& lists, const RawLog& copies) {
  absl::Status status = machine.list_model().Read(
      [&](sqlite::Connection& rows) { return CheckListRows(rows, lists); });
  if (status.ok()) {
    status = machine.copy_model().Read([&](sqlite::Connection& rows) -> absl::Status {
      ABSL_ASSIGN_OR_RETURN(const auto places, ReadPlaces(rows));
      ABSL_RETURN_IF_ERROR(CheckTexts(rows, kLists,
                                      "SELECT list, version, text FROM text ORDER BY list, version",
                                      lists, places));
      return CheckTexts(rows, kCopies,
                        "SELECT list, version, text FROM copy ORDER BY list, version", copies,
                        places);
    });
  }
  // Out of reach, on a disk that is full, is no wrong answer.
  return absl::IsUnavailable(status) || absl::IsResourceExhausted(status) ? absl::OkStatus()
                                                                          : status;
}

// All there is of it, of which `machine` may have read a part only; what that is must agree.
absl::StatusOr<RawLog> World::LogOf(Machine& machine, Machine::Service& service) {
  eventlog::EventLog& engine = service.engine(shared_.get());
  ABSL_ASSIGN_OR_RETURN(RawLog own, ReadRawLog(engine));
  if (region_ == nullptr) return own;
  if (const absl::Status health = engine.health(); absl::IsDataLoss(health)) return health;
  ABSL_ASSIGN_OR_RETURN(RawLog all, ReadRawTopic(region_->topic(service.name)));
  const absl::Status agree = CheckExtends(own, all);
  if (!agree.ok()) return About(machine.name(), agree);
  return all;
}

void World::Check(Machine& machine) {
  ++report_.checks;
  absl::StatusOr<RawLog> lists = LogOf(machine, machine.lists());
  absl::StatusOr<RawLog> copies = LogOf(machine, machine.copies());
  for (const absl::Status& status : {lists.status(), copies.status()}) {
    if (absl::IsUnavailable(status)) return;
    if (!status.ok()) return Violated(status);
  }
  Violated(CheckExtends(seen_lists_, *lists));
  Violated(CheckExtends(seen_copies_, *copies));
  Violated(clients_.Check(*lists));
  Violated(CheckModels(machine, *lists, *copies));
  seen_lists_ = *std::move(lists);
  seen_copies_ = *std::move(copies);
}

// Each text that may be copied has its copy, once and in order.
absl::Status World::CheckCopies(const RawLog& lists, const RawLog& copies) {
  for (const auto& [id, stream] : lists.streams) {
    std::vector<std::string> expected;
    for (const RawText& text : stream.texts) {
      if (text.text.find(kPrivateMark) == std::string::npos) expected.push_back(text.text);
    }
    std::vector<std::string> copied;
    if (const auto copy = copies.streams.find(id); copy != copies.streams.end()) {
      for (const RawText& text : copy->second.texts) copied.push_back(text.text);
    }
    if (copied == expected) continue;
    return absl::InternalError(absl::StrCat("the process made ", copied.size(), " copies of ",
                                            expected.size(), " texts of a list"));
  }
  return absl::OkStatus();
}

absl::Status World::CheckReplicasAgree() {
  if (region_ == nullptr) return absl::OkStatus();
  for (Inhabitant& inhabitant : inhabitants_) {
    for (const char* service : {kLists, kCopies}) {
      ABSL_ASSIGN_OR_RETURN(const RawLog own,
                            ReadRawLog(inhabitant.machine->service(service).engine(shared_.get())));
      ABSL_ASSIGN_OR_RETURN(const RawLog all, ReadRawTopic(region_->topic(service)));
      if (own.hashes != all.hashes) {
        return absl::UnavailableError(
            absl::StrCat(inhabitant.machine->name(), " has not read all of ", service));
      }
    }
  }
  return absl::OkStatus();
}

// Every replica has read everything when this begins, and was ended in order.
void World::CheckALostTailIsFound() {
  SimulatedTopic& topic = region_->topic(kLists);
  const auto partition = static_cast<Partition>(dice_.Below(region_->partitions()));
  const auto full = LastCountingOffset(topic, partition);
  if (!full.ok() || *full < eventlog::kFirstEntryOffset) return Violated(full.status());
  for (Inhabitant& inhabitant : inhabitants_) EndLife(inhabitant);
  topic.CutFrom(partition,
                *full - static_cast<eventlog::Offset>(dice_.Below(static_cast<uint64_t>(*full))));
  const bool goes_on = dice_.OneIn(2);
  if (goes_on) {
    // One that has read nothing takes what is there for all there was, and writes on.
    Inhabitant& first = inhabitants_.front();
    first.machine->ForgetEverything();
    Violated(first.machine->Open());
    scheduler_.RunFor(absl::Seconds(5));
    region_->Settle();
    for (int i = 0; i < 100; ++i) {
      clients_.SendUnwatched(*first.machine);
      scheduler_.RunFor(absl::Milliseconds(100));
    }
  }
  for (size_t i = goes_on ? 1 : 0; i < inhabitants_.size(); ++i) {
    ExpectLossFound(*inhabitants_[i].machine);
  }
}

void World::ExpectLossFound(Machine& machine) {
  absl::Status found = machine.Open();
  if (found.ok()) {
    scheduler_.RunFor(absl::Seconds(10));
    found = machine.lists().own_log->health();
  }
  if (absl::IsDataLoss(found)) return;
  Violated(absl::InternalError(absl::StrCat(
      machine.name(), " did not notice that its topic lost entries: ", found.ToString())));
}

void World::CheckTheEnd() {
  absl::Status end = absl::UnknownError("not looked at");
  for (int tries = 0; tries < 40 && !end.ok() && !Broken(); ++tries) {
    scheduler_.RunFor(absl::Seconds(5));
    end = absl::OkStatus();
    for (Inhabitant& inhabitant : inhabitants_) {
      if (end.ok()) end = inhabitant.machine->Settled();
      Check(*inhabitant.machine);
    }
    if (end.ok()) end = CheckReplicasAgree();
    if (end.ok()) end = CheckCopies(seen_lists_, seen_copies_);
  }
  Violated(end);
  if (Broken()) return;
  report_.records = seen_lists_.records.size() + seen_copies_.records.size();
  for (Inhabitant& inhabitant : inhabitants_) {
    Machine& machine = *inhabitant.machine;
    const std::string folder = machine.FolderOf(kCopies);
    for (const auto& model : {NewListModel(), NewCopyModel()}) {
      const auto verified = eventsourcing::VerifyReadModel(
          folder + "/read_models", folder + "/scratch", *model, machine.Sources(),
          [](const auto&) {}, machine.disk().files());
      if (!verified.ok()) {
        Violated(verified.status());
      } else if (!verified->equal()) {
        Violated(absl::InternalError(model->spec().name + " differs from a fresh fold"));
      }
    }
  }
  if (region_ != nullptr && !Broken()) CheckALostTailIsFound();
}

}  // namespace buurtlog::simulation
