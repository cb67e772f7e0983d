#include "libs/eventlog/log_engine.h"

#include <utility>

#include "libs/base/ids.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/sqlite_event_log.h"

namespace buurtlog::eventlog {
namespace {

class SqliteLogEngine final : public LogEngine {
 public:
  absl::StatusOr<Opened> Open(const std::string& service, const std::string& folder, bool may_make,
                              const LogSeams& seams) override {
    SqliteLogOptions options;
    options.folder = folder + "/log";
    options.clock = &seams.clock;
    options.random = &seams.random;
    auto log = SqliteEventLog::Open(options, seams.files, seams.scheduler);
    if (absl::IsNotFound(log.status()) && may_make) {
      ABSL_RETURN_IF_ERROR(SqliteEventLog::Create(
          NewLogIdentity(service, seams.clock, seams.random), options, seams.files));
      log = SqliteEventLog::Open(options, seams.files, seams.scheduler);
    }
    ABSL_RETURN_IF_ERROR(log.status());
    return Opened{*std::move(log), ""};
  }

  bool shared() const override { return false; }

  absl::StatusOr<std::unique_ptr<Membership>> Join(
      const std::string&, const std::string&,
      absl::AnyInvocable<void(const std::vector<Partition>&)>, Scheduler&) override {
    return nullptr;
  }
};

}  // namespace

LogEngine& SqliteEngine() {
  static SqliteLogEngine engine;
  return engine;
}

LogIdentity NewLogIdentity(const std::string& service, Clock& clock, Random& random) {
  LogIdentity identity;
  identity.log_id = NewUuid(clock.Now(), random);
  identity.service = service;
  identity.synthetic = true;
  return identity;
}

}  // namespace buurtlog::eventlog
