#include "tools/buurtlog/copy_command.h"

#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/about.h"
#include "libs/base/files.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/log_import.h"
#include "libs/kafka/kafka_topic.h"
#include "tools/buurtlog/catalogue.h"

namespace buurtlog::command {
namespace {

constexpr absl::string_view kSqlitePrefix = "sqlite:";

struct CopyWords {
  std::string from;
  std::string to;
};

// The data folder of `sqlite:<folder>`; empty for a place on Kafka.
absl::StatusOr<std::string> FolderOf(absl::string_view place, absl::string_view word) {
  if (absl::StartsWith(place, "kafka:")) return std::string();
  if (absl::ConsumePrefix(&place, kSqlitePrefix) && !place.empty()) return std::string(place);
  return InvalidField(
      std::string(word),
      "sqlite:<data folder>, or kafka: and the brokers (kafka:host:port,host:port)");
}

absl::StatusOr<std::unique_ptr<eventlog::LogImport>> OpenTarget(
    const CommandLine& line, const std::string& to, const std::string& folder,
    const eventlog::LogIdentity& identity, Scheduler& scheduler) {
  if (!folder.empty()) {
    return eventlog::ImportIntoSqlite(identity, absl::StrCat(folder, "/", identity.service, "/log"),
                                      SystemFiles());
  }
  kafka::LogWords words = line.log;
  words.log = to;
  ABSL_ASSIGN_OR_RETURN(kafka::TopicOptions options, kafka::TopicOptionsOf(words, SystemFiles()));
  options.service = identity.service;
  options.topic_version = identity.topic_version;
  ABSL_ASSIGN_OR_RETURN(std::unique_ptr<eventlog::Topic> topic,
                        kafka::OpenTopic(options, identity, scheduler));
  if (topic->identity() != identity) {
    return WithReason(
        absl::FailedPreconditionError(absl::StrCat(
            kafka::TopicName(options), " holds another log: ", topic->identity().log_id.ToString(),
            ", not ", identity.log_id.ToString())),
        "OTHER_HISTORY");
  }
  return eventlog::ImportIntoTopic(std::move(topic));
}

absl::Status Copy(CommandLine& line, const Output& output, const CopyWords& words) {
  ABSL_ASSIGN_OR_RETURN(const std::string from_folder, FolderOf(words.from, "from"));
  ABSL_ASSIGN_OR_RETURN(const std::string to_folder, FolderOf(words.to, "to"));
  const std::unique_ptr<Scheduler> scheduler = NewThreadPoolScheduler();
  kafka::LogWords from = line.log;
  from.log = from_folder.empty() ? words.from : "sqlite";
  ABSL_ASSIGN_OR_RETURN(const OpenLogs logs, OpenLogsOf(from_folder, *scheduler, from));
  Table table({"service", "log id", "entries", "copied now"}, {2, 3});
  for (const auto& reader : logs.readers) {
    const eventlog::LogIdentity& identity = reader->identity();
    uint64_t copied = 0;
    ABSL_ASSIGN_OR_RETURN(const std::unique_ptr<eventlog::LogImport> target,
                          OpenTarget(line, words.to, to_folder, identity, *scheduler));
    const absl::Status status =
        eventlog::CopyLog(*reader, *target, [&](eventlog::Partition, uint64_t entries) {
          copied += entries;
          output.Progress(absl::StrCat(identity.service, ": ", Grouped(copied), " entries"));
        });
    output.ProgressEnd();
    if (!status.ok()) return About(absl::StrCat("log of ", identity.service), status);
    if (absl::Status finished = target->Finish(); !finished.ok()) {
      return About(absl::StrCat("log of ", identity.service), finished);
    }
    uint64_t entries = 0;
    for (eventlog::Partition p = 0; p < identity.partitions; ++p) {
      ABSL_ASSIGN_OR_RETURN(const eventlog::FoldState head, target->Head(p));
      entries += head.next - 1;
    }
    table.Add({identity.service, identity.log_id.ToString(), Grouped(entries), Grouped(copied)});
    output.JsonText(
        nlohmann::json{{"service", identity.service}, {"entries", entries}, {"copied", copied}}
            .dump());
  }
  table.Print(output);
  return absl::OkStatus();
}

}  // namespace

void AddCopyCommand(CLI::App& log, CommandLine& line) {
  auto words = std::make_shared<CopyWords>();
  CLI::App* copy = log.add_subcommand(
      "copy",
      "Copy all logs to another engine, positions and hashes unchanged; once more brings over what "
      "came since. Stop the services before the last time, and start them on the copy only");
  copy->add_option("--from", words->from, "sqlite:<data folder> or kafka:<host:port>,...")
      ->required();
  copy->add_option("--to", words->to, "sqlite:<data folder> or kafka:<host:port>,...")->required();
  copy->callback(
      Runs(line, [words](CommandLine& l, const Output& o) { return Copy(l, o, *words); }));
}

}  // namespace buurtlog::command
