// Stories of an operator: starting, playing, killing, verifying (scenarios 3.6 and 3.8).
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "buurtlog/log/v1/operations_service.grpc.pb.h"
#include "libs/base/care_day.h"
#include "libs/base/files.h"
#include "libs/base/refusal.h"
#include "libs/base/scheduler.h"
#include "libs/base/testing/patience.h"
#include "tests/end_to_end/team_at_work.h"

namespace buurtlog::end_to_end {
namespace {

using visits::v1::VisitsService;
using Visits = VisitsService::Stub;

nlohmann::json LastLineOf(const std::string& text) {
  const std::vector<std::string> lines = absl::StrSplit(text, '\n', absl::SkipEmpty());
  EXPECT_FALSE(lines.empty());
  return lines.empty() ? nlohmann::json()
                       : nlohmann::json::parse(lines.back(), nullptr, /*allow_exceptions=*/false);
}

// `buurtlog region` on a folder, small and quick.
ProgramResult MakeRegion(const std::string& data_folder, const std::vector<std::string>& options) {
  std::vector<std::string> words = {Program("buurtlog"), "--data", data_folder, "region"};
  words.insert(words.end(), options.begin(), options.end());
  absl::StatusOr<ProgramResult> made = RunProgram(words, absl::Minutes(2));
  EXPECT_TRUE(made.ok()) << made.status();
  return made.ok() ? *made : ProgramResult();
}

TEST(OperatorStoriesTest, OPS_02_OneCommandServesATeamOfFourWithinASmallMemory) {
  TemporaryFolder folder;
  const absl::Time begin = absl::Now();
  TeamAtWork team(folder.path());
  const absl::Duration healthy = absl::Now() - begin;
  RecordProperty("seconds_to_healthy", absl::StrCat(absl::ToDoubleSeconds(healthy)));
  EXPECT_LT(healthy, Patience(absl::Seconds(60)));
  team.Plan(team.TakeClientIn(), 0, absl::Hours(1), 30);
  const int64_t memory = team.system().process().PeakMemoryBytes();
  RecordProperty("peak_memory_bytes", absl::StrCat(memory));
  ASSERT_GT(memory, 0);
  // A sanitizer's own memory is several times the program's.
  EXPECT_LT(memory, kPatience * (int64_t{1} << 30));
  EXPECT_EQ(team.system().Stop(), 0);
}

TEST(OperatorStoriesTest, OPS_03_ARegionAndAMorningAreOneCommandEachAndFiguresMove) {
  TemporaryFolder folder;
  ASSERT_EQ(MakeRegion(folder.path(), {"--teams", "2", "--years", "0.03", "--seed", "7"}).exit_code,
            0);
  RunningSystem system(folder.path());
  const ProgramResult played = system.Command({"--json", "play", "morning"});
  ASSERT_EQ(played.exit_code, 0) << played.err;
  const nlohmann::json morning = LastLineOf(played.out);
  EXPECT_GT(morning["visits_recorded"].get<int>(), 10);
  EXPECT_GT(morning["late_receipts"].get<int>(), 0);
  EXPECT_EQ(morning["repeats_recognised"], morning["late_receipts"]);
  EXPECT_EQ(morning["corrections"].get<int>(), 2);

  // The figures moved: a nurse of the region sees hours on the played day.
  ASSERT_EQ(system.Command({"login", morning["next_nurse"].get<std::string>()}).exit_code, 0);
  const ProgramResult day =
      system.Command({"--json", "day", "--date", morning["day"].get<std::string>(), "--confirm"});
  EXPECT_TRUE(day.exit_code == 0 || day.exit_code == 3)
      << day.err;  // a visit later today may still lie ahead
  const ProgramResult team = system.Command({"team"});
  EXPECT_EQ(team.exit_code, 0) << team.err;
  EXPECT_TRUE(absl::StrContains(team.out, "last four weeks")) << team.out;

  // And everything shown is what the log says, while the system runs.
  const ProgramResult verified = system.Command({"replay", "--verify"});
  EXPECT_EQ(verified.exit_code, 0) << verified.err;
  EXPECT_TRUE(absl::EndsWith(verified.out, "equal\n")) << verified.out;
  const ProgramResult rebuilt = system.Command({"replay", "--rebuild", "--verify"});
  EXPECT_EQ(rebuilt.exit_code, 0) << rebuilt.err;
  EXPECT_TRUE(absl::EndsWith(rebuilt.out, "equal\n")) << rebuilt.out;
}

TEST(OperatorStoriesTest, TheSameSeedMakesTheSameRegion) {
  TemporaryFolder first;
  TemporaryFolder second;
  const std::vector<std::string> options = {"--teams", "1",  "--years", "0.02",
                                            "--seed",  "11", "--today", "2026-06-01"};
  ASSERT_EQ(MakeRegion(first.path(), options).exit_code, 0);
  ASSERT_EQ(MakeRegion(second.path(), options).exit_code, 0);
  auto stat = [](const std::string& folder) {
    absl::StatusOr<ProgramResult> result = RunProgram(
        {Program("buurtlog"), "--json", "--data", folder, "log", "stat"}, absl::Seconds(30));
    EXPECT_TRUE(result.ok() && result->exit_code == 0);
    std::vector<nlohmann::json> heads;
    for (absl::string_view line : absl::StrSplit(result->out, '\n', absl::SkipEmpty())) {
      heads.push_back(nlohmann::json::parse(line, nullptr, false)["heads"]);
    }
    return heads;
  };
  const auto heads = stat(first.path());
  EXPECT_EQ(heads.size(), 3u);
  EXPECT_EQ(heads, stat(second.path()));
}

// What was acknowledged, to be found again after the kill.
struct Acknowledged {
  visits::v1::RecordUnplannedVisitRequest request;
  visits::v1::RecordUnplannedVisitResponse response;
};

// Somebody's program asks for the same thing on four connections, as fast as it is answered.
class Flood {
 public:
  Flood(const RunningSystem& system, const identity::Person& nurse)
      : system_(system), nurse_(nurse) {
    for (int i = 0; i < kConnections; ++i) {
      connections_.push_back(scheduler_->NewQueue("flood", QueueKind::kBlocking));
      connections_.back()->Post([this] { Ask(); });
    }
  }
  void WaitUntilRefused() {
    absl::MutexLock lock(&mutex_);
    const auto refused = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return refused_ > 0; };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&refused), Patience(absl::Seconds(60))));
  }
  void End() {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
    const auto all = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return ended_ == kConnections; };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&all), Patience(absl::Seconds(60))));
    EXPECT_TRUE(others_.empty()) << others_.front();
  }

 private:
  static constexpr int kConnections = 4;

  void Ask() {
    const Session session = system_.As(nurse_.person_id.ToString());
    Caller<VisitsService> call(session);
    visits::v1::GetTeamHoursRequest request;
    request.set_team_id(nurse_.team_id.ToString());
    request.set_from_date(CareDayText(CareDay(SystemClock().Now())));
    request.set_to_date(request.from_date());
    while (true) {
      const absl::Status status = call(&Visits::GetTeamHours, request).status();
      absl::MutexLock lock(&mutex_);
      if (StatusReason(status) == "TOO_MANY_CALLS") {
        ++refused_;
      } else if (!status.ok()) {
        others_.push_back(status);
      }
      if (stop_) {
        ++ended_;
        return;
      }
    }
  }

  const RunningSystem& system_;
  const identity::Person nurse_;
  absl::Mutex mutex_;
  int refused_ ABSL_GUARDED_BY(mutex_) = 0;
  int ended_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<absl::Status> others_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Scheduler> scheduler_ = NewThreadPoolScheduler(1);
  std::vector<std::unique_ptr<TaskQueue>> connections_;
};

// What the others' calls take meanwhile is measured by `tools/bench/run flood`.
TEST(OperatorStoriesTest, OPS_13_ATeamWhoseProgramFloodsIsSlowedDownAndTheOthersAreServed) {
  TemporaryFolder folder;
  ASSERT_EQ(MakeRegion(folder.path(), {"--teams", "2", "--years", "0.03", "--seed", "7"}).exit_code,
            0);
  RunningSystem system(folder.path());
  const auto people = Expect(identity::LoadPeople(folder.path(), SystemFiles()));
  const auto nurse = [&people](const Uuid* not_of) {
    return *std::find_if(people.begin(), people.end(), [not_of](const identity::Person& person) {
      return person.role == access::v1::ROLE_NURSE &&
             (not_of == nullptr || person.team_id != *not_of);
    });
  };
  const identity::Person wild = nurse(nullptr);
  const identity::Person other = nurse(&wild.team_id);
  Flood flood(system, wild);
  flood.WaitUntilRefused();
  const Session session = system.As(other.person_id.ToString());
  Caller<VisitsService> call(session);
  visits::v1::GetDaySheetRequest sheet;
  sheet.set_nurse_id(other.person_id.ToString());
  sheet.set_date(CareDayText(CareDay(SystemClock().Now())));
  for (int i = 0; i < 100; ++i) {
    const auto seen = call(&Visits::GetDaySheet, sheet);
    EXPECT_TRUE(seen.ok()) << seen.status();
  }
  flood.End();
}

visits::v1::RecordUnplannedVisitRequest Unplanned(const TeamAtWork& team,
                                                  const std::string& client_id, int i) {
  visits::v1::RecordUnplannedVisitRequest request;
  request.mutable_header()->set_idempotency_key(NewKey());
  request.set_client_id(client_id);
  request.set_nurse_id(team.nurse_id(static_cast<size_t>(i) % 4));
  *request.mutable_starts_at() =
      ProtoTime(SystemClock().Now() - absl::Hours(40) + absl::Minutes(i % 600));
  request.set_duration_minutes(15);
  return request;
}

// Eight phones record visits until `stop`, keeping what was acknowledged and the one command each
// had under way.
class Load {
 public:
  Load(TeamAtWork& team, std::vector<std::string> clients)
      : team_(team), clients_(std::move(clients)) {
    for (int i = 0; i < 8; ++i) {
      phones_.push_back(scheduler_->NewQueue("phone", QueueKind::kBlocking));
      phones_.back()->Post([this, i] { Phone(i); });
    }
  }
  void WaitFor(size_t acknowledged) {
    absl::MutexLock lock(&mutex_);
    auto enough = [this, acknowledged]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return acknowledged_.size() >= acknowledged || failed_ == 8;
    };
    mutex_.AwaitWithTimeout(absl::Condition(&enough), Patience(absl::Seconds(60)));
  }
  // Every phone ends at its first error; call after the kill.
  void End() {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
    auto all = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return failed_ == 8; };
    ASSERT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&all), Patience(absl::Seconds(60))));
  }
  const std::vector<Acknowledged>& acknowledged() const { return acknowledged_; }
  const std::vector<visits::v1::RecordUnplannedVisitRequest>& unanswered() const {
    return unanswered_;
  }

 private:
  void Phone(int phone) {
    const Session session = team_.Nurse(static_cast<size_t>(phone) % 4);
    Caller<VisitsService> call(session);
    for (int i = phone;; i += 8) {
      const auto request = Unplanned(team_, clients_[static_cast<size_t>(i) % clients_.size()], i);
      const auto response = call(&Visits::RecordUnplannedVisit, request);
      absl::MutexLock lock(&mutex_);
      if (response.ok()) {
        acknowledged_.push_back({request, *response});
      } else {
        unanswered_.push_back(request);
      }
      if (!response.ok() || stop_) {
        ++failed_;
        return;
      }
    }
  }

  TeamAtWork& team_;
  std::vector<std::string> clients_;
  absl::Mutex mutex_;
  bool stop_ = false;
  int failed_ = 0;
  std::vector<Acknowledged> acknowledged_;
  std::vector<visits::v1::RecordUnplannedVisitRequest> unanswered_;
  std::unique_ptr<Scheduler> scheduler_ = NewThreadPoolScheduler(1);
  std::vector<std::unique_ptr<TaskQueue>> phones_;
};

TEST(OperatorStoriesTest, KillNineInAMorningLosesNothingAndDoublesNothing) {
  TemporaryFolder folder;
  TeamAtWork team(folder.path());
  std::vector<std::string> clients;
  for (int i = 0; i < 4; ++i) clients.push_back(team.TakeClientIn());
  // One visit of each client waits for what the load needs to know.
  for (const std::string& client : clients) team.Plan(client, 0, absl::Hours(1), 10);

  Load load(team, clients);
  load.WaitFor(300);
  team.system().Kill();
  load.End();
  ASSERT_GE(load.acknowledged().size(), 300u);
  team.system().Start();

  const Session nurse = team.Nurse(0);
  Caller<VisitsService> call(nurse);
  // Every acknowledged command: repeated by the same nurse, it gets its first answer.
  for (const Acknowledged& done : load.acknowledged()) {
    const Session owner = team.system().As(done.request.nurse_id());
    const auto again = Caller<VisitsService>(owner)(&Visits::RecordUnplannedVisit, done.request);
    ASSERT_TRUE(again.ok()) << again.status();
    ASSERT_EQ(again->SerializeAsString(), done.response.SerializeAsString());
    team.Remember(done.response.receipt());
  }
  // What was under way happened once or not at all; repeated, it is there once.
  std::set<std::string> visits;
  for (const Acknowledged& done : load.acknowledged()) visits.insert(done.response.visit_id());
  for (const auto& request : load.unanswered()) {
    const Session owner = team.system().As(request.nurse_id());
    const auto answer =
        Expect(Caller<VisitsService>(owner)(&Visits::RecordUnplannedVisit, request));
    visits.insert(answer.visit_id());
    team.Remember(answer.receipt());
  }
  std::multiset<std::string> found;
  for (const std::string& client : clients) {
    visits::v1::GetClientTimelineRequest request;
    request.set_client_id(client);
    request.set_page_size(200);
    team.WaitForVisits(request);
    do {
      const auto page = Expect(call(&Visits::GetClientTimeline, request));
      for (const auto& entry : page.entries()) {
        if (entry.event().has_realised()) found.insert(entry.visit_id());
      }
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty());
  }
  EXPECT_EQ(found.size(), visits.size());
  for (const std::string& visit : visits) EXPECT_EQ(found.count(visit), 1u) << visit;

  const ProgramResult verified = team.system().Command({"replay", "--verify"});
  EXPECT_EQ(verified.exit_code, 0) << verified.out << verified.err;
}

TEST(OperatorStoriesTest, TheLogsAloneAreEnoughToStartFrom) {
  TemporaryFolder folder;
  TeamAtWork team(folder.path());
  const std::string client_id = team.TakeClientIn();
  team.Plan(client_id, 0, absl::Hours(1), 20);
  const Session nurse = team.Nurse(0);
  const auto request = Unplanned(team, client_id, 0);
  const auto response =
      Expect(Caller<VisitsService>(nurse)(&Visits::RecordUnplannedVisit, request));
  EXPECT_EQ(team.system().Stop(), 0);
  for (const char* service : {"teams", "clients", "visits"}) {
    for (const char* derived :
         {"state.db", "state.db-wal", "state.db-shm", "read_models", "processes"}) {
      std::filesystem::remove_all(absl::StrCat(folder.path(), "/", service, "/", derived));
    }
  }
  team.system().Start();
  // A repeat still gets its first answer, and all that is shown is there again.
  const Session again = team.Nurse(0);
  EXPECT_EQ(Expect(Caller<VisitsService>(again)(&Visits::RecordUnplannedVisit, request))
                .SerializeAsString(),
            response.SerializeAsString());
  team.Remember(response.receipt());
  EXPECT_EQ(team.Timeline(client_id).entries_size(), 2);
  EXPECT_EQ(team.system().Command({"replay", "--verify"}).exit_code, 0);
  // Nobody else of the machine may read a record.
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder.path())) {
    EXPECT_EQ(file.status().permissions() &
                  (std::filesystem::perms::group_all | std::filesystem::perms::others_all),
              std::filesystem::perms::none)
        << file.path();
  }
}

TEST(OperatorStoriesTest, OneFlippedByteInTheLogIsNamedByPlace) {
  TemporaryFolder folder;
  std::string client_id;
  {
    TeamAtWork team(folder.path());
    client_id = team.TakeClientIn();
    for (int i = 0; i < 20; ++i) team.Plan(client_id, 0, absl::Hours(2 + i), 30);
    EXPECT_EQ(team.system().Stop(), 0);
  }
  // A byte in the middle of what is stored about the first visits.
  const std::string path = absl::StrCat(folder.path(), "/visits/log/log.db");
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const size_t at = bytes.find(client_id);
  ASSERT_NE(at, std::string::npos);
  file.clear();
  file.seekp(static_cast<std::streamoff>(at));
  file.put(static_cast<char>(bytes[at] ^ 1));
  file.close();
  absl::StatusOr<ProgramResult> verified = RunProgram(
      {Program("buurtlog"), "--data", folder.path(), "replay", "--verify"}, absl::Seconds(60));
  ASSERT_TRUE(verified.ok());
  EXPECT_EQ(verified->exit_code, 6) << verified->out;
  EXPECT_TRUE(absl::StrContains(verified->err, "visits")) << verified->err;
  EXPECT_TRUE(absl::StrContains(verified->err, "sequence")) << verified->err;
}

TEST(OperatorStoriesTest, ASecondServerOnTheSameFolderIsRefused) {
  TemporaryFolder folder;
  TeamAtWork team(folder.path());
  absl::StatusOr<ProgramResult> second =
      RunProgram({Program("buurtlog"), "--data", folder.path(), "--address", "127.0.0.1:0", "serve",
                  "--insecure-dev"},
                 absl::Seconds(30));
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->exit_code, 3);
  EXPECT_TRUE(absl::StrContains(second->err, "DATA_FOLDER_IN_USE")) << second->err;
}

TEST(OperatorStoriesTest, AFolderOfANewerReleaseIsRefused) {
  TemporaryFolder folder;
  {
    TeamAtWork team(folder.path());
    EXPECT_EQ(team.system().Stop(), 0);
  }
  const std::string path = absl::StrCat(folder.path(), "/visits/log/identity");
  std::string identity = Expect(SystemFiles().Read(path));
  ASSERT_TRUE(absl::StartsWith(identity, "buurtlog log format 2\n")) << identity;
  ASSERT_TRUE(
      SystemFiles()
          .WriteAtomically(path, absl::StrReplaceAll(identity, {{"format 2\n", "format 3\n"}}))
          .ok());
  absl::StatusOr<ProgramResult> refused =
      RunProgram({Program("buurtlog"), "--data", folder.path(), "--address", "127.0.0.1:0", "serve",
                  "--insecure-dev"},
                 absl::Seconds(30));
  ASSERT_TRUE(refused.ok()) << refused.status();
  EXPECT_EQ(refused->exit_code, 3) << refused->err;
  EXPECT_TRUE(absl::StrContains(refused->err, "NEWER_RELEASE")) << refused->err;
}

}  // namespace
}  // namespace buurtlog::end_to_end
