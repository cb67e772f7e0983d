#include "tools/bench/visits_workload.h"

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>

#include <filesystem>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "buurtlog/clients/v1/clients_service.grpc.pb.h"
#include "buurtlog/visits/v1/visits_service.pb.h"
#include "libs/base/check.h"
#include "libs/base/clock.h"
#include "libs/base/files.h"
#include "libs/base/ids.h"
#include "libs/base/random.h"
#include "libs/base/status_macros.h"
#include "libs/identity/people.h"
#include "libs/rpc/status_conversion.h"

namespace buurtlog::bench {
namespace {

using clients::v1::ClientsService;

constexpr int kPageSize = 500;
constexpr int64_t kDaysAhead = 300;
constexpr absl::Duration kListMax = absl::Seconds(10);

// Somebody who goes, and to whom.
struct Pair {
  std::string nurse_id;
  std::string client_id;
};

absl::StatusOr<std::vector<std::string>> ClientsOf(ClientsService::Stub& stub,
                                                   const std::string& token,
                                                   const std::string& team_id) {
  std::vector<std::string> clients;
  clients::v1::ListClientsOfTeamRequest request;
  request.set_team_id(team_id);
  request.set_page_size(kPageSize);
  do {
    grpc::ClientContext context;
    context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
    context.set_deadline(absl::ToChronoTime(absl::Now() + kListMax));
    clients::v1::ListClientsOfTeamResponse page;
    ABSL_RETURN_IF_ERROR(rpc::FromGrpc(stub.ListClientsOfTeam(&context, request, &page)));
    for (const auto& client : page.clients()) clients.push_back(client.client_id());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return clients;
}

class PlanVisits final : public Workload {
 public:
  explicit PlanVisits(std::vector<Pair> pairs) : pairs_(std::move(pairs)) {
    request_.set_duration_minutes(30);
    today_ = absl::ToUnixSeconds(absl::Now());
  }

  std::string method() const override { return "/buurtlog.visits.v1.VisitsService/PlanVisit"; }
  std::string NextRequest(size_t) override {
    const Pair& pair = pairs_[engine_() % pairs_.size()];
    request_.mutable_header()->set_idempotency_key(NewUuid(absl::Now(), random_).ToString());
    request_.set_client_id(pair.client_id);
    request_.set_nurse_id(pair.nurse_id);
    const auto day = static_cast<int64_t>(engine_() % kDaysAhead);
    request_.mutable_starts_at()->set_seconds(today_ + 86'400 * (1 + day));
    return request_.SerializeAsString();
  }
  Answer Answered(size_t, const grpc::Status& status, const grpc::ByteBuffer&) override {
    return status.ok() ? Answer::kDone : Answer::kFailed;
  }

 private:
  const std::vector<Pair> pairs_;
  std::mt19937_64 engine_{RandomBelow(SystemRandom(), ~uint64_t{0})};
  SeededRandom random_{RandomBelow(SystemRandom(), ~uint64_t{0})};
  int64_t today_ = 0;
  visits::v1::PlanVisitRequest request_;
};

}  // namespace

absl::StatusOr<std::string> RegionFolder(const BenchOptions& options, RegionSize size) {
  const std::string folder =
      absl::StrCat(options.folder, "/region-", size.teams, "-teams-", size.years, "-years");
  if (std::filesystem::exists(folder)) return folder;
  const std::string unfinished = folder + ".unfinished";
  std::filesystem::remove_all(unfinished);
  ABSL_RETURN_IF_ERROR(RunProgram(
      {absl::StrCat(options.bin_folder, "/buurtlog"), "region", "--data", unfinished, "--teams",
       absl::StrCat(size.teams), "--years", absl::StrCat(size.years), "--seed", "1"},
      options.folder + "/region.log"));
  std::filesystem::rename(unfinished, folder);
  return folder;
}

absl::StatusOr<std::unique_ptr<Workload>> PlanVisitWorkload(const Running& buurtlog) {
  ABSL_ASSIGN_OR_RETURN(const std::vector<identity::Person> people,
                        identity::LoadPeople(buurtlog.folder, SystemFiles()));
  const std::string token = buurtlog.NewToken(access::v1::ROLE_NURSE);
  const auto stub = ClientsService::NewStub(
      grpc::CreateChannel(buurtlog.process->address(), grpc::InsecureChannelCredentials()));
  std::vector<Pair> pairs;
  std::set<Uuid> teams;
  for (const identity::Person& person : people) {
    if (person.role != access::v1::ROLE_NURSE || !teams.insert(person.team_id).second) continue;
    ABSL_ASSIGN_OR_RETURN(const std::vector<std::string> clients,
                          ClientsOf(*stub, token, person.team_id.ToString()));
    for (const std::string& client : clients)
      pairs.push_back({person.person_id.ToString(), client});
  }
  if (pairs.empty()) return absl::NotFoundError("the region has nobody to visit");
  return std::make_unique<PlanVisits>(std::move(pairs));
}

}  // namespace buurtlog::bench
