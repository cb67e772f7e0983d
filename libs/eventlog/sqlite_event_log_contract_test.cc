// The contract suite on the sqlite engine: on one simulated thread, and on the threads of the
// machine.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/check.h"
#include "libs/eventlog/event_log_contract_test.h"
#include "libs/eventlog/sqlite_event_log.h"

namespace buurtlog::eventlog {
namespace {

class SqliteEngine final : public Engine {
 public:
  SqliteEngine(const LogIdentity& identity, bool simulated) {
    if (simulated) {
      auto simulation = std::make_unique<SimulatedScheduler>(1);
      simulation_ = simulation.get();
      scheduler_ = std::move(simulation);
    } else {
      scheduler_ = NewThreadPoolScheduler(2);
    }
    std::string folder = absl::StrCat(::testing::TempDir(), "/sqlite_contract_XXXXXX");
    CHECK(mkdtemp(folder.data()) != nullptr);
    options_.folder = folder;
    CHECK(SqliteEventLog::Create(identity, options_, SystemFiles()).ok());
    Open();
  }

  ~SqliteEngine() override {
    log_.reset();
    std::filesystem::remove_all(options_.folder);
  }

  EventLog& log() override { return *log_; }
  SimulatedScheduler* simulation() override { return simulation_; }

  void Reopen() {
    log_.reset();
    Open();
  }

 private:
  void Open() {
    auto log = SqliteEventLog::Open(options_, SystemFiles(), *scheduler_);
    CHECK(log.ok());
    log_ = *std::move(log);
  }

  SqliteLogOptions options_;
  std::unique_ptr<Scheduler> scheduler_;
  SimulatedScheduler* simulation_ = nullptr;
  std::unique_ptr<SqliteEventLog> log_;
};

std::unique_ptr<Engine> MakeSimulated(const LogIdentity& identity) {
  return std::make_unique<SqliteEngine>(identity, /*simulated=*/true);
}

std::unique_ptr<Engine> MakeThreaded(const LogIdentity& identity) {
  return std::make_unique<SqliteEngine>(identity, /*simulated=*/false);
}

void Reopen(Engine& engine) { static_cast<SqliteEngine&>(engine).Reopen(); }

const auto kEngines = ::testing::Values(EngineFactory{"simulated", &MakeSimulated, &Reopen},
                                        EngineFactory{"threads", &MakeThreaded, &Reopen});
INSTANTIATE_TEST_SUITE_P(Sqlite, EventLogContractTest, kEngines, EngineName);
INSTANTIATE_TEST_SUITE_P(Sqlite, EventLogReopenTest, kEngines, EngineName);

}  // namespace
}  // namespace buurtlog::eventlog
