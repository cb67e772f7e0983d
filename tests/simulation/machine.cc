#include "tests/simulation/machine.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "tests/simulation/models.h"

namespace buurtlog::simulation {

using eventsourcing::CommandExecutor;
using eventsourcing::LogSource;
using eventsourcing::ProcessRunner;
using eventsourcing::ProjectionRunner;
using eventsourcing::StateStore;

eventlog::LogIdentity IdentityOf(const std::string& service, uint32_t partitions) {
  eventlog::LogIdentity identity;
  identity.log_id = DerivedUuid(*ParseUuid("01890000-0000-7000-8000-000000000001"), service);
  identity.service = service;
  identity.partitions = partitions;
  identity.synthetic = true;
  return identity;
}

Machine::Machine(std::string name, uint64_t seed, uint32_t partitions, Parts parts)
    : name_(std::move(name)),
      dice_(seed),
      partitions_(partitions),
      parts_(parts),
      disk_(name_, dice_.Seed()),
      clock_(parts.scheduler),
      random_(dice_.Seed()) {
  lists_.name = kLists;
  lists_.type = &ListAggregate();
  copies_.name = kCopies;
  copies_.type = &CopyAggregate();
  if (parts_.region == nullptr) return;
  parts_.region->Add(*this);
  for (Service* service : {&lists_, &copies_}) {
    service->forwarder = parts_.region->NewForwarder(*this, service->name);
  }
}

Machine::~Machine() { End(); }

eventlog::EventLog& Machine::Service::engine(SharedLogs* shared) const {
  if (own_log != nullptr) return *own_log;
  return name == kLists ? *shared->lists : *shared->copies;
}

std::string Machine::FolderOf(const std::string& service) const {
  return absl::StrCat("/", name_, "/", service);
}

eventlog::SqliteLogOptions Machine::LogOptions(const std::string& service) {
  eventlog::SqliteLogOptions options;
  options.folder = absl::StrCat(FolderOf(service), "/log");
  options.clock = &clock_;
  options.random = &random_;
  // Small, so that all that happens to journals happens often.
  options.journal_chunk_bytes = 8 << 10;
  options.journal_bytes_wanted = 24 << 10;
  return options;
}

std::vector<LogSource> Machine::Sources() {
  return {{lists_.log.get(), lists_.codec.get()}, {copies_.log.get(), copies_.codec.get()}};
}

absl::Status Machine::OpenCopyOfTopic(Service& service) {
  eventlog::KafkaLogOptions options;
  options.folder = absl::StrCat(FolderOf(service.name), "/log");
  options.clock = &clock_;
  options.random = &random_;
  options.sleep = [this](absl::Duration time) { parts_.scheduler.PassTime(time); };
  ABSL_ASSIGN_OR_RETURN(service.own_log, eventlog::KafkaEventLog::Open(
                                             parts_.region->topic(service.name).Connect(link_),
                                             options, disk_.files(), parts_.scheduler));
  return absl::OkStatus();
}

absl::Status Machine::OpenLog(Service& service) {
  if (parts_.shared != nullptr) return absl::OkStatus();
  if (parts_.region != nullptr) return OpenCopyOfTopic(service);
  const eventlog::SqliteLogOptions options = LogOptions(service.name);
  auto log = eventlog::SqliteEventLog::Open(options, disk_.files(), parts_.scheduler);
  if (absl::IsNotFound(log.status())) {
    ABSL_RETURN_IF_ERROR(eventlog::SqliteEventLog::Create(IdentityOf(service.name, partitions_),
                                                          options, disk_.files()));
    log = eventlog::SqliteEventLog::Open(options, disk_.files(), parts_.scheduler);
  }
  ABSL_RETURN_IF_ERROR(log.status());
  service.own_log = *std::move(log);
  return absl::OkStatus();
}

absl::Status Machine::OpenService(Service& service) {
  service.started.reset();
  ABSL_RETURN_IF_ERROR(disk_.files().MakeFolder(FolderOf(service.name)));
  ABSL_RETURN_IF_ERROR(OpenLog(service));
  service.log = std::make_unique<UnreliableLog>(service.engine(parts_.shared), parts_.later,
                                                dice_.Seed(), parts_.report);
  service.log->SetFaults(log_faults_);
  service.codec = std::make_unique<eventsourcing::EventCodec>(service.name);
  service.codec->Register(service.type->category, service.type->event);
  ABSL_ASSIGN_OR_RETURN(service.store,
                        StateStore::Open(FolderOf(service.name) + "/state.db", {service.type},
                                         partitions_, parts_.scheduler, disk_.files()));
  ABSL_RETURN_IF_ERROR(service.store->BelongTo(service.log->identity().log_id));
  eventsourcing::ExecutorOptions options;
  options.shared = parts_.region != nullptr;
  options.owner = name_;
  options.command_hash_key = std::string(32, 'k');
  options.queue_max = 60;
  options.batch_max = 1 + dice_.Below(8);
  options.batches_in_flight_max = 1 + dice_.Below(4);
  options.cached_states_max = 1 + dice_.Below(6);
  options.recorded_refusals_per_minute_max = 20;
  service.executor = std::make_unique<CommandExecutor>(
      CommandExecutor::Parts{*service.log, *service.store, parts_.scheduler, clock_, random_,
                             *metrics_, service.forwarder.get()},
      std::vector<const eventsourcing::AggregateType*>{service.type}, options);
  return absl::OkStatus();
}

absl::Status Machine::OpenFollowers() {
  const std::vector<LogSource> sources = Sources();
  const ProjectionRunner::Parts parts{parts_.scheduler, clock_, *metrics_, disk_.files()};
  const std::string folder = FolderOf(kCopies);
  ABSL_ASSIGN_OR_RETURN(list_model_, ProjectionRunner::Open(folder + "/read_models", NewListModel(),
                                                            {sources[0]}, parts));
  ABSL_ASSIGN_OR_RETURN(
      copy_model_, ProjectionRunner::Open(folder + "/read_models", NewCopyModel(), sources, parts));
  ABSL_ASSIGN_OR_RETURN(
      process_,
      ProcessRunner::Open(folder + "/processes", NewCopyProcess(), {sources[0]},
                          {*copies_.executor, parts_.scheduler, clock_, *metrics_, disk_.files()}));
  return absl::OkStatus();
}

absl::Status Machine::Open() {
  End();
  opened_ = true;
  ++life_;
  metrics_ = std::make_unique<prometheus::Registry>();
  ABSL_RETURN_IF_ERROR(OpenService(lists_));
  ABSL_RETURN_IF_ERROR(OpenService(copies_));
  ABSL_RETURN_IF_ERROR(OpenFollowers());
  list_model_->Start();
  copy_model_->Start();
  process_->Start();
  for (Service* service : {&lists_, &copies_}) {
    service->executor->Start([this, service, life = life_](absl::Status status) {
      if (life == life_) service->started = std::move(status);
    });
  }
  return absl::OkStatus();
}

void Machine::End() {
  opened_ = false;
  ++life_;
  process_ = nullptr;
  copy_model_ = nullptr;
  list_model_ = nullptr;
  for (Service* service : {&copies_, &lists_}) {
    service->executor = nullptr;
    service->store = nullptr;
    if (service->own_log != nullptr && service->log != nullptr) service->log->Detach();
    service->log = nullptr;
    service->own_log = nullptr;
  }
  link_.Drop();
}

void Machine::ForgetEverything() { disk_.SetImage({}); }

std::optional<absl::Status> Machine::started() const {
  if (!lists_.started.has_value() || !copies_.started.has_value()) return std::nullopt;
  return lists_.started->ok() ? copies_.started : lists_.started;
}

bool Machine::HasCaughtUp(ProjectionRunner& runner) {
  const auto checkpoints = runner.Checkpoints();
  if (!checkpoints.ok()) return false;
  for (Service* service : {&lists_, &copies_}) {
    for (eventlog::Partition partition = 0; partition < partitions_; ++partition) {
      const auto place = checkpoints->find({service->name, partition});
      if (place == checkpoints->end()) continue;
      const auto head = service->engine(parts_.shared).Head(partition);
      if (!head.ok() || place->second.next != head->next) return false;
    }
  }
  return true;
}

absl::Status Machine::Settled() {
  for (Service* service : {&lists_, &copies_}) {
    ABSL_RETURN_IF_ERROR(service->executor->health());
  }
  for (ProjectionRunner* runner : {list_model_.get(), copy_model_.get()}) {
    ABSL_RETURN_IF_ERROR(runner->health());
    if (!HasCaughtUp(*runner)) {
      return absl::UnavailableError(runner->spec().name + " has not caught up");
    }
    ABSL_ASSIGN_OR_RETURN(const auto parked, runner->Parked());
    if (!parked.empty()) return absl::InternalError("parked: " + parked.front().reason);
  }
  ABSL_RETURN_IF_ERROR(process_->health());
  if (!process_->caught_up()) return absl::UnavailableError("the process has not caught up");
  ABSL_ASSIGN_OR_RETURN(const auto parked, process_->Parked());
  return parked.empty() ? absl::OkStatus()
                        : absl::InternalError("parked: " + parked.front().reason);
}

void Machine::SetLogFaults(uint64_t one_in) {
  log_faults_ = parts_.region == nullptr ? one_in : 0;
  link_.one_in = parts_.region == nullptr ? 0 : one_in;
  if (lists_.log != nullptr) lists_.log->SetFaults(log_faults_);
  if (copies_.log != nullptr) copies_.log->SetFaults(log_faults_);
}

}  // namespace buurtlog::simulation
