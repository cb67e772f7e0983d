#include "tools/buurtlog/void_command.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "buurtlog/log/v1/record.pb.h"
#include "libs/base/about.h"
#include "libs/base/files.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/fold.h"
#include "libs/eventlog/topic_message.h"
#include "libs/kafka/kafka_topic.h"
#include "tools/buurtlog/catalogue.h"

namespace buurtlog::command {
namespace {

using eventlog::Offset;
using eventlog::Partition;

struct VoidEntry {
  Partition partition = 0;
  Offset offset = 0;
  eventlog::EntryHeader header;
  eventlog::Epoch epoch_then = 0;        // in force where it stands
  eventlog::Sequence sequence_then = 0;  // that would have counted
  std::string stream;                    // of a record that can be read
};

std::string StreamOf(std::string_view body) {
  log::v1::Record record;
  if (!record.ParseFromArray(body.data(), static_cast<int>(body.size()))) return "";
  const absl::StatusOr<Uuid> id = UuidFromBytes(record.stream_id());
  return id.ok() ? absl::StrCat(record.category(), "-", id->ToString()) : "";
}

// Why it does not count, as its header tells.
std::string WhyOf(const VoidEntry& entry) {
  if (entry.header.kind == eventlog::EntryKind::kEpoch) return "another began that epoch";
  if (entry.header.epoch < entry.epoch_then) return "its writer was fenced";
  if (entry.header.sequence < entry.sequence_then) return "sent twice";
  if (entry.header.sequence > entry.sequence_then) return "one before it was lost";
  return "it follows on another entry";
}

// Folds a topic from its first message to where it ended when this was begun.
class VoidReader {
 public:
  explicit VoidReader(eventlog::Topic& topic) : topic_(topic) {
    for (Partition p = 0; p < topic.identity().partitions; ++p) {
      states_.push_back(eventlog::InitialFoldState(topic.identity(), p));
    }
  }

  absl::StatusOr<std::vector<VoidEntry>> Read() {
    ABSL_ASSIGN_OR_RETURN(const std::vector<Offset> ends, topic_.Ends());
    next_.assign(ends.size(), 0);
    const auto following = topic_.Follow(
        std::vector<Offset>(ends.size(), 0),
        {[this](absl::Span<const eventlog::TopicMessage> messages) { Take(messages); },
         [this](Partition, absl::Status why) {
           absl::MutexLock lock(&mutex_);
           if (status_.ok()) status_ = std::move(why);
         }});
    const auto done = [this, &ends]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      if (!status_.ok()) return true;
      for (size_t p = 0; p < ends.size(); ++p) {
        if (next_[p] < ends[p]) return false;
      }
      return true;
    };
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&done));
    ABSL_RETURN_IF_ERROR(status_);
    return std::move(found_);
  }

 private:
  void Take(absl::Span<const eventlog::TopicMessage> messages) {
    absl::MutexLock lock(&mutex_);
    for (const eventlog::TopicMessage& message : messages) {
      if (!status_.ok()) return;
      status_ = TakeOne(message);
      next_[message.partition] = message.offset + 1;
    }
  }

  absl::Status TakeOne(const eventlog::TopicMessage& message)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    ABSL_ASSIGN_OR_RETURN(const uint64_t send, eventlog::SendOf(topic_.identity(), message));
    if (send == eventlog::kIdentitySend) return absl::OkStatus();
    ABSL_ASSIGN_OR_RETURN(const auto entries, eventlog::EntriesOf(message));
    eventlog::FoldState& state = states_[message.partition];
    for (const std::string_view bytes : entries) {
      VoidEntry entry{message.partition, message.offset, {}, state.epoch, state.next, ""};
      ABSL_ASSIGN_OR_RETURN(const eventlog::FoldResult folded,
                            eventlog::Fold(state, message.partition, bytes));
      if (folded.verdict != eventlog::Verdict::kVoid) continue;
      entry.header = folded.entry.header;
      if (entry.header.kind == eventlog::EntryKind::kRecord) {
        entry.stream = StreamOf(folded.entry.body);
      }
      found_.push_back(std::move(entry));
    }
    return absl::OkStatus();
  }

  eventlog::Topic& topic_;
  absl::Mutex mutex_;
  std::vector<eventlog::FoldState> states_ ABSL_GUARDED_BY(mutex_);
  std::vector<Offset> next_ ABSL_GUARDED_BY(mutex_);
  std::vector<VoidEntry> found_ ABSL_GUARDED_BY(mutex_);
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

void Show(const std::string& service, const std::vector<VoidEntry>& entries, Table& table,
          const Output& output) {
  for (const VoidEntry& entry : entries) {
    const bool epoch = entry.header.kind == eventlog::EntryKind::kEpoch;
    table.Add({absl::StrCat(service, "/", entry.partition, " @", entry.offset),
               epoch ? "epoch record" : "record", absl::StrCat(entry.header.epoch),
               epoch ? "" : absl::StrCat(entry.header.sequence), absl::StrCat(entry.epoch_then),
               absl::StrCat(entry.sequence_then), entry.stream, WhyOf(entry)});
    output.JsonText(nlohmann::json{
        {"service", service},
        {"partition", entry.partition},
        {"offset", entry.offset},
        {"kind", epoch ? "epoch" : "record"},
        {"epoch", entry.header.epoch},
        {"sequence", entry.header.sequence},
        {"epoch_in_force", entry.epoch_then},
        {"sequence_wanted", entry.sequence_then},
        {"stream", entry.stream},
        {"why",
         WhyOf(entry)}}.dump());
  }
}

absl::Status Void(CommandLine& line, const Output& output, const std::string& service) {
  ABSL_ASSIGN_OR_RETURN(kafka::TopicOptions options,
                        kafka::TopicOptionsOf(line.log, SystemFiles()));
  const std::unique_ptr<Scheduler> scheduler = NewThreadPoolScheduler();
  Table table(
      {"place", "what", "epoch", "sequence", "epoch in force", "sequence wanted", "stream", "why"},
      {2, 3, 4, 5});
  bool known = false;
  for (const CatalogueEntry& entry : Catalogue()) {
    if (!service.empty() && service != entry.service) continue;
    known = true;
    options.service = entry.service;
    auto topic = kafka::OpenTopic(options, std::nullopt, *scheduler);
    if (!topic.ok()) return About(absl::StrCat("log of ", entry.service), topic.status());
    ABSL_ASSIGN_OR_RETURN(const std::vector<VoidEntry> found, VoidReader(**topic).Read());
    Show(entry.service, found, table, output);
  }
  if (!known) {
    return absl::InvalidArgumentError(absl::StrCat("no service is called '", service, "'"));
  }
  table.Print(output);
  return absl::OkStatus();
}

}  // namespace

void AddVoidCommand(CLI::App& log, CommandLine& line) {
  auto service = std::make_shared<std::string>();
  CLI::App* command = log.add_subcommand(
      "void",
      "On Kafka: what stands in the topics and never counts, and why: a fenced writer's, "
      "sent twice, behind a lost send");
  command->add_option("SERVICE", *service, "teams, clients or visits; all when left out");
  command->callback(
      Runs(line, [service](CommandLine& l, const Output& o) { return Void(l, o, *service); }));
}

}  // namespace buurtlog::command
