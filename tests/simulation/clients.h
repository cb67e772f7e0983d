// Callers of a simulation, and all they do wrong: they repeat commands under their key, use a key
// for another command, expect a wrong version, ask for what a rule refuses, rehearse, set short
// deadlines, and do not hear their answers.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "libs/base/random.h"
#include "tests/simulation/dice.h"
#include "tests/simulation/ledger.h"
#include "tests/simulation/machine.h"
#include "tests/simulation/models.h"
#include "tests/simulation/raw_log.h"
#include "tests/simulation/report.h"

namespace buurtlog::simulation {

class Clients {
 public:
  // All outlive the clients, and the clients every task of the scheduler.
  Clients(uint64_t seed, Clock& clock, Report& report);

  // One thing that some caller does now with `machine`, which is open.
  void Act(Machine& machine);
  // A command on a new list that nobody keeps account of.
  void SendUnwatched(Machine& machine);
  // Sends again what has no answer for good, up to `count`; the number sent.
  size_t RepeatUnanswered(Machine& machine, size_t count);
  // Everything that is not answered yet from the first to the last; used by RepeatUnanswered.
  void StartRepeating() { next_repeated_ = 0; }

  // Commands on their way.
  size_t under_way() const { return under_way_; }
  // What callers were answered and shown agrees with what stands in the log of `lists`.
  absl::Status Check(const RawLog& log) const;

 private:
  void SendNew(Machine& machine);
  void SendWithUsedKey(Machine& machine);
  void Send(Machine& machine, Wish& wish);
  void AskListModel(Machine& machine);
  void AskCopyModel(Machine& machine);
  void AskState(Machine& machine);
  Uuid PickList();
  Wish* PickReceipt();
  eventsourcing::Command CommandOf(Machine& machine, const Wish& wish);
  void Violated(const absl::Status& status);
  // A list was shown with so many texts, whose mix is this.
  void Shown(const Uuid& list, const ListRow& row);

  Dice dice_;
  Clock& clock_;
  SeededRandom random_;
  Report& report_;
  Ledger ledger_;
  std::vector<Uuid> actors_;
  std::vector<Uuid> lists_;
  std::map<Uuid, std::map<int64_t, int64_t>> shown_;  // of each list, mix by number of texts
  uint64_t next_text_ = 0;
  size_t next_repeated_ = 0;
  size_t under_way_ = 0;
};

}  // namespace buurtlog::simulation
