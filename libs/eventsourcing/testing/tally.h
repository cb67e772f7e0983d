// A read model that counts, and a runner that folds two memory logs into it: what the tests of
// following and of rebuilding share. Header only; for tests.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/base/clock.h"
#include "libs/base/scheduler.h"
#include "libs/base/status_macros.h"
#include "libs/eventsourcing/projection_runner.h"
#include "libs/eventsourcing/testing/log_writer.h"

namespace buurtlog::eventsourcing::testing {

// What the model does is decided by the test that owns this.
struct Behaviour {
  bool broken = false;    // cannot apply a flag
  int64_t pages_max = 0;  // the file may have; 0 is no limit
};

// Counts, so that nothing can be applied twice unnoticed: a tally of each stream, and every event
// of numbers and texts.
class Tally final : public ReadModel {
 public:
  explicit Tally(const Behaviour& behaviour,
                 std::vector<std::string> services = {"visits", "clients"}, uint32_t version = 1,
                 const std::string& more_ddl = "")
      : behaviour_(behaviour) {
    spec_.name = "tally";
    spec_.schema_version = version;
    spec_.services = std::move(services);
    spec_.ddl =
        "CREATE TABLE tally(stream TEXT PRIMARY KEY, events INTEGER NOT NULL, sum REAL NOT NULL, "
        "note TEXT) WITHOUT ROWID;" +
        more_ddl;
    spec_.tables = {{"tally", {"stream", "events", "sum"}, {"note"}, "stream"}};
    spec_.query_indexes = "CREATE INDEX tally_by_events ON tally(events);";
  }
  const ReadModelSpec& spec() const override { return spec_; }
  absl::Status Apply(const EventEnvelope& envelope, const google::protobuf::Message& event,
                     sqlite::Connection& rows) override {
    const auto& value = static_cast<const Value&>(event);
    ABSL_RETURN_IF_ERROR(rows.Execute(
        absl::StrCat("PRAGMA max_page_count = ",
                     behaviour_.pages_max > 0 ? behaviour_.pages_max : int64_t{1} << 30)));
    ABSL_RETURN_IF_ERROR(
        rows.Cached("INSERT INTO tally(stream, events, sum) VALUES(?1, 1, ?2) "
                    "ON CONFLICT DO UPDATE SET events = events + 1, sum = sum * 2 + excluded.sum")
            .Bind(1, std::string_view(envelope.stream.ToString()))
            .Bind(2, value.number_value())
            .Run());
    if (value.kind_case() == Value::kBoolValue && behaviour_.broken)
      return absl::InternalError("no place for a flag");
    if (value.kind_case() != Value::kStringValue) return absl::OkStatus();
    return rows.Cached("UPDATE tally SET note = ?2 WHERE stream = ?1")
        .Bind(1, std::string_view(envelope.stream.ToString()))
        .Bind(2, std::string_view(value.string_value()))
        .Run();
  }

 private:
  const Behaviour& behaviour_;
  ReadModelSpec spec_;
};

class ProjectionRunnerTest : public ::testing::Test {
 protected:
  ProjectionRunnerTest() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = absl::StrCat(::testing::TempDir(), "/projection_", test->name(), "_", getpid());
    std::filesystem::remove_all(folder_);
  }
  ~ProjectionRunnerTest() override {
    runner_.reset();
    std::filesystem::remove_all(folder_);
  }

  std::vector<LogSource> Sources() { return {visits_.source(), clients_.source()}; }
  std::string FilePath(int version = 1) const {
    return absl::StrCat(folder_, "/tally-", version, ".db");
  }

  absl::StatusOr<std::unique_ptr<ProjectionRunner>> TryOpen(std::unique_ptr<ReadModel> model) {
    return ProjectionRunner::Open(folder_, std::move(model), Sources(),
                                  {scheduler_, clock_, metrics_});
  }
  void Open(std::unique_ptr<ReadModel> model) {
    runner_.reset();
    auto runner = TryOpen(std::move(model));
    ASSERT_TRUE(runner.ok()) << runner.status();
    runner_ = *std::move(runner);
  }
  void Open() { Open(std::make_unique<Tally>(behaviour_)); }
  void OpenAndFollow() {
    Open();
    runner_->Start();
    scheduler_.RunUntilIdle();
  }

  // Events counted for a stream of category "visit"; 0 when it has no row.
  int64_t Events(const std::string& stream) { return EventsIn(*runner_, stream); }
  static int64_t EventsIn(ProjectionRunner& runner, const std::string& stream) {
    int64_t events = 0;
    const absl::Status status = runner.Read([&](sqlite::Connection& rows) {
      events = CountIn(rows, stream);
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << status;
    return events;
  }
  static int64_t CountIn(sqlite::Connection& rows, const std::string& stream) {
    auto& select = rows.Cached("SELECT events FROM tally WHERE stream = ?1");
    select.Bind(1, std::string_view(StreamId{"visit", TestUuid(stream)}.ToString()));
    const auto row = select.Step();
    EXPECT_TRUE(row.ok()) << row.status();
    const int64_t events = *row ? select.Int(0) : 0;
    select.Reset();
    return events;
  }
  static Digests DigestsOf(ProjectionRunner& runner) {
    absl::StatusOr<Digests> digests = absl::InternalError("not read");
    EXPECT_TRUE(runner
                    .Read([&](sqlite::Connection& rows) {
                      digests = DigestOf(rows, runner.spec());
                      return digests.status();
                    })
                    .ok());
    return digests.value_or(Digests());
  }
  absl::StatusOr<VerifyResult> Verify() {
    Tally fresh(behaviour_);
    return VerifyReadModel(folder_, folder_ + "/scratch", fresh, Sources(),
                           [](const RebuildProgress&) {});
  }
  // By hand, as nobody should.
  void Change(const std::string& sql) {
    sqlite::OpenOptions options;
    options.page_checksums = true;
    auto file = sqlite::Connection::Open(FilePath(), options);
    ASSERT_TRUE(file.ok()) << file.status();
    const absl::Status changed = file->Execute(sql);
    ASSERT_TRUE(changed.ok()) << changed;
  }
  absl::Status Reached(std::vector<Position> min, absl::Duration within) {
    absl::Status reached = absl::UnknownError("not answered");
    runner_->WhenReached(std::move(min), clock_.Now() + within,
                         [&](absl::Status status) { reached = status; });
    scheduler_.RunFor(within);
    return reached;
  }
  size_t Retry() {
    absl::StatusOr<size_t> going_on = absl::UnknownError("not answered");
    runner_->RetryParked([&](absl::StatusOr<size_t> result) { going_on = result; });
    scheduler_.RunUntilIdle();
    EXPECT_TRUE(going_on.ok()) << going_on.status();
    return going_on.value_or(0);
  }
  std::vector<RebuildProgress> Rebuild() {
    std::vector<RebuildProgress> told;
    runner_->Rebuild([&](absl::StatusOr<RebuildProgress> progress) {
      ASSERT_TRUE(progress.ok()) << progress.status();
      told.push_back(*progress);
    });
    scheduler_.RunUntilIdle();
    return told;
  }

  std::string folder_;
  Behaviour behaviour_;
  SimulatedScheduler scheduler_{7};
  ManualClock clock_{absl::FromUnixSeconds(1'760'000'000)};
  prometheus::Registry metrics_;
  LogWriter visits_{"visits", 4, scheduler_};
  LogWriter clients_{"clients", 2, scheduler_};
  std::unique_ptr<ProjectionRunner> runner_;
};

}  // namespace buurtlog::eventsourcing::testing
