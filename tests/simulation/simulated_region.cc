#include "tests/simulation/simulated_region.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "tests/simulation/machine.h"
#include "tests/simulation/models.h"

namespace buurtlog::simulation {
namespace {

using eventlog::Partition;

constexpr absl::Duration kHandingMax = absl::Milliseconds(3);
// A caller misses an owner that does not answer by the pings of its connection.
constexpr absl::Duration kMissedAfter = absl::Seconds(2);
constexpr absl::Duration kProposalMax = absl::Seconds(1);

}  // namespace

// Calls that are lost, answered to nobody, or come when the caller has given them up.
class SimulatedRegion::Forwarder final : public eventsourcing::CommandForwarder {
 public:
  Forwarder(SimulatedRegion& region, Machine& from, std::string service)
      : region_(region), from_(from), service_(std::move(service)) {}

  void Forward(const std::string& owner, log::v1::HandedCommand command, absl::Time deadline,
               eventsourcing::CommandDone done) override {
    ++region_.report_.handed;
    Dice& dice = region_.dice_;
    TaskQueue& later = region_.later_;
    const auto answer = [done = std::make_shared<eventsourcing::CommandDone>(std::move(done))](
                            absl::StatusOr<type::v1::Receipt> receipt) {
      if (*done != nullptr) std::exchange(*done, nullptr)(std::move(receipt));
    };
    later.PostAfter(kMissedAfter,
                    [answer] { answer(absl::UnavailableError("the owner does not answer")); });
    const bool fails = from_.link().one_in > 0 && dice.OneIn(from_.link().one_in);
    const uint64_t fault = fails ? dice.Below(3) : 3;
    if (fault == 0 || from_.link().cut) return;  // lost on the way
    const bool hears = fault != 1;
    const absl::Duration trip = dice.UpTo(fault == 2 ? 2 * kMissedAfter : kHandingMax);
    later.PostAfter(trip, [this, owner, command = std::move(command), deadline, answer, hears] {
      Machine* const target = TargetOf(owner);
      if (target == nullptr) return answer(absl::UnavailableError("connection refused"));
      target->link().Pass([this, target, life = target->life(), command, deadline, answer, hears] {
        if (target->life() == life) Arrive(*target, command, deadline, answer, hears);
      });
    });
  }

 private:
  Machine* TargetOf(const std::string& owner) const {
    for (Machine* const machine : region_.Serving()) {
      if (machine->name() == owner && !machine->link().cut) return machine;
    }
    return nullptr;
  }
  template <typename Heard>
  void Arrive(Machine& target, const log::v1::HandedCommand& command, absl::Time deadline,
              const Heard& answer, bool hears) {
    target.service(service_).executor->ExecuteHanded(
        command, deadline,
        [&region = region_, &from = from_, &target, life = target.life(), answer,
         hears](absl::StatusOr<type::v1::Receipt> receipt) {
          // Nothing comes from a machine that is gone.
          if (!hears || target.life() != life || target.disk().crashed()) return;
          if (target.link().cut || from.link().cut) return;
          region.later_.PostAfter(region.dice_.UpTo(kHandingMax),
                                  [answer, receipt = std::move(receipt)] { answer(receipt); });
        });
  }

  SimulatedRegion& region_;
  Machine& from_;
  const std::string service_;
};

SimulatedRegion::SimulatedRegion(uint32_t partitions, Scheduler& scheduler, TaskQueue& later,
                                 uint64_t seed, Report& report)
    : partitions_(partitions), later_(later), dice_(seed), report_(report) {
  for (const char* service : {kLists, kCopies}) {
    topics_.emplace(std::piecewise_construct, std::forward_as_tuple(service),
                    std::forward_as_tuple(IdentityOf(service, partitions), scheduler, later,
                                          dice_.Seed(), report));
    proposed_[service].resize(partitions);
  }
}

SimulatedTopic& SimulatedRegion::topic(const std::string& service) { return topics_.at(service); }

void SimulatedRegion::Add(Machine& machine) { machines_.push_back(&machine); }

std::unique_ptr<eventsourcing::CommandForwarder> SimulatedRegion::NewForwarder(
    Machine& machine, const std::string& service) {
  return std::make_unique<Forwarder>(*this, machine, service);
}

std::vector<Machine*> SimulatedRegion::Serving() const {
  std::vector<Machine*> serving;
  for (Machine* const machine : machines_) {
    if (machine->is_open() && !machine->disk().crashed() && machine->started().has_value() &&
        machine->started()->ok()) {
      serving.push_back(machine);
    }
  }
  return serving;
}

void SimulatedRegion::Propose() {
  const std::vector<Machine*> serving = Serving();
  if (serving.empty()) return;
  for (auto& [service, owners] : proposed_) {
    std::map<Machine*, std::vector<Partition>> assigned;
    for (Machine* const machine : serving) assigned[machine] = {};
    for (Partition partition = 0; partition < partitions_; ++partition) {
      Machine*& owner = owners[partition];
      const bool serves = std::find(serving.begin(), serving.end(), owner) != serving.end();
      if (!serves || dice_.OneIn(4)) owner = serving[dice_.Below(serving.size())];
      assigned[owner].push_back(partition);
      Machine* const second = serving[dice_.Below(serving.size())];
      if (second != owner && dice_.OneIn(10)) assigned[second].push_back(partition);
    }
    // In the order of the machines, not of their addresses.
    for (Machine* const machine : serving) {
      later_.PostAfter(
          dice_.UpTo(kProposalMax),
          [machine, service = service, life = machine->life(), partitions = assigned[machine]] {
            if (machine->life() != life) return;
            machine->service(service).executor->Assign(partitions);
          });
    }
  }
}

void SimulatedRegion::Settle() {
  const std::vector<Machine*> serving = Serving();
  for (auto& [service, owners] : proposed_) {
    for (size_t i = 0; i < serving.size(); ++i) {
      std::vector<Partition> partitions;
      for (Partition partition = 0; partition < partitions_; ++partition) {
        if (partition % serving.size() == i) partitions.push_back(partition);
      }
      serving[i]->service(service).executor->Assign(partitions);
    }
  }
}

}  // namespace buurtlog::simulation
