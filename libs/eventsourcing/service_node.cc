#include "libs/eventsourcing/service_node.h"

#include <libdeflate.h>
#include <prometheus/counter.h>
#include <prometheus/histogram.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "libs/base/about.h"
#include "libs/base/check.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"

namespace buurtlog::eventsourcing {
namespace {

constexpr size_t kHashKeyBytes = 32;
// Behind the key stands its CRC; a file of the key alone is taken too.
constexpr size_t kHashKeyCrcBytes = 4;

std::string CrcOf(const std::string& key) {
  const uint32_t crc = libdeflate_crc32(0, key.data(), key.size());
  std::string bytes;
  for (size_t i = 0; i < kHashKeyCrcBytes; ++i) bytes.push_back(static_cast<char>(crc >> (8 * i)));
  return bytes;
}

absl::StatusOr<eventlog::LogEngine::Opened> OpenOrMakeLog(eventlog::LogEngine& engine,
                                                          const std::string& service,
                                                          const std::string& folder,
                                                          NodeParts& parts) {
  // A log is made before anything is folded from it.
  std::string folded_from_it;
  for (const char* folded : {"/state.db", "/read_models", "/processes"}) {
    const auto names = parts.files.List(folder + folded);
    if (!parts.files.Exists(folder + folded) || (names.ok() && names->empty())) continue;
    folded_from_it = folder + folded;
    break;
  }
  auto opened = engine.Open(service, folder, folded_from_it.empty(),
                            {parts.clock, parts.random, parts.files, parts.scheduler});
  if (!absl::IsNotFound(opened.status()) || folded_from_it.empty()) return opened;
  return absl::DataLossError(absl::StrCat(opened.status().message(),
                                          " (its identity is missing), and ", folded_from_it,
                                          " was folded from one"));
}

void ObserveProgress(eventlog::EventLog& log, prometheus::Registry& metrics) {
  const std::map<std::string, std::string> labels = {{"service", log.identity().service}};
  prometheus::Histogram& seconds =
      prometheus::BuildHistogram()
          .Name("buurtlog_log_sync_seconds")
          .Help(
              "Time until what was appended together is durable, sync of the disk or the answer "
              "of the brokers included.")
          .Register(metrics)
          .Add(labels, prometheus::Histogram::BucketBoundaries{0.0002, 0.0005, 0.001, 0.002, 0.005,
                                                               0.01, 0.02, 0.05, 0.1, 0.5, 1});
  const auto counter = [&](const char* name, const char* help) {
    return &prometheus::BuildCounter().Name(name).Help(help).Register(metrics).Add(labels);
  };
  prometheus::Counter* const bytes = counter("buurtlog_log_appended_bytes_total",
                                             "Bytes of entries that became durable in the log.");
  prometheus::Counter* const epochs =
      counter("buurtlog_log_epochs_total", "Changes of the owner of a partition.");
  prometheus::Counter* const voids = counter("buurtlog_log_void_entries_total",
                                             "Entries of the log that will never count: of a "
                                             "fenced writer, sent twice, or behind a hole.");
  log.OnProgress([&seconds, bytes, epochs, voids](const eventlog::LogProgress& progress) {
    if (progress.took > absl::ZeroDuration()) {
      seconds.Observe(absl::ToDoubleSeconds(progress.took));
    }
    bytes->Increment(static_cast<double>(progress.bytes));
    epochs->Increment(static_cast<double>(progress.epochs));
    voids->Increment(static_cast<double>(progress.void_entries));
  });
}

// Of `sources` those that carry the named services. INVALID_ARGUMENT naming one that is missing.
absl::StatusOr<std::vector<LogSource>> SourcesOf(const std::vector<std::string>& services,
                                                 const std::vector<LogSource>& sources) {
  std::vector<LogSource> chosen;
  for (const std::string& service : services) {
    const auto source = std::find_if(sources.begin(), sources.end(), [&](const LogSource& s) {
      return s.codec->service() == service;
    });
    if (source == sources.end()) {
      return absl::InvalidArgumentError(absl::StrCat("no log of service ", service, " to follow"));
    }
    chosen.push_back(*source);
  }
  return chosen;
}

}  // namespace

struct ServiceNode::Impl {
  Impl(NodeOptions node_options, NodeParts node_parts)
      : options(std::move(node_options)), parts(node_parts), codec(options.service) {}

  std::shared_ptr<eventlog::Membership> membership() {
    absl::MutexLock lock(&membership_mutex);
    return membership_of_group;
  }
  // What it was goes when nobody asks it any more: it is asked by those who watch, at any time.
  void SetMembership(std::shared_ptr<eventlog::Membership> membership) {
    absl::MutexLock lock(&membership_mutex);
    membership_of_group.swap(membership);
  }

  const NodeOptions options;
  NodeParts parts;
  std::string folder;
  EventCodec codec;
  // Destroyed from the last to the first: who follows, then who writes, then what is written to.
  std::unique_ptr<eventlog::EventLog> log;
  std::string log_discarded;
  std::unique_ptr<StateStore> store;
  std::unique_ptr<CommandExecutor> executor;
  std::atomic<bool> executor_ready = false;
  std::string owner;
  std::atomic<bool> alone = true;  // no other replica, as far as the engine says
  absl::Mutex membership_mutex;
  std::shared_ptr<eventlog::Membership> membership_of_group ABSL_GUARDED_BY(membership_mutex);
  std::vector<std::unique_ptr<ProjectionRunner>> own_read_models;
  std::vector<std::unique_ptr<ProcessRunner>> own_processes;
  std::vector<ProjectionRunner*> read_models;
  std::vector<ProcessRunner*> processes;
  std::vector<std::string> process_names;
};

ServiceNode::ServiceNode(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

ServiceNode::~ServiceNode() { Stop(); }

absl::StatusOr<std::unique_ptr<ServiceNode>> ServiceNode::Open(
    NodeOptions options, NodeParts parts, std::vector<const AggregateType*> types) {
  options.executor.command_hash_key = options.command_hash_key;
  options.executor.shared = options.engine->shared();
  auto impl = std::make_unique<Impl>(std::move(options), parts);
  impl->folder = absl::StrCat(impl->options.data_folder, "/", impl->options.service);
  for (const char* child : {"", "/read_models", "/processes"}) {
    ABSL_RETURN_IF_ERROR(parts.files.MakeFolder(impl->folder + child));
  }
  for (const AggregateType* type : types) impl->codec.Register(type->category, type->event);
  ABSL_ASSIGN_OR_RETURN(auto opened, OpenOrMakeLog(*impl->options.engine, impl->options.service,
                                                   impl->folder, impl->parts));
  impl->log = std::move(opened.log);
  impl->log_discarded = std::move(opened.discarded);
  if (impl->log->identity().service != impl->options.service) {
    return absl::FailedPreconditionError(
        absl::StrCat("the log in the folder of ", impl->options.service, " is of another service"));
  }
  ObserveProgress(*impl->log, parts.metrics);
  ABSL_ASSIGN_OR_RETURN(impl->store, StateStore::Open(impl->folder + "/state.db", types,
                                                      impl->log->identity().partitions,
                                                      parts.scheduler, parts.files));
  ABSL_RETURN_IF_ERROR(impl->store->BelongTo(impl->log->identity().log_id));
  impl->executor = std::make_unique<CommandExecutor>(
      CommandExecutor::Parts{*impl->log, *impl->store, parts.scheduler, parts.clock, parts.random,
                             parts.metrics, impl->options.forwarder},
      std::move(types), impl->options.executor);
  std::unique_ptr<ServiceNode> node(new ServiceNode(std::move(impl)));
  node->SetOwner(node->impl_->options.owner);
  return node;
}

const std::string& ServiceNode::service() const { return impl_->options.service; }
eventlog::EventLog& ServiceNode::log() { return *impl_->log; }
const EventCodec& ServiceNode::codec() const { return impl_->codec; }
LogSource ServiceNode::source() { return {impl_->log.get(), &impl_->codec}; }
CommandExecutor& ServiceNode::executor() { return *impl_->executor; }
StateStore& ServiceNode::store() { return *impl_->store; }
const std::string& ServiceNode::log_discarded() const { return impl_->log_discarded; }
const std::string& ServiceNode::store_discarded() const { return impl_->store->discarded(); }

absl::StatusOr<ProjectionRunner*> ServiceNode::AddReadModel(std::unique_ptr<ReadModel> model,
                                                            const std::vector<LogSource>& sources) {
  ABSL_ASSIGN_OR_RETURN(std::vector<LogSource> chosen, SourcesOf(model->spec().services, sources));
  ABSL_ASSIGN_OR_RETURN(
      std::unique_ptr<ProjectionRunner> runner,
      ProjectionRunner::Open(
          impl_->folder + "/read_models", std::move(model), std::move(chosen),
          {impl_->parts.scheduler, impl_->parts.clock, impl_->parts.metrics, impl_->parts.files}));
  impl_->own_read_models.push_back(std::move(runner));
  impl_->read_models.push_back(impl_->own_read_models.back().get());
  return impl_->read_models.back();
}

absl::StatusOr<ProcessRunner*> ServiceNode::AddProcess(std::unique_ptr<Process> process,
                                                       const std::vector<LogSource>& sources) {
  ABSL_ASSIGN_OR_RETURN(std::vector<LogSource> chosen, SourcesOf(process->services(), sources));
  std::string name(process->name());
  ABSL_ASSIGN_OR_RETURN(
      std::unique_ptr<ProcessRunner> runner,
      ProcessRunner::Open(impl_->folder + "/processes", std::move(process), std::move(chosen),
                          {*impl_->executor, impl_->parts.scheduler, impl_->parts.clock,
                           impl_->parts.metrics, impl_->parts.files}));
  impl_->own_processes.push_back(std::move(runner));
  impl_->processes.push_back(impl_->own_processes.back().get());
  impl_->process_names.push_back(std::move(name));
  return impl_->processes.back();
}

void ServiceNode::SetOwner(std::string owner) {
  impl_->owner = owner;
  impl_->executor->SetOwner(std::move(owner));
}

absl::Status ServiceNode::Start() {
  // Read models catch up while the executor does.
  for (ProjectionRunner* runner : impl_->read_models) runner->Start();
  struct Outcome {
    absl::Notification known;
    absl::Status status;
  };
  auto outcome = std::make_shared<Outcome>();
  impl_->executor->Start([outcome](absl::Status status) {
    outcome->status = std::move(status);
    outcome->known.Notify();
  });
  outcome->known.WaitForNotification();
  ABSL_RETURN_IF_ERROR(outcome->status);
  impl_->executor_ready = true;
  ABSL_ASSIGN_OR_RETURN(
      std::unique_ptr<eventlog::Membership> membership,
      impl_->options.engine->Join(
          impl_->options.service, impl_->owner,
          [impl = impl_.get()](const std::vector<eventlog::Partition>& partitions) {
            impl->alone = partitions.size() == impl->log->identity().partitions;
            impl->executor->Assign(partitions);
          },
          impl_->parts.scheduler));
  impl_->SetMembership(std::move(membership));
  for (ProcessRunner* runner : impl_->processes) runner->Start();
  return absl::OkStatus();
}

void ServiceNode::Leave() {
  impl_->SetMembership(nullptr);
  if (impl_->options.engine->shared()) impl_->executor->Assign({});
}

bool ServiceNode::handed_over() const { return impl_->alone || impl_->executor->owned() == 0; }

void ServiceNode::Stop() {
  impl_->SetMembership(nullptr);
  // Processes first: they hand commands in.
  impl_->processes.clear();
  impl_->process_names.clear();
  impl_->read_models.clear();
  impl_->own_processes.clear();
  impl_->own_read_models.clear();
}

absl::Status ServiceNode::Ready() const {
  if (!impl_->executor_ready) return absl::UnavailableError("the executor has not caught up");
  if (absl::Status health = impl_->log->health(); !health.ok()) return About("log", health);
  if (absl::Status health = impl_->executor->health(); !health.ok())
    return About("executor", health);
  if (absl::Status health = impl_->store->health(); !health.ok())
    return About("state store", health);
  if (const auto membership = impl_->membership(); membership != nullptr) {
    if (absl::Status health = membership->health(); !health.ok()) return About("replicas", health);
  }
  for (const ProjectionRunner* runner : impl_->read_models) {
    const std::string what = absl::StrCat("read model ", runner->spec().name);
    if (absl::Status health = runner->health(); !health.ok()) return About(what, health);
    if (!runner->caught_up()) return About(what, absl::UnavailableError("has not caught up"));
  }
  for (size_t i = 0; i < impl_->processes.size(); ++i) {
    const ProcessRunner* runner = impl_->processes[i];
    const std::string what = absl::StrCat("process ", impl_->process_names[i]);
    if (absl::Status health = runner->health(); !health.ok()) return About(what, health);
  }
  return absl::OkStatus();
}

const std::vector<ProjectionRunner*>& ServiceNode::read_models() const {
  return impl_->read_models;
}
const std::vector<ProcessRunner*>& ServiceNode::processes() const { return impl_->processes; }

absl::StatusOr<uint32_t> LoadOrMakeWriteRelease(const std::string& shared_folder, Files& files) {
  const std::string path = shared_folder + "/write_release";
  if (!files.Exists(path)) {
    ABSL_RETURN_IF_ERROR(files.MakeFolder(shared_folder));
    const absl::Status made = files.WriteOnce(path, absl::StrCat(kEventRelease, "\n"));
    if (!made.ok() && !absl::IsAlreadyExists(made)) return made;
  }
  ABSL_ASSIGN_OR_RETURN(const std::string text, files.Read(path));
  uint32_t release = 0;
  if (!absl::SimpleAtoi(text, &release) || release == 0) {
    return absl::DataLossError(absl::StrCat(path, " is no number"));
  }
  if (release > kEventRelease) {
    return WithReason(absl::FailedPreconditionError(
                          absl::StrCat(path, ": the region writes release ", release,
                                       ", and this executable reads up to ", kEventRelease)),
                      "NEWER_RELEASE");
  }
  return release;
}

absl::StatusOr<std::string> LoadOrMakeCommandHashKey(const std::string& shared_folder,
                                                     const std::string& data_folder, Files& files,
                                                     Random& random) {
  const std::string folder = shared_folder + "/keys";
  const std::string path = folder + "/command_hash";
  if (!files.Exists(path)) {
    // It is made before the first log, and what logs hold can be recognised with no other one.
    for (const std::string& service :
         files.List(data_folder).value_or(std::vector<std::string>())) {
      const std::string kept = absl::StrCat(data_folder, "/", service);
      if (!files.Exists(kept + "/log/identity") && !files.Exists(kept + "/topic/identity"))
        continue;
      if (files.Exists(path)) break;  // made meanwhile, by a service that started at the same time
      return absl::DataLossError(absl::StrCat(path, " is missing, and there are logs"));
    }
    std::string bytes(kHashKeyBytes, '\0');
    random.Fill(absl::MakeSpan(reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()));
    bytes += CrcOf(bytes);
    ABSL_RETURN_IF_ERROR(files.MakeFolder(folder));
    const absl::Status made = files.WriteOnce(path, bytes);
    // Services that start at once on one folder all take the key of the first.
    if (!made.ok() && !absl::IsAlreadyExists(made)) return made;
  }
  ABSL_ASSIGN_OR_RETURN(const std::string stored, files.Read(path));
  const std::string key = stored.substr(0, kHashKeyBytes);
  if (stored.size() != kHashKeyBytes && stored.substr(key.size()) != CrcOf(key)) {
    return absl::DataLossError(absl::StrCat(path, " is damaged"));
  }
  return key;
}

}  // namespace buurtlog::eventsourcing
