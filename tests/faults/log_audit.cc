#include "tests/faults/log_audit.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/scheduler.h"
#include "libs/base/status_macros.h"
#include "libs/eventsourcing/event_codec.h"
#include "tools/buurtlog/catalogue.h"

namespace buurtlog::faults {
namespace {

std::string KeyText(const log::v1::Record& record) {
  const absl::StatusOr<Uuid> key = UuidFromBytes(record.idempotency_key());
  return key.ok() ? key->ToString() : "no key";
}

}  // namespace

absl::Status LogAudit::ReadOn() {
  const std::unique_ptr<Scheduler> scheduler = NewThreadPoolScheduler(1);
  ABSL_ASSIGN_OR_RETURN(const command::OpenLogs logs,
                        command::OpenLogsOf(data_folder_, *scheduler, words_));
  for (const auto& reader : logs.readers) {
    const eventlog::LogIdentity& identity = reader->identity();
    std::vector<eventlog::FoldState>& places = places_[identity.service];
    for (uint32_t p = 0; p < identity.partitions; ++p) {
      if (places.size() == p) places.push_back(eventlog::InitialFoldState(identity, p));
      eventlog::FoldState& at = places[p];
      for (uint64_t before = 0; at.next != before;) {
        before = at.next;
        ABSL_RETURN_IF_ERROR(
            reader->Read(p, at, {}, [&](const eventlog::EntryView& entry) -> absl::Status {
              if (entry.header.kind != eventlog::EntryKind::kRecord) return absl::OkStatus();
              ABSL_ASSIGN_OR_RETURN(const log::v1::Record record,
                                    eventsourcing::EventCodec::ParseRecord(entry));
              ++records_;
              const std::string key = KeyText(record);
              const Place place{identity.service, p, entry.header.sequence};
              if (!by_key_.emplace(key, place).second) {
                twice_.push_back(absl::StrCat("the key ", key, " stands in the logs twice, the ",
                                              "second time at ", place.service, "/", p, "/",
                                              place.sequence));
              }
              return absl::OkStatus();
            }));
      }
    }
  }
  return absl::OkStatus();
}

const LogAudit::Place* LogAudit::PlaceOf(const std::string& key) const {
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? nullptr : &found->second;
}

std::vector<std::string> LogAudit::Compare(const std::vector<Done>& done) {
  std::vector<std::string> violations = std::exchange(twice_, {});
  for (; compared_ < done.size(); ++compared_) {
    const Done& one = done[compared_];
    const auto found = by_key_.find(one.wish->key);
    const std::string name = absl::StrCat(one.wish->what, " ", one.wish->key);
    if (found == by_key_.end()) {
      violations.push_back(absl::StrCat(name, " was answered and is in no log"));
    } else if (!one.answer.refused && (found->second.service != one.answer.position.service() ||
                                       found->second.partition != one.answer.position.partition() ||
                                       found->second.sequence != one.answer.position.sequence())) {
      violations.push_back(absl::StrCat(name, " is not at the place that its receipt names"));
    }
  }
  for (std::string& sentence : OutOfOrder(done)) violations.push_back(std::move(sentence));
  return violations;
}

// A log is one order of what happened: whatever was answered before something else was asked stands
// before that.
std::vector<std::string> LogAudit::OutOfOrder(const std::vector<Done>& done) const {
  std::map<std::pair<std::string, uint32_t>, std::map<uint64_t, const Done*>> partitions;
  for (const Done& one : done) {
    const Place* const place = PlaceOf(one.wish->key);
    if (place != nullptr) partitions[{place->service, place->partition}][place->sequence] = &one;
  }
  std::vector<std::string> violations;
  for (const auto& [name, by_sequence] : partitions) {
    const Done* last_begun = nullptr;
    for (const auto& [sequence, one] : by_sequence) {
      if (last_begun != nullptr && one->ended < last_begun->begun) {
        violations.push_back(
            absl::StrCat(one->wish->what, " ", one->wish->key, " was answered before ",
                         last_begun->wish->what, " ", last_begun->wish->key,
                         " was asked, and stands behind it in ", name.first, "/", name.second));
      }
      if (last_begun == nullptr || one->begun > last_begun->begun) last_begun = one;
    }
  }
  return violations;
}

}  // namespace buurtlog::faults
