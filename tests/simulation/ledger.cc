#include "tests/simulation/ledger.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "libs/base/refusal.h"
#include "libs/base/status_macros.h"

namespace buurtlog::simulation {
namespace {

std::string BytesOf(const Ledger::Answer& answer) {
  if (answer.ok()) return answer->SerializeAsString();
  return absl::StrCat(answer.status().ToString(), " ",
                      StatusReason(answer.status()).value_or("without a reason"));
}

// These say that this try did nothing; the same command may be tried again.
bool SaysNoEffect(absl::StatusCode code) {
  return code == absl::StatusCode::kAborted || code == absl::StatusCode::kNotFound ||
         code == absl::StatusCode::kInvalidArgument ||
         code == absl::StatusCode::kDeadlineExceeded ||
         code == absl::StatusCode::kResourceExhausted;
}

// These may come before the key was looked up, so also for a command that was answered before.
bool ComesBeforeTheKey(absl::StatusCode code) {
  return code == absl::StatusCode::kInvalidArgument ||
         code == absl::StatusCode::kDeadlineExceeded ||
         code == absl::StatusCode::kResourceExhausted || code == absl::StatusCode::kUnavailable;
}

absl::Status Broken(const Wish& wish, const std::string& what) {
  return absl::InternalError(absl::StrCat("command ", wish.key.ToString(), " [",
                                          absl::StrJoin(wish.texts, ","), "]: ", what));
}

}  // namespace

Ledger::Name& Ledger::NameOf(const Wish& wish) {
  return names_[{wish.key.ToBytes(), wish.actor.ToBytes()}];
}

Wish& Ledger::Add(Wish wish) {
  Wish& added = wishes_.emplace_back(std::move(wish));
  NameOf(added).wishes.push_back(&added);
  return added;
}

void Ledger::Sent(const Wish& wish) { ++NameOf(wish).under_way; }

void Ledger::Unheard(const Wish& wish) {
  Name& name = NameOf(wish);
  --name.under_way;
  name.unknown = true;
}

absl::Status Ledger::Answered(Wish& wish, const Answer& answer, bool was_answered) {
  Name& name = NameOf(wish);
  --name.under_way;
  const absl::StatusCode code = answer.status().code();
  const bool lasts = answer.ok() || absl::IsFailedPrecondition(answer.status());
  if (wish.validate_only) {
    if (answer.ok() && answer->has_position()) return Broken(wish, "a rehearsal has a position");
    if (absl::IsUnavailable(answer.status())) name.unknown = true;
    return absl::OkStatus();
  }
  if (wish.answer.has_value()) {
    if (lasts && BytesOf(answer) != *wish.answer) {
      return Broken(wish, absl::StrCat("a repeat was answered otherwise: ", BytesOf(answer),
                                       " instead of ", *wish.answer));
    }
    if (!lasts && was_answered && !ComesBeforeTheKey(code)) {
      return Broken(wish, absl::StrCat("was answered, and then refused: ", BytesOf(answer)));
    }
    return absl::OkStatus();
  }
  if (lasts && wish.key_is_of_another) {
    return Broken(wish, "took effect under a key that named another command");
  }
  if (answer.ok()) {
    const uint64_t first = answer->version() - wish.texts.size();
    if (wish.expected_version.has_value() && *wish.expected_version != first) {
      return Broken(wish, absl::StrCat("took effect at version ", first, " instead of ",
                                       *wish.expected_version));
    }
    wish.receipt = *answer;
    uint64_t& version = versions_[wish.list];
    version = std::max(version, answer->version());
  }
  if (lasts) wish.answer = BytesOf(answer);
  if (absl::IsAlreadyExists(answer.status())) wish.key_is_of_another = true;
  if (absl::IsUnavailable(answer.status())) name.unknown = true;
  if (SaysNoEffect(code)) name.no_effect = true;
  if (lasts || absl::IsAlreadyExists(answer.status()) || absl::IsUnavailable(answer.status()) ||
      SaysNoEffect(code)) {
    return absl::OkStatus();
  }
  return Broken(wish, absl::StrCat("an answer that is not promised: ", BytesOf(answer)));
}

absl::Status Ledger::CheckReceipt(const Wish& wish, const RawRecord& raw) const {
  const type::v1::Receipt& receipt = *wish.receipt;
  const log::v1::Record& record = raw.record;
  const auto events = static_cast<uint64_t>(record.events_size());
  bool same = receipt.position().partition() == raw.partition &&
              receipt.position().sequence() == raw.sequence &&
              receipt.version() == record.first_version() + events &&
              receipt.event_ids_size() == record.events_size() &&
              record.stream_id() == wish.list.ToBytes() && !record.has_refusal();
  for (int i = 0; same && i < record.events_size(); ++i) {
    const absl::StatusOr<Uuid> id = UuidFromBytes(record.events(i).event_id());
    same = id.ok() && id->ToString() == receipt.event_ids(i);
  }
  return same ? absl::OkStatus()
              : Broken(wish, absl::StrCat("the receipt names another record than that at ",
                                          raw.partition, "/", raw.sequence));
}

absl::Status Ledger::CheckName(const CommandKey& key, const Name& name, const RawLog& log) const {
  const auto found = log.records.find(key);
  const bool stands = found != log.records.end();
  for (const Wish* wish : name.wishes) {
    if (wish->answer.has_value() && !stands) return Broken(*wish, "was acknowledged and is lost");
    if (wish->key_is_of_another && !stands) {
      return Broken(*wish, "was told that its key names another command; none stands in the log");
    }
    if (wish->receipt.has_value()) ABSL_RETURN_IF_ERROR(CheckReceipt(*wish, found->second));
    if (wish->answer.has_value() && !wish->receipt.has_value() &&
        !found->second.record.has_refusal()) {
      return Broken(*wish, "was refused, and counts");
    }
  }
  const bool answered = std::any_of(name.wishes.begin(), name.wishes.end(),
                                    [](const Wish* wish) { return wish->answer.has_value(); });
  if (stands && !answered && name.no_effect && !name.unknown && name.under_way == 0) {
    return Broken(*name.wishes.front(), "was never taken, and counts");
  }
  const bool rehearsal = std::all_of(name.wishes.begin(), name.wishes.end(),
                                     [](const Wish* wish) { return wish->validate_only; });
  return stands && rehearsal ? Broken(*name.wishes.front(), "was a rehearsal, and counts")
                             : absl::OkStatus();
}

absl::Status Ledger::Check(const RawLog& log) const {
  for (const auto& [key, name] : names_) ABSL_RETURN_IF_ERROR(CheckName(key, name, log));
  for (const auto& [key, raw] : log.records) {
    if (!names_.contains(key)) return absl::InternalError("a record that nobody asked for");
  }
  return absl::OkStatus();
}

uint64_t Ledger::KnownVersion(const Uuid& list) const {
  const auto found = versions_.find(list);
  return found == versions_.end() ? 0 : found->second;
}

}  // namespace buurtlog::simulation
