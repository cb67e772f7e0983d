// A world of clients, machines and faults on one seeded scheduler, which crashes again and again;
// and what must hold in it whatever happens.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "tests/simulation/clients.h"
#include "tests/simulation/machine.h"
#include "tests/simulation/raw_log.h"
#include "tests/simulation/report.h"

namespace buurtlog::simulation {

struct WorldOptions {
  uint64_t seed = 1;
  Engine engine = Engine::kSqlite;
  uint64_t crashes = 40;  // then the world is mended, and everything is asked once more
};

// Runs one world to its end, or to the first thing that does not hold.
Report RunWorld(const WorldOptions& options);

class World {
 public:
  explicit World(const WorldOptions& options);
  ~World();
  Report Run();

 private:
  // What is to become of a machine in the life that begins now.
  struct Fate {
    enum class End { kInOperation, kBetweenTasks, kStopped };
    End end = End::kInOperation;
    uint64_t steps = 0;
    bool checked = false;  // once it served
  };
  struct Inhabitant {
    std::unique_ptr<Machine> machine;
    Fate fate;
  };

  bool Broken() const { return !report_.violations.empty(); }
  void Violated(const absl::Status& status);
  void RunTasks(uint64_t count);

  void BeginLife(Inhabitant& inhabitant);
  void EndLife(Inhabitant& inhabitant);
  void CrashNow(Inhabitant& inhabitant);
  void RemoveSomething(Machine& machine);
  void LookAfter(Inhabitant& inhabitant);
  void StartFailed(Inhabitant& inhabitant, const absl::Status& why);
  void Step();
  void MakeTrouble(Inhabitant& inhabitant);
  void Hang(Machine& machine);
  void TryASecondOwner(Machine& machine);

  // Everything that holds at any moment between two tasks at which `machine` serves.
  void Check(Machine& machine);
  absl::StatusOr<RawLog> LogOf(Machine& machine, Machine::Service& service);
  absl::Status CheckModels(Machine& machine, const RawLog& lists, const RawLog& copies);

  // The end: no more faults, everything is repeated until it is answered, and followed to the end.
  void Mend();
  bool StartAll();
  void RepeatEverything();
  void CheckTheEnd();
  // Every replica of the kafka engine has read all of each topic.
  absl::Status CheckReplicasAgree();
  // The end of a topic is lost, and each replica that has read it must notice.
  void CheckALostTailIsFound();
  void ExpectLossFound(Machine& machine);
  absl::Status CheckCopies(const RawLog& lists, const RawLog& copies);

  const WorldOptions options_;
  Dice dice_;
  Report report_;
  SimulatedScheduler scheduler_;
  std::unique_ptr<TaskQueue> later_;
  LyingClock true_clock_;
  absl::Duration furthest_ahead_;
  std::unique_ptr<SharedLogs> shared_;
  std::unique_ptr<SimulatedRegion> region_;
  Clients clients_;
  std::vector<Inhabitant> inhabitants_;
  RawLog seen_lists_;
  RawLog seen_copies_;
};

}  // namespace buurtlog::simulation
