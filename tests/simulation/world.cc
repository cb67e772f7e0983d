#include "tests/simulation/world.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/refusal.h"
#include "tests/simulation/models.h"

namespace buurtlog::simulation {
namespace {

using sqlite::testing::AfterCrash;

// Most lives are short; one in four may last longer.
constexpr uint64_t kStepsMax = 30;
constexpr uint64_t kStepsOfLongLifeMax = 120;
constexpr uint64_t kOperationsMax = 150;  // of the disk, before it crashes in the middle of one
constexpr uint64_t kOperationsOfLongLifeMax = 800;
constexpr uint64_t kTasksPerStepMax = 24;  // of the scheduler
constexpr absl::Duration kWaitMax = absl::Seconds(30);

std::unique_ptr<SharedLogs> NewSharedLogs(uint32_t partitions, SimulatedScheduler& scheduler) {
  auto logs = std::make_unique<SharedLogs>();
  logs->lists =
      std::make_unique<eventlog::MemoryEventLog>(IdentityOf(kLists, partitions), scheduler);
  logs->copies =
      std::make_unique<eventlog::MemoryEventLog>(IdentityOf(kCopies, partitions), scheduler);
  return logs;
}

}  // namespace

Report RunWorld(const WorldOptions& options) { return World(options).Run(); }

World::World(const WorldOptions& options)
    : options_(options),
      dice_(options.seed),
      scheduler_(dice_.Seed()),
      later_(scheduler_.NewQueue("the world", QueueKind::kCompute)),
      true_clock_(scheduler_),
      clients_(dice_.Seed(), true_clock_, report_) {
  const auto partitions = static_cast<uint32_t>(1 + dice_.Below(3));
  uint64_t machines = 1;
  if (options.engine == Engine::kMemory) {
    shared_ = NewSharedLogs(partitions, scheduler_);
    machines = 1 + dice_.Below(2);
  }
  if (options.engine == Engine::kKafka) {
    region_ =
        std::make_unique<SimulatedRegion>(partitions, scheduler_, *later_, dice_.Seed(), report_);
    machines = 2 + dice_.Below(2);
  }
  for (uint64_t i = 0; i < machines; ++i) {
    inhabitants_.push_back(
        {std::make_unique<Machine>(
             absl::StrCat("machine", i), dice_.Seed(), partitions,
             Machine::Parts{scheduler_, *later_, shared_.get(), region_.get(), report_}),
         {}});
  }
}

World::~World() {
  for (Inhabitant& inhabitant : inhabitants_) inhabitant.machine->End();
}

void World::Violated(const absl::Status& status) {
  if (!status.ok()) report_.violations.push_back(status.ToString());
}

Report World::Run() {
  while (report_.crashes < options_.crashes && !Broken()) {
    for (Inhabitant& inhabitant : inhabitants_) LookAfter(inhabitant);
    if (!Broken()) Step();
  }
  if (!Broken()) Mend();
  for (Inhabitant& inhabitant : inhabitants_) {
    report_.trace = report_.trace * 31 + inhabitant.machine->disk().trace();
  }
  report_.trace = report_.trace * 31 + report_.commands * 7 + report_.answers;
  return report_;
}

void World::RunTasks(uint64_t count) {
  scheduler_.RunUntil([&] {
    return count-- == 0 || Broken() ||
           std::any_of(inhabitants_.begin(), inhabitants_.end(), [](const Inhabitant& one) {
             return one.machine->is_open() && one.machine->disk().crashed();
           });
  });
}

// ---- life and death

void World::BeginLife(Inhabitant& inhabitant) {
  Machine& machine = *inhabitant.machine;
  inhabitant.fate = {};
  machine.link().cut = machine.link().cut && dice_.OneIn(2);
  const bool long_life = dice_.OneIn(4);
  inhabitant.fate.steps = 1 + dice_.Below(long_life ? kStepsOfLongLifeMax : kStepsMax);
  const uint64_t end = dice_.Below(10);
  inhabitant.fate.end = end < 6   ? Fate::End::kInOperation
                        : end < 9 ? Fate::End::kBetweenTasks
                                  : Fate::End::kStopped;
  if (inhabitant.fate.end == Fate::End::kInOperation) {
    inhabitant.fate.steps = 100 * kStepsOfLongLifeMax;
    machine.disk().CrashAfter(1 +
                              dice_.Below(long_life ? kOperationsOfLongLifeMax : kOperationsMax));
  }
  machine.SetLogFaults(dice_.OneIn(2) ? 0 : 8 + dice_.Below(60));
  const absl::Duration slow =
      dice_.OneIn(8) ? dice_.UpTo(absl::Milliseconds(400)) : dice_.UpTo(absl::Milliseconds(2));
  machine.disk().OnSync([this, slow] { scheduler_.PassTime(slow); });
  const absl::Status opened = machine.Open();
  if (opened.ok() || machine.disk().crashed()) return;
  StartFailed(inhabitant, opened);
}

// Some starts may fail: the disk was full or failing, or the clock behind the newest record.
void World::StartFailed(Inhabitant& inhabitant, const absl::Status& why) {
  ++report_.starts_failed;
  Machine& machine = *inhabitant.machine;
  if (StatusReason(why) == "CLOCK_BEHIND") {
    machine.clock().SetAhead(furthest_ahead_);
  } else if (!absl::IsResourceExhausted(why) && !absl::IsUnavailable(why)) {
    return Violated(absl::Status(why.code(), absl::StrCat("a start failed: ", why.message())));
  }
  EndLife(inhabitant);
}

void World::EndLife(Inhabitant& inhabitant) {
  inhabitant.machine->End();
  if (inhabitant.machine->disk().crashed()) {
    const uint64_t after = dice_.Below(4);
    ++report_.crashes;
    ++report_.after_crash[after];
    inhabitant.machine->disk().Restart(static_cast<AfterCrash>(after));
  } else {
    ++report_.stops;
    inhabitant.machine->disk().SetRoom(INT64_MAX);
    inhabitant.machine->disk().Restart(AfterCrash::kAll);
  }
  if (dice_.OneIn(8)) RemoveSomething(*inhabitant.machine);
}

// Whatever is no log may be thrown away.
void World::RemoveSomething(Machine& machine) {
  ++report_.faults;
  Files& files = machine.disk().files();
  const std::string copies = machine.FolderOf(kCopies);
  const std::string databases[] = {
      machine.FolderOf(kLists) + "/state.db", copies + "/state.db",
      copies + "/read_models/lists-1.db",     copies + "/read_models/copies-1.db",
      copies + "/processes/copy_lists.db",
  };
  const std::string& path = databases[dice_.Below(std::size(databases))];
  for (const char* part : {"", "-wal", "-shm"}) files.Remove(path + part).IgnoreError();
}

void World::CrashNow(Inhabitant& inhabitant) {
  inhabitant.machine->disk().Crash();
  EndLife(inhabitant);
}

void World::LookAfter(Inhabitant& inhabitant) {
  Machine& machine = *inhabitant.machine;
  if (!machine.is_open()) return BeginLife(inhabitant);
  if (machine.disk().crashed()) {
    ++report_.crashes_in_operation;
    return EndLife(inhabitant);
  }
  const std::optional<absl::Status> started = machine.started();
  if (started.has_value() && !started->ok()) return StartFailed(inhabitant, *started);
  if (started.has_value() && (!inhabitant.fate.checked || dice_.OneIn(60))) {
    inhabitant.fate.checked = true;
    Check(machine);
  }
  if (--inhabitant.fate.steps > 0) return;
  if (inhabitant.fate.end == Fate::End::kStopped) {
    EndLife(inhabitant);
  } else {
    CrashNow(inhabitant);
  }
}

void World::Step() {
  Inhabitant& inhabitant = inhabitants_[dice_.Below(inhabitants_.size())];
  if (inhabitant.machine->is_open() && !inhabitant.machine->disk().crashed()) {
    if (dice_.OneIn(12)) {
      MakeTrouble(inhabitant);
    } else {
      const uint64_t acts = 1 + dice_.Below(3);
      for (uint64_t i = 0; i < acts; ++i) clients_.Act(*inhabitant.machine);
    }
  }
  if (region_ != nullptr && dice_.OneIn(20)) region_->Propose();
  RunTasks(dice_.Below(kTasksPerStepMax));
}

void World::MakeTrouble(Inhabitant& inhabitant) {
  ++report_.faults;
  Machine& machine = *inhabitant.machine;
  switch (dice_.Below(9)) {
    case 0: return machine.disk().SetRoom(static_cast<int64_t>(dice_.Below(30'000)));
    case 1: return machine.disk().SetRoom(INT64_MAX);
    case 2: return machine.disk().FailSyncs(static_cast<int>(1 + dice_.Below(3)));
    case 3: {
      const absl::Duration ahead =
          dice_.UpTo(absl::Minutes(dice_.OneIn(4) ? 20 : 1)) - absl::Seconds(20);
      furthest_ahead_ = std::max(furthest_ahead_, ahead);
      return machine.clock().SetAhead(ahead);
    }
    case 4: return machine.SetLogFaults(dice_.OneIn(2) ? 0 : 8 + dice_.Below(60));
    case 5: return machine.list_model().Rebuild([](const auto&) {});
    case 6: return TryASecondOwner(machine);
    case 7:
      if (shared_ != nullptr) {
        shared_->lists->InjectFault(static_cast<eventlog::MemoryFault>(dice_.Below(7)));
        shared_->copies->InjectFault(static_cast<eventlog::MemoryFault>(dice_.Below(7)));
        if (dice_.OneIn(2)) shared_->lists->ReleaseLate();
      } else if (region_ != nullptr) {
        machine.link().cut = !machine.link().cut;
      }
      return;
    default: return Hang(machine);
  }
}

// A process that hangs, and then goes on as if it were still the owner.
void World::Hang(Machine& machine) {
  if (region_ != nullptr) {
    machine.link().Hold();
  } else {
    machine.lists().log->Hold();
  }
  later_->PostAfter(dice_.UpTo(absl::Seconds(10)), [&machine, life = machine.life()] {
    if (machine.life() != life) return;
    machine.link().LetGo();
    machine.lists().log->LetGo();
  });
}

void World::TryASecondOwner(Machine& machine) {
  if (shared_ != nullptr || region_ != nullptr) return;
  const auto second = eventlog::SqliteEventLog::Open(machine.LogOptions(kLists),
                                                     machine.disk().files(), scheduler_);
  if (machine.disk().crashed() || StatusReason(second.status()) == "DATA_FOLDER_IN_USE") return;
  Violated(absl::InternalError(
      absl::StrCat("a second owner of a folder: ", second.status().ToString())));
}

// ---- the end

void World::Mend() {
  for (Inhabitant& inhabitant : inhabitants_) {
    Machine& machine = *inhabitant.machine;
    machine.disk().CrashAfter(UINT64_MAX - machine.disk().operations());
    machine.disk().SetRoom(INT64_MAX);
    machine.disk().FailSyncs(0);
    machine.disk().OnSync(nullptr);
    machine.SetLogFaults(0);
    machine.clock().SetAhead(furthest_ahead_);
    if (machine.is_open() && machine.disk().crashed()) EndLife(inhabitant);
    machine.link().cut = false;
    machine.link().LetGo();
    if (machine.is_open()) machine.lists().log->LetGo();
  }
  if (!StartAll()) return;
  if (region_ != nullptr) {
    scheduler_.RunFor(kWaitMax);  // proposals that are on their way come first
    region_->Settle();
  }
  RepeatEverything();
  if (!Broken()) CheckTheEnd();
}

// Machines that do not serve are started again; true when all do.
bool World::StartAll() {
  for (int tries = 0; tries < 10 && !Broken(); ++tries) {
    bool all = true;
    for (Inhabitant& inhabitant : inhabitants_) {
      Machine& machine = *inhabitant.machine;
      if (machine.is_open() && machine.started().has_value() && !machine.started()->ok()) {
        StartFailed(inhabitant, *machine.started());
      }
      if (!machine.is_open()) Violated(machine.Open());
      all = all && machine.started().has_value() && machine.started()->ok();
    }
    if (all) return true;
    scheduler_.RunFor(kWaitMax);
  }
  Violated(absl::InternalError("a machine does not start"));
  return false;
}

void World::RepeatEverything() {
  for (int round = 0; round < 4 && !Broken(); ++round) {
    clients_.StartRepeating();
    size_t sent = 0;
    do {
      Machine& machine = *inhabitants_[dice_.Below(inhabitants_.size())].machine;
      sent = clients_.RepeatUnanswered(machine, 40);
      scheduler_.RunFor(kWaitMax);
    } while (sent > 0 && !Broken());
  }
  if (clients_.under_way() > 0) {
    Violated(
        absl::InternalError(absl::StrCat(clients_.under_way(), " commands were never answered")));
  }
}

}  // namespace buurtlog::simulation
