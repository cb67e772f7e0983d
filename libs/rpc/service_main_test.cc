#include "libs/rpc/service_main.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/base/files.h"
#include "libs/base/refusal.h"

namespace buurtlog::rpc {
namespace {

// Tells when it goes, which is when its runner has ended, whether the log that it follows was still
// there: as long as it is, nobody else gets its lock.
class Follower final : public eventsourcing::ReadModel {
 public:
  Follower(std::string lock_of_followed, std::vector<absl::Status>& at_end)
      : lock_of_followed_(std::move(lock_of_followed)), at_end_(at_end) {
    spec_.name = "follower";
    spec_.services = {"followed"};
    spec_.ddl = "CREATE TABLE seen(id INTEGER PRIMARY KEY)";
    spec_.tables = {{"seen", {"id"}, {}, "id"}};
  }
  ~Follower() override { at_end_.push_back(SystemFiles().Lock(lock_of_followed_).status()); }

  const eventsourcing::ReadModelSpec& spec() const override { return spec_; }
  absl::Status Apply(const eventsourcing::EventEnvelope&, const google::protobuf::Message&,
                     sqlite::Connection&) override {
    return absl::OkStatus();
  }

 private:
  const std::string lock_of_followed_;
  std::vector<absl::Status>& at_end_;
  eventsourcing::ReadModelSpec spec_;
};

TEST(ServiceMainTest, FollowersEndBeforeTheLogsTheyFollowAlsoWhenTheStartFails) {
  const std::string folder = absl::StrCat(::testing::TempDir(), "/service-main-", getpid());
  std::filesystem::create_directories(folder);
  std::vector<absl::Status> at_end;
  ServiceMain main;
  main.name = "test";
  main.data_folder = folder;
  main.address = "127.0.0.1:0";
  main.insecure_dev = true;
  main.services.resize(2);
  main.services[0].service = "followed";
  main.services[0].wire = [](eventsourcing::ServiceNode&,
                             const std::vector<eventsourcing::LogSource>&) {
    return WiredService{nullptr, Service("buurtlog.log.v1.LogService")};
  };
  main.services[1].service = "following";
  main.services[1].follows = {{"followed", "", nullptr}};
  main.services[1].wire =
      [&](eventsourcing::ServiceNode& node,
          const std::vector<eventsourcing::LogSource>& followed) -> absl::StatusOr<WiredService> {
    auto added = node.AddReadModel(
        std::make_unique<Follower>(absl::StrCat(folder, "/followed/log/lock"), at_end), followed);
    if (!added.ok()) return added.status();
    return WiredService{nullptr, Service("buurtlog.log.v1.LogService")};
  };
  // The nodes have started when the host finds that these services have no handlers.
  const absl::Status served = Serve(std::move(main), nullptr);
  EXPECT_TRUE(absl::IsFailedPrecondition(served)) << served;
  ASSERT_EQ(at_end.size(), 1u);
  EXPECT_EQ(StatusReason(at_end[0]), "DATA_FOLDER_IN_USE") << at_end[0];
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace buurtlog::rpc
