#include "tools/buurtlog/log_command.h"

#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "buurtlog/privacy/v1/options.pb.h"
#include "libs/base/status_macros.h"
#include "tools/buurtlog/accept_command.h"
#include "tools/buurtlog/catalogue.h"
#include "tools/buurtlog/copy_command.h"
#include "tools/buurtlog/void_command.h"
#include "tools/region/region_maker.h"

namespace buurtlog::command {
namespace {

using eventlog::EntryView;
using eventlog::FoldState;
using eventlog::Partition;
using eventlog::Sequence;

constexpr uint64_t kShownEntriesMax = 10'000;

// Takes out every field that is marked as being about a person, whatever its type.
void ClearPersonalFields(google::protobuf::Message& message) {
  const auto* reflection = message.GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const auto* field : fields) {
    if (field->options().HasExtension(privacy::v1::personal)) {
      reflection->ClearField(&message, field);
    } else if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) {
      continue;
    } else if (field->is_repeated()) {
      for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
        ClearPersonalFields(*reflection->MutableRepeatedMessage(&message, field, i));
      }
    } else {
      ClearPersonalFields(*reflection->MutableMessage(&message, field));
    }
  }
}

nlohmann::json JsonOf(const google::protobuf::Message& message) {
  std::string text;
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok()) return nullptr;
  return nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
}

std::string IdText(const std::string& bytes) {
  auto id = UuidFromBytes(bytes);
  return id.ok() && !id->IsNil() ? id->ToString() : "";
}

// One entry as programs and people see it.
struct ShownEntry {
  absl::Time recorded_at;
  nlohmann::json json;
  std::vector<std::string> cells;  // recorded at, place, stream, what
};

absl::StatusOr<ShownEntry> Show(const EntryView& entry, const std::string& service,
                                const eventsourcing::EventCodec& codec) {
  ShownEntry shown;
  const std::string place =
      absl::StrCat(service, "/", entry.header.partition, "/", entry.header.sequence);
  shown.json = {{"service", service},
                {"partition", entry.header.partition},
                {"sequence", entry.header.sequence},
                {"epoch", entry.header.epoch},
                {"hash", entry.hash.ToHex()}};
  if (entry.header.kind == eventlog::EntryKind::kEpoch) {
    log::v1::EpochRecord epoch;
    if (!epoch.ParseFromArray(entry.body.data(), static_cast<int>(entry.body.size()))) {
      return absl::DataLossError(absl::StrCat("epoch record ", place, " cannot be read"));
    }
    shown.recorded_at = absl::FromUnixMicros(
        google::protobuf::util::TimeUtil::TimestampToMicroseconds(epoch.recorded_at()));
    shown.json["kind"] = "epoch";
    shown.json["owner"] = epoch.owner();
    shown.cells = {LocalTime(shown.recorded_at), place, "",
                   absl::StrCat("epoch ", entry.header.epoch, " begins: ", epoch.owner())};
    return shown;
  }
  ABSL_ASSIGN_OR_RETURN(log::v1::Record record, eventsourcing::EventCodec::ParseRecord(entry));
  ABSL_ASSIGN_OR_RETURN(auto events,
                        codec.Decode(record, entry.header.partition, entry.header.sequence));
  shown.recorded_at = absl::FromUnixMicros(
      google::protobuf::util::TimeUtil::TimestampToMicroseconds(record.recorded_at()));
  const std::string stream = absl::StrCat(record.category(), "-", IdText(record.stream_id()));
  shown.json["kind"] = "record";
  shown.json["stream"] = stream;
  shown.json["first_version"] = record.first_version();
  shown.json["occurred_at"] =
      google::protobuf::util::TimeUtil::ToString(eventsourcing::OccurredAt(record));
  shown.json["recorded_at"] = google::protobuf::util::TimeUtil::ToString(record.recorded_at());
  shown.json["idempotency_key"] = IdText(record.idempotency_key());
  shown.json["actor"] = {{"person_id", IdText(record.actor().person_id())},
                         {"role", access::v1::Role_Name(record.actor().role())},
                         {"team_id", IdText(record.actor().team_id())},
                         {"access_point", record.actor().access_point()}};
  shown.json["causation_id"] = IdText(record.causation_id());
  std::vector<std::string> names;
  shown.json["events"] = nlohmann::json::array();
  for (auto& decoded : events) {
    ClearPersonalFields(*decoded.event);
    const auto* oneof = decoded.event->GetDescriptor()->oneof_decl(0);
    const auto* which =
        decoded.event->GetReflection()->GetOneofFieldDescriptor(*decoded.event, oneof);
    const std::string name(which->message_type() != nullptr ? which->message_type()->name()
                                                            : which->name());
    names.push_back(name);
    shown.json["events"].push_back({{"event_id", decoded.envelope.event_id.ToString()},
                                    {"version", decoded.envelope.version},
                                    {"type", name},
                                    {"event", JsonOf(*decoded.event)}});
  }
  if (record.has_refusal()) {
    shown.json["refusal"] = record.refusal().reason();
    names.push_back(absl::StrCat("refused: ", record.refusal().reason()));
  }
  shown.cells = {LocalTime(shown.recorded_at), place, stream, absl::StrJoin(names, ", ")};
  return shown;
}

// The services named, or all.
absl::StatusOr<std::vector<size_t>> Chosen(const std::string& service) {
  std::vector<size_t> chosen;
  for (size_t i = 0; i < Catalogue().size(); ++i) {
    if (service.empty() || Catalogue()[i].service == service) chosen.push_back(i);
  }
  if (chosen.empty())
    return absl::InvalidArgumentError(absl::StrCat("no service is called '", service, "'"));
  return chosen;
}

absl::Status Stat(CommandLine& line, const Output& output) {
  if (region::IsUnfinished(line.data_folder)) {
    output.Line(absl::StrCat("  The region in ", line.data_folder,
                             " was not finished: what follows is a part of one."));
    output.JsonText(nlohmann::json{{"region", "unfinished"}}.dump());
  }
  std::unique_ptr<Scheduler> scheduler = NewThreadPoolScheduler();
  ABSL_ASSIGN_OR_RETURN(OpenLogs logs, OpenLogsOf(line.data_folder, *scheduler, line.log));
  Table table({"service", "log id", "partitions", "entries", "epochs", "bytes", "bytes/entry"},
              {2, 3, 4, 5, 6});
  for (size_t i = 0; i < logs.readers.size(); ++i) {
    const eventlog::LogIdentity& identity = logs.readers[i]->identity();
    uint64_t entries = 0;
    uint64_t epochs = 0;
    nlohmann::json heads = nlohmann::json::array();
    for (Partition p = 0; p < identity.partitions; ++p) {
      ABSL_ASSIGN_OR_RETURN(FoldState head, logs.readers[i]->Head(p));
      entries += head.next - 1;
      epochs += head.epoch;
      heads.push_back({{"partition", p},
                       {"sequence", head.next - 1},
                       {"epoch", head.epoch},
                       {"hash", head.head_hash.ToHex()}});
    }
    uint64_t bytes = 0;
    std::error_code ignored;
    for (const auto& file : std::filesystem::directory_iterator(
             absl::StrCat(line.data_folder, "/", identity.service, "/log"), ignored)) {
      if (file.is_regular_file(ignored)) bytes += file.file_size(ignored);
    }
    table.Add({identity.service, identity.log_id.ToString(), absl::StrCat(identity.partitions),
               Grouped(entries), Grouped(epochs), Grouped(bytes),
               entries == 0 ? "" : Grouped(bytes / entries)});
    output.JsonText(nlohmann::json{
        {"service", identity.service},
        {"log_id", identity.log_id.ToString()},
        {"synthetic", identity.synthetic},
        {"entries", entries},
        {"bytes", bytes},
        {"heads",
         heads}}.dump());
  }
  table.Print(output);
  return absl::OkStatus();
}

struct CatOptions {
  std::string service;
  uint32_t partition = 0;
  Sequence from = 1;
  uint64_t count = 20;
};

absl::Status Cat(CommandLine& line, const Output& output, const CatOptions& options) {
  std::unique_ptr<Scheduler> scheduler = NewThreadPoolScheduler();
  ABSL_ASSIGN_OR_RETURN(std::vector<size_t> chosen, Chosen(options.service));
  ABSL_ASSIGN_OR_RETURN(OpenLogs logs, OpenLogsOf(line.data_folder, *scheduler, line.log));
  eventlog::LogReader& reader = *logs.readers[chosen.front()];
  if (options.partition >= reader.identity().partitions) {
    return absl::InvalidArgumentError(
        absl::StrCat("partition is 0 to ", reader.identity().partitions - 1));
  }
  ABSL_ASSIGN_OR_RETURN(FoldState at, reader.Seek(options.partition, options.from));
  Table table({"recorded", "place", "stream", "what"});
  uint64_t left = options.count;
  while (left > 0) {
    uint64_t seen = 0;
    ABSL_RETURN_IF_ERROR(reader.Read(
        options.partition, at, {.entries_max = std::min<uint64_t>(left, 1024)},
        [&](const EntryView& entry) -> absl::Status {
          ABSL_ASSIGN_OR_RETURN(ShownEntry shown,
                                Show(entry, options.service, *logs.codecs[chosen.front()]));
          output.JsonText(shown.json.dump());
          table.Add(std::move(shown.cells));
          ++seen;
          return absl::OkStatus();
        }));
    if (seen == 0) break;
    left -= seen;
  }
  table.Print(output);
  return absl::OkStatus();
}

struct TailOptions {
  std::string service;
  uint64_t count = 20;
  bool follow = false;
  bool epochs = false;
};

// Where each partition of the chosen logs has been shown to.
using Places = std::vector<std::vector<FoldState>>;

absl::Status ShowNew(const OpenLogs& logs, const std::vector<size_t>& chosen, Places& places,
                     const TailOptions& options, uint64_t most, const Output& output) {
  std::vector<ShownEntry> entries;
  for (size_t c = 0; c < chosen.size(); ++c) {
    for (Partition p = 0; p < places[c].size(); ++p) {
      uint64_t seen = 0;
      do {
        seen = 0;
        ABSL_RETURN_IF_ERROR(logs.readers[chosen[c]]->Read(
            p, places[c][p], {}, [&](const EntryView& entry) -> absl::Status {
              ++seen;
              if (entry.header.kind == eventlog::EntryKind::kEpoch && !options.epochs)
                return absl::OkStatus();
              ABSL_ASSIGN_OR_RETURN(ShownEntry shown, Show(entry, Catalogue()[chosen[c]].service,
                                                           *logs.codecs[chosen[c]]));
              entries.push_back(std::move(shown));
              return absl::OkStatus();
            }));
      } while (seen > 0);
    }
  }
  std::stable_sort(entries.begin(), entries.end(), [](const ShownEntry& a, const ShownEntry& b) {
    return a.recorded_at < b.recorded_at;
  });
  if (entries.size() > most)
    entries.erase(entries.begin(), entries.end() - static_cast<ptrdiff_t>(most));
  for (const ShownEntry& entry : entries) {
    output.JsonText(entry.json.dump());
    output.Line(absl::StrCat("  ", entry.cells[0], "  ", entry.cells[1], "  ", entry.cells[2], "  ",
                             entry.cells[3]));
  }
  std::cout << std::flush;
  return absl::OkStatus();
}

// The place in a partition behind which the newest `count` entries of the wanted kind begin.
absl::StatusOr<FoldState> TailPlace(eventlog::LogReader& reader, Partition partition,
                                    const TailOptions& options) {
  ABSL_ASSIGN_OR_RETURN(const FoldState head, reader.Head(partition));
  if (head.next == 1) return head;
  for (uint64_t back = options.count;; back *= 4) {
    const Sequence from = head.next > back ? head.next - back : 1;
    ABSL_ASSIGN_OR_RETURN(const FoldState place, reader.Seek(partition, from));
    uint64_t wanted = 0;
    FoldState at = place;
    while (at.next < head.next) {
      ABSL_RETURN_IF_ERROR(reader.Read(partition, at, {}, [&](const EntryView& entry) {
        wanted += options.epochs || entry.header.kind == eventlog::EntryKind::kRecord ? 1 : 0;
        return absl::OkStatus();
      }));
    }
    if (wanted >= options.count || from == 1) return place;
  }
}

absl::Status Tail(CommandLine& line, const Output& output, const TailOptions& options) {
  std::unique_ptr<Scheduler> scheduler = NewThreadPoolScheduler();
  ABSL_ASSIGN_OR_RETURN(std::vector<size_t> chosen, Chosen(options.service));
  ABSL_ASSIGN_OR_RETURN(OpenLogs logs, OpenLogsOf(line.data_folder, *scheduler, line.log));
  Places places;
  for (size_t c : chosen) {
    std::vector<FoldState>& of_log = places.emplace_back();
    for (Partition p = 0; p < logs.readers[c]->identity().partitions; ++p) {
      ABSL_ASSIGN_OR_RETURN(FoldState place, TailPlace(*logs.readers[c], p, options));
      of_log.push_back(std::move(place));
    }
  }
  ABSL_RETURN_IF_ERROR(ShowNew(logs, chosen, places, options, options.count, output));
  if (!options.follow) return absl::OkStatus();
  absl::Mutex mutex;
  bool grew = false;
  std::vector<std::unique_ptr<eventlog::Subscription>> watches;
  for (size_t c : chosen) {
    watches.push_back(logs.readers[c]->Watch([&](Partition) {
      absl::MutexLock lock(&mutex);
      grew = true;
    }));
  }
  while (true) {
    {
      absl::MutexLock lock(&mutex);
      mutex.Await(absl::Condition(&grew));
      grew = false;
    }
    ABSL_RETURN_IF_ERROR(ShowNew(logs, chosen, places, options, kShownEntriesMax, output));
  }
}

}  // namespace

void AddLogCommand(CLI::App& app, CommandLine& line) {
  CLI::App* log =
      app.add_subcommand("log", "Look into the logs of a data folder: what happened, in order");
  log->require_subcommand(1);

  log->add_subcommand("stat", "Entries, epochs and bytes of each log")->callback(Runs(line, Stat));

  AddCopyCommand(*log, line);

  auto cat_options = std::make_shared<CatOptions>();
  CLI::App* cat = log->add_subcommand("cat", "Entries of one partition, from a place on");
  cat->add_option("SERVICE", cat_options->service, "teams, clients or visits")->required();
  cat->add_option("PARTITION", cat_options->partition, "Partition, from 0")
      ->check(WholeNumberFrom(0, eventlog::kPartitionsMax - 1))
      ->required();
  cat->add_option("--from", cat_options->from, "First sequence, from 1")
      ->check(CLI::Range(Sequence{1}, Sequence{1} << 48))
      ->capture_default_str();
  cat->add_option("-n,--count", cat_options->count, "How many")
      ->check(CLI::Range(uint64_t{1}, kShownEntriesMax))
      ->capture_default_str();
  cat->callback(Runs(
      line, [cat_options](CommandLine& l, const Output& o) { return Cat(l, o, *cat_options); }));

  auto tail_options = std::make_shared<TailOptions>();
  CLI::App* tail = log->add_subcommand(
      "tail", "The newest entries of all partitions, by the time they were recorded");
  tail->add_option("SERVICE", tail_options->service, "teams, clients or visits; all when left out");
  tail->add_option("-n,--count", tail_options->count, "How many")
      ->check(CLI::Range(uint64_t{1}, kShownEntriesMax))
      ->capture_default_str();
  tail->add_flag("-f,--follow", tail_options->follow, "Stay, and show new entries as they come");
  tail->add_flag("--all", tail_options->epochs, "Show epoch records too");
  tail->callback(Runs(
      line, [tail_options](CommandLine& l, const Output& o) { return Tail(l, o, *tail_options); }));

  AddVoidCommand(*log, line);
  AddAcceptCommand(*log, line);
}

}  // namespace buurtlog::command
