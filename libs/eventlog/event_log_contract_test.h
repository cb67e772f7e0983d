// The contract of event_log.h as a test suite. An engine runs it with one instantiation in its own
// test:
//
//   INSTANTIATE_TEST_SUITE_P(Memory, EventLogContractTest,
//                            ::testing::Values(EngineFactory{"memory", &MakeMemoryEngine}),
//                            EngineName);
//
// What is promised in event_log.h and not tried here does not exist.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/scheduler.h"
#include "libs/eventlog/event_log.h"

namespace buurtlog::eventlog {

// One log of an engine, new and open. Owns the log, its scheduler and the folder it may need;
// removes them when destroyed.
class Engine {
 public:
  virtual ~Engine() = default;
  virtual EventLog& log() = 0;
  // The scheduler on which the log runs when it is a simulated one, else null: then the suite waits
  // for threads.
  virtual SimulatedScheduler* simulation() = 0;
};

struct EngineFactory {
  std::string name;
  // Makes an empty log with the given identity.
  std::unique_ptr<Engine> (*make)(const LogIdentity& identity) = nullptr;
  // Closes the log of an engine that `make` made and opens it again. Only for EventLogReopenTest.
  void (*reopen)(Engine& engine) = nullptr;

  friend std::ostream& operator<<(std::ostream& to, const EngineFactory& factory) {
    return to << factory.name;
  }
};

inline std::string EngineName(const ::testing::TestParamInfo<EngineFactory>& info) {
  return info.param.name;
}

// Records that count at `chain`, which moves on.
std::vector<std::string> Chained(Partition partition, FoldState& chain,
                                 const std::vector<std::string>& bodies);

class EventLogContractTest : public ::testing::TestWithParam<EngineFactory> {
 protected:
  // The answer to a call that is under way.
  template <typename T>
  struct Answer {
    bool arrived = false;
    T value;
  };

  // An entry as a reader saw it.
  struct Seen {
    EntryKind kind = EntryKind::kRecord;
    Sequence sequence = 0;
    std::string bytes;
    std::string body;
    Hash hash;
  };

  EventLogContractTest();

  EventLog& log() { return engine_->log(); }

  // Waits until `done`, which is called with the lock of the answers held. False when that does not
  // come to be.
  bool WaitUntil(absl::FunctionRef<bool()> done);

  // Begins an epoch and waits for it.
  absl::StatusOr<FoldState> Begin(Partition partition, const std::string& owner = "owner");

  // Starts an append; the answer arrives later.
  std::shared_ptr<Answer<absl::Status>> StartAppend(Partition partition, Epoch epoch,
                                                    std::vector<std::string> entries);
  absl::Status Wait(const std::shared_ptr<Answer<absl::Status>>& answer);
  // Starts one and waits for it.
  absl::Status Append(Partition partition, Epoch epoch, std::vector<std::string> entries);

  // Reads on from `at` to the end. The test fails when that does.
  std::vector<Seen> ReadAll(Partition partition, FoldState at);
  std::vector<Seen> ReadAll(Partition partition);
  // Bodies of the records among all entries.
  std::vector<std::string> Bodies(Partition partition);
  absl::Status TryRead(Partition partition, FoldState at);

  static LogIdentity Identity();

  absl::Mutex mutex_;  // guards every answer
  std::unique_ptr<Engine> engine_;
};

// What an engine that keeps its log promises besides; instantiated for such engines only.
class EventLogReopenTest : public EventLogContractTest {
 protected:
  void Reopen() { GetParam().reopen(*engine_); }
};

}  // namespace buurtlog::eventlog
