#include "tools/buurtlog/accept_command.h"

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/base/about.h"
#include "libs/base/files.h"
#include "libs/base/scheduler.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/head_file.h"
#include "libs/eventlog/identity_file.h"
#include "libs/eventlog/journal.h"
#include "libs/eventlog/journal_recovery.h"
#include "libs/eventlog/sqlite_event_log.h"
#include "libs/eventsourcing/follower_check.h"
#include "tools/buurtlog/catalogue.h"

namespace buurtlog::command {
namespace {

using eventlog::KnownHead;
using eventlog::LogReader;
using eventlog::Partition;

eventlog::SqliteLogOptions OptionsOf(const std::string& data_folder, const std::string& service) {
  eventlog::SqliteLogOptions options;
  options.folder = absl::StrCat(data_folder, "/", service, "/log");
  options.accept_shortened = true;
  return options;
}

// For reading only as long as nothing is to be changed; a writer holds the lock of its log.
absl::StatusOr<std::unique_ptr<LogReader>> Open(const eventlog::SqliteLogOptions& options,
                                                bool accept, Scheduler& scheduler) {
  if (!accept) return eventlog::SqliteEventLog::OpenReader(options, SystemFiles(), scheduler);
  ABSL_ASSIGN_OR_RETURN(std::unique_ptr<LogReader> log,
                        eventlog::SqliteEventLog::Open(options, SystemFiles(), scheduler));
  return log;
}

// Every entry from the first: what is damaged before its end is not a shortened log.
absl::Status ReadWhole(LogReader& log) {
  for (Partition p = 0; p < log.identity().partitions; ++p) {
    eventlog::FoldState at = eventlog::InitialFoldState(log.identity(), p);
    for (uint64_t before = 0; at.next != before;) {
      before = at.next;
      ABSL_RETURN_IF_ERROR(log.Read(p, at, {.entries_max = 65'536, .bytes_max = 32 << 20},
                                    [](const eventlog::EntryView&) { return absl::OkStatus(); }));
    }
  }
  return absl::OkStatus();
}

struct Lost {
  std::string what;
  nlohmann::json json;
};

// What the head file or a batch of the journal knows, as they were before the log was opened, and
// the log does not hold.
absl::StatusOr<std::vector<Lost>> LostOf(LogReader& log, const std::string& folder,
                                         const std::vector<eventlog::Sequence>& in_journal) {
  const std::string& service = log.identity().service;
  std::vector<Lost> lost;
  for (Partition p = 0; p < in_journal.size(); ++p) {
    ABSL_ASSIGN_OR_RETURN(const eventlog::FoldState head, log.Head(p));
    const eventlog::Sequence end = head.next - 1;
    if (in_journal[p] <= end) continue;
    lost.push_back(
        {absl::StrCat(service, ": partition ", p, " ends at ", end, "; the journal goes to ",
                      in_journal[p], ", and what stands before that is missing or damaged"),
         {{"service", service},
          {"partition", p},
          {"ends_at", end},
          {"journal_goes_to", in_journal[p]}}});
  }
  const auto known = eventlog::ReadHeadFile(SystemFiles(), folder, log.identity());
  if (!known.ok()) {
    lost.push_back(
        {absl::StrCat(service, ": what was lost is not known: ", known.status().message()),
         {{"service", service}}});
    return lost;
  }
  for (Partition p = 0; p < log.identity().partitions; ++p) {
    ABSL_ASSIGN_OR_RETURN(const eventlog::FoldState head, log.Head(p));
    const KnownHead& was = (*known)[p];
    const eventlog::Sequence end = head.next - 1;
    if (was.sequence < end || was == KnownHead{end, head.head_hash}) continue;
    lost.push_back({absl::StrCat(service, ": partition ", p, " ends at ", end,
                                 "; it was known to go to ", was.sequence),
                    {{"service", service},
                     {"partition", p},
                     {"ends_at", end},
                     {"was_known_to_go_to", was.sequence}}});
  }
  return lost;
}

// The journal holds the newest entries, so a file of it that is gone is a lost end.
std::vector<std::string> MissingJournals(const std::string& folder) {
  std::vector<std::string> missing;
  for (size_t i = 0; i < eventlog::kJournalFiles; ++i) {
    std::string path = eventlog::JournalPath(folder, i);
    if (!SystemFiles().Exists(path)) missing.push_back(std::move(path));
  }
  return missing;
}

absl::StatusOr<std::vector<eventlog::Sequence>> InJournal(const eventlog::SqliteLogOptions& options,
                                                          const std::string& service) {
  auto identity = eventlog::ReadIdentityFile(SystemFiles(), options.folder);
  if (!identity.ok()) return About(absl::StrCat("log of ", service), identity.status());
  return eventlog::NewestInJournal(options, *identity, SystemFiles());
}

absl::Status Accept(CommandLine& line, const Output& output, bool accept) {
  const std::unique_ptr<Scheduler> scheduler = NewThreadPoolScheduler();
  std::vector<std::unique_ptr<LogReader>> logs;
  std::vector<LogReader*> readers;
  size_t found = 0;
  for (const CatalogueEntry& entry : Catalogue()) {
    const auto options = OptionsOf(line.data_folder, entry.service);
    const std::vector<std::string> missing = MissingJournals(options.folder);
    for (const std::string& path : missing) {
      ++found;
      output.Line(absl::StrCat("  ", path, " is missing"));
      output.JsonText(nlohmann::json{{"file", path}, {"reason", "missing"}}.dump());
    }
    // Without it a log cannot be read, only opened for writing.
    if (!missing.empty() && !accept) continue;
    ABSL_ASSIGN_OR_RETURN(const std::vector<eventlog::Sequence> in_journal,
                          InJournal(options, entry.service));
    auto log = Open(options, accept, *scheduler);
    if (!log.ok()) return About(absl::StrCat("log of ", entry.service), log.status());
    if (absl::Status whole = ReadWhole(**log); !whole.ok()) {
      return About(absl::StrCat("log of ", entry.service, ", which is damaged before its end"),
                   whole);
    }
    ABSL_ASSIGN_OR_RETURN(const std::vector<Lost> lost, LostOf(**log, options.folder, in_journal));
    for (const Lost& one : lost) {
      ++found;
      output.Line(absl::StrCat("  ", one.what));
      output.JsonText(one.json.dump());
    }
    // What was known before stays, for whoever wants to know.
    auto heads = SystemFiles().Read(options.folder + "/heads");
    if (accept && !lost.empty() && heads.ok()) {
      ABSL_RETURN_IF_ERROR(SystemFiles().WriteAtomically(options.folder + "/heads.before", *heads));
    }
    readers.push_back(log->get());
    logs.push_back(*std::move(log));
  }
  for (const CatalogueEntry& entry : Catalogue()) {
    ABSL_ASSIGN_OR_RETURN(
        const auto followers,
        eventsourcing::FollowersAhead(absl::StrCat(line.data_folder, "/", entry.service),
                                      entry.service, readers));
    for (const eventsourcing::FollowerAhead& follower : followers) {
      ++found;
      output.Line(absl::StrCat("  ", follower.path, accept ? " is" : " would be",
                               " folded anew: ", follower.reason));
      output.JsonText(nlohmann::json{{"file", follower.path}, {"reason", follower.reason}}.dump());
      if (accept) ABSL_RETURN_IF_ERROR(eventsourcing::RemoveFollower(follower.path));
    }
  }
  // The writers leave new head files behind.
  logs.clear();
  if (found == 0) {
    output.Line("nothing is missing");
  } else {
    output.Line(accept ? "accepted; the system can be started"
                       : "nothing was changed; `--yes` accepts the loss");
  }
  return absl::OkStatus();
}

}  // namespace

void AddAcceptCommand(CLI::App& log, CommandLine& line) {
  auto yes = std::make_shared<bool>(false);
  CLI::App* accept = log.add_subcommand(
      "accept-shortened",
      "What logs have lost at their ends, on a stopped data folder; with --yes, accept it: the "
      "logs go on where they end, and what was folded from the lost entries is folded anew");
  accept->add_flag("--yes", *yes, "Accept the loss; without it nothing is changed");
  accept->callback(
      Runs(line, [yes](CommandLine& l, const Output& o) { return Accept(l, o, *yes); }));
}

}  // namespace buurtlog::command
