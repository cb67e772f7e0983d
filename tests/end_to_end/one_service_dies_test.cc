// OPS-06: every service as a process of its own; one is killed in the middle of a load, the others
// go on, and it catches up.
#include <gtest/gtest.h>
#include <signal.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/base/care_day.h"
#include "libs/base/testing/patience.h"
#include "tests/end_to_end/team_at_work.h"
#include "tools/buurtlog/sign_in.h"

namespace buurtlog::end_to_end {
namespace {

using clients::v1::ClientsService;
using visits::v1::VisitsService;
using Visits = VisitsService::Stub;

const absl::Duration kCallMax = Patience(absl::Seconds(20));

// Three processes on one data folder, each with its own log.
class OneServiceDiesTest : public ::testing::Test {
 protected:
  OneServiceDiesTest()
      : team_id_(NewUuid(SystemClock().Now(), SystemRandom())),
        people_(WritePeople(folder_.path(), {"Anna de Vries", "Bram Kok"}, team_id_)) {
    processes_.resize(3);
    for (size_t i = 0; i < 3; ++i) addresses_.push_back(FreeAddress());
  }

  static constexpr size_t kTeams = 0;
  static constexpr size_t kClients = 1;
  static constexpr size_t kVisits = 2;

  void Start(size_t service) {
    Launch(service);
    AwaitServing(service);
  }
  void Launch(size_t service) {
    static constexpr const char* kPrograms[] = {"buurtlog-teams", "buurtlog-clients",
                                                "buurtlog-visits"};
    std::vector<std::string> words = {
        Program(kPrograms[service]), absl::StrCat("--data=", folder_.path()),
        absl::StrCat("--address=", addresses_[service]), "--insecure_dev"};
    if (service != kTeams) words.push_back(absl::StrCat("--teams_address=", addresses_[kTeams]));
    if (service == kVisits)
      words.push_back(absl::StrCat("--clients_address=", addresses_[kClients]));
    for (std::string& word : StoryLogWords(folder_.path())) words.push_back(std::move(word));
    absl::StatusOr<ChildProcess> process = ChildProcess::Start(words);
    ASSERT_TRUE(process.ok()) << process.status();
    processes_[service].emplace(*std::move(process));
  }
  void AwaitServing(size_t service) {
    const absl::StatusOr<std::string> line = processes_[service]->ReadLine(absl::Seconds(60));
    ASSERT_TRUE(line.ok()) << "service " << service << ": " << line.status();
  }

  Session At(size_t service) const {
    const auto who =
        command::SignInAs(addresses_[service], people_[0].person_id.ToString(), kCallMax);
    EXPECT_TRUE(who.ok()) << who.status();
    return Session::At(addresses_[service], who.ok() ? who->token : "", kCallMax);
  }

  type::v1::Position FormTeam() {
    teams::v1::FormTeamRequest request;
    request.mutable_header()->set_idempotency_key(NewKey());
    request.set_team_id(team_id_.ToString());
    request.set_organisation_id(people_[0].organisation_id.ToString());
    request.set_name("Molenwijk");
    for (size_t n = 0; n < 2; ++n) {
      teams::v1::NewMember& member = *request.add_members();
      member.set_person_id(people_[n].person_id.ToString());
      member.set_name(people_[n].name);
      member.set_qualification(teams::v1::QUALIFICATION_NURSE);
    }
    const Session session = At(kTeams);
    return Expect(Caller<teams::v1::TeamsService>(session)(&teams::v1::TeamsService::Stub::FormTeam,
                                                           request))
        .receipt()
        .position();
  }

  absl::StatusOr<clients::v1::TakeClientInResponse> TakeIn(const Session& session,
                                                           const std::string& bsn,
                                                           const type::v1::Position& team) {
    clients::v1::TakeClientInRequest request;
    request.mutable_header()->set_idempotency_key(NewKey());
    *request.mutable_header()->add_min_position() = team;
    request.set_team_id(team_id_.ToString());
    request.set_responsible_nurse_id(people_[0].person_id.ToString());
    request.set_bsn(bsn);
    request.set_given_name("Kees");
    request.set_family_name("Blom");
    request.set_birth_date("1940-01-31");
    request.mutable_referrer()->set_kind(clients::v1::REFERRER_KIND_HOSPITAL);
    request.mutable_identity_document()->set_kind(clients::v1::IDENTITY_DOCUMENT_KIND_PASSPORT);
    request.mutable_identity_document()->set_checked(true);
    return Caller<ClientsService>(session)(&ClientsService::Stub::TakeClientIn, request);
  }

  visits::v1::RecordUnplannedVisitRequest Visit(const std::string& client_id,
                                                const type::v1::Position& client, int i) {
    visits::v1::RecordUnplannedVisitRequest request;
    request.mutable_header()->set_idempotency_key(NewKey());
    *request.mutable_header()->add_min_position() = client;
    request.set_client_id(client_id);
    request.set_nurse_id(people_[0].person_id.ToString());
    *request.mutable_starts_at() =
        ProtoTime(SystemClock().Now() - absl::Hours(40) + absl::Minutes(10 * i));
    request.set_duration_minutes(10);
    return request;
  }

  TemporaryFolder folder_;
  Uuid team_id_;
  std::vector<identity::Person> people_;
  std::vector<std::string> addresses_;
  std::vector<std::optional<ChildProcess>> processes_;
};

TEST_F(OneServiceDiesTest, OPS_06_OneServiceIsKilledTheOthersGoOnAndItCatchesUp) {
  // All at once, on a folder that holds no keys yet.
  for (size_t service : {kVisits, kClients, kTeams}) Launch(service);
  for (size_t service : {kVisits, kClients, kTeams}) AwaitServing(service);
  const type::v1::Position team = FormTeam();
  const Session clients_session = At(kClients);
  const auto first = Expect(TakeIn(clients_session, "999900006", team));
  const Session visits_session = At(kVisits);

  // A load of visits, and the kill in its middle: the command under way is not answered.
  std::vector<
      std::pair<visits::v1::RecordUnplannedVisitRequest, visits::v1::RecordUnplannedVisitResponse>>
      acknowledged;
  std::optional<visits::v1::RecordUnplannedVisitRequest> unanswered;
  for (int i = 0; !unanswered.has_value() && i < 1'000; ++i) {
    auto request = Visit(first.client_id(), first.receipt().position(), i);
    if (i == 100) processes_[kVisits]->Signal(SIGKILL);
    auto response = Caller<VisitsService>(visits_session)(&Visits::RecordUnplannedVisit, request);
    if (response.ok()) {
      acknowledged.emplace_back(request, *response);
    } else {
      unanswered = request;
    }
  }
  ASSERT_TRUE(unanswered.has_value());
  ASSERT_GE(acknowledged.size(), 100u);
  EXPECT_EQ(processes_[kVisits]->Wait(), 128 + SIGKILL);

  // The others go on, and write what the dead one will have to learn.
  const auto second = Expect(TakeIn(clients_session, "999900018", team));

  Start(kVisits);
  const Session again = At(kVisits);
  for (const auto& [request, response] : acknowledged) {
    EXPECT_EQ(Expect(Caller<VisitsService>(again)(&Visits::RecordUnplannedVisit, request))
                  .SerializeAsString(),
              response.SerializeAsString());
  }
  const auto late =
      Expect(Caller<VisitsService>(again)(&Visits::RecordUnplannedVisit, *unanswered));
  // It has caught up with what happened meanwhile: a visit to the client it could not know.
  const auto other = Expect(Caller<VisitsService>(again)(
      &Visits::RecordUnplannedVisit, Visit(second.client_id(), second.receipt().position(), 0)));
  visits::v1::GetClientTimelineRequest request;
  request.set_client_id(first.client_id());
  request.set_page_size(200);
  *request.add_min_position() = late.receipt().position();
  const auto timeline = Expect(Caller<VisitsService>(again)(&Visits::GetClientTimeline, request));
  EXPECT_EQ(static_cast<size_t>(timeline.entries_size()), acknowledged.size() + 1);
  EXPECT_FALSE(other.visit_id().empty());

  for (size_t service : {kVisits, kClients, kTeams}) {
    processes_[service]->Signal(SIGTERM);
    EXPECT_EQ(processes_[service]->Wait(), 0);
  }
  std::vector<std::string> words = {Program("buurtlog"), "--data", folder_.path()};
  for (std::string& word : StoryLogWords(folder_.path())) words.push_back(std::move(word));
  words.insert(words.end(), {"replay", "--verify"});
  const auto verified = Expect(RunProgram(words, absl::Seconds(60)));
  EXPECT_EQ(verified.exit_code, 0) << verified.out << verified.err;
}

}  // namespace
}  // namespace buurtlog::end_to_end
