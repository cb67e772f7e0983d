#include "tests/simulation/damage.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/base/refusal.h"
#include "libs/eventlog/head_file.h"
#include "tests/simulation/clients.h"
#include "tests/simulation/machine.h"
#include "tests/simulation/models.h"
#include "tests/simulation/raw_log.h"

namespace buurtlog::simulation {
namespace {

using eventlog::FoldState;
using eventlog::Partition;
using sqlite::testing::AfterCrash;

class Damage {
 public:
  explicit Damage(uint64_t seed)
      : dice_(seed),
        partitions_(static_cast<uint32_t>(1 + dice_.Below(3))),
        scheduler_(dice_.Seed()),
        later_(scheduler_.NewQueue("the world", QueueKind::kCompute)),
        clock_(scheduler_),
        clients_(dice_.Seed(), clock_, report_),
        machine_("machine0", dice_.Seed(), partitions_,
                 {scheduler_, *later_, nullptr, nullptr, report_}) {}

  Report Run(uint64_t flips) {
    Fill();
    for (uint64_t i = 0; i < flips && report_.violations.empty(); ++i) FlipOne();
    report_.trace = machine_.disk().trace() * 31 + report_.flips_found;
    return report_;
  }

 private:
  void Violated(const std::string& what) {
    report_.violations.push_back(absl::StrCat(what, " [bit ", bit_, " of byte ", offset_, " of ",
                                              image_[path_].size(), " in ", path_, "]"));
  }

  void Fill() {
    if (absl::Status opened = machine_.Open(); !opened.ok()) return Violated(opened.ToString());
    scheduler_.RunUntil([&] { return machine_.started().has_value(); });
    const uint64_t acts = 20 + dice_.Below(300);
    for (uint64_t i = 0; i < acts; ++i) {
      clients_.Act(machine_);
      if (dice_.OneIn(4)) scheduler_.RunFor(dice_.UpTo(absl::Milliseconds(60)));
    }
    const absl::StatusOr<RawLog> raw = ReadRawLog(*machine_.lists().own_log);
    if (!raw.ok()) return Violated(raw.status().ToString());
    truth_ = *raw;
    if (dice_.OneIn(3)) {
      machine_.End();
    } else {
      machine_.disk().Crash();
      machine_.End();
      machine_.disk().Restart(static_cast<AfterCrash>(dice_.Below(4)));
      ++report_.crashes;
    }
    const auto heads =
        eventlog::ReadHeadFile(machine_.disk().files(), machine_.LogOptions(kLists).folder,
                               IdentityOf(kLists, partitions_));
    if (!heads.ok()) return Violated(heads.status().ToString());
    heads_ = *heads;
    image_ = machine_.disk().Image();
    // What stood in the memory of the log at the end may be more than what the disk kept of it.
    const auto whole = ReadAll(/*damaged=*/false);
    if (!whole.ok()) Violated(whole.ToString());
  }

  void PickBit() {
    const std::string folder = machine_.LogOptions(kLists).folder;
    std::vector<std::string> paths;
    for (const auto& [path, bytes] : image_) {
      if (absl::StartsWith(path, folder) && !bytes.empty()) paths.push_back(path);
    }
    path_ = paths[dice_.Below(paths.size())];
    // Half of them where files have their headers, which are small beside the rest.
    const uint64_t size = image_[path_].size();
    offset_ = dice_.Below(dice_.OneIn(2) ? size : std::min<uint64_t>(size, 4096));
    bit_ = static_cast<int>(dice_.Below(8));
  }

  void FlipOne() {
    PickBit();
    ++report_.flips;
    machine_.disk().SetImage(image_);
    machine_.disk().FlipBit(path_, offset_, bit_);
    const absl::Status read = ReadAll(/*damaged=*/true);
    if (absl::IsDataLoss(read)) {
      ++report_.flips_found;
    } else if (!read.ok() && StatusReason(read) != "NEWER_RELEASE") {
      Violated(absl::StrCat("damage was answered with ", read.ToString()));
    }
    ++report_.checks;
  }

  // Opens the log and reads it to the end; the first thing that it says is wrong.
  absl::Status ReadAll(bool damaged) {
    auto log = eventlog::SqliteEventLog::Open(machine_.LogOptions(kLists), machine_.disk().files(),
                                              scheduler_);
    if (!log.ok()) return log.status();
    absl::Status first;
    for (Partition partition = 0; partition < partitions_; ++partition) {
      const absl::Status read = ReadPartition(**log, partition, damaged);
      if (first.ok()) first = read;
    }
    return first;
  }

  absl::Status ReadPartition(eventlog::EventLog& log, Partition partition, bool damaged) {
    const std::vector<eventlog::Hash>& expected = truth_.hashes[partition];
    FoldState at = eventlog::InitialFoldState(IdentityOf(kLists, partitions_), partition);
    for (eventlog::Sequence before = 0; before != at.next;) {
      before = at.next;
      const absl::Status read = log.Read(partition, at, {}, [&](const eventlog::EntryView& entry) {
        const size_t index = entry.header.sequence - 1;
        const eventlog::Hash hash = eventlog::EntryHash(entry.header.previous_hash, entry.bytes);
        if (index >= expected.size() || expected[index] != hash) {
          Violated(absl::StrCat("partition ", partition, ", sequence ", index + 1,
                                ": what was read was never written"));
        }
        return absl::OkStatus();
      });
      if (read.ok()) continue;
      if (absl::IsDataLoss(read) &&
          !absl::StrContains(read.message(), absl::StrCat("partition ", partition, ", sequence"))) {
        Violated(absl::StrCat("DATA_LOSS without its place: ", read.ToString()));
      }
      return read;
    }
    if (at.next - 1 >= heads_[partition].sequence) return absl::OkStatus();
    if (damaged) {
      Violated(absl::StrCat("partition ", partition, " ends at ", at.next - 1,
                            "; the head file knew ", heads_[partition].sequence));
    }
    return absl::InternalError("the log is shorter than its head file");
  }

  Report report_;
  Dice dice_;
  const uint32_t partitions_;
  SimulatedScheduler scheduler_;
  std::unique_ptr<TaskQueue> later_;
  LyingClock clock_;
  Clients clients_;
  Machine machine_;
  RawLog truth_;
  std::vector<eventlog::KnownHead> heads_;
  std::map<std::string, std::string> image_;
  std::string path_;
  size_t offset_ = 0;
  int bit_ = 0;
};

}  // namespace

Report RunDamage(uint64_t seed, uint64_t flips) { return Damage(seed).Run(flips); }

}  // namespace buurtlog::simulation
