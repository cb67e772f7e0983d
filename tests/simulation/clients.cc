#include "tests/simulation/clients.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/eventsourcing/testing/list_aggregate.h"

namespace buurtlog::simulation {
namespace {

using eventsourcing::Command;
using eventsourcing::CommandContext;
using eventsourcing::Position;
using eventsourcing::StoredState;
using eventsourcing::testing::ListValue;
using eventsourcing::testing::Value;

constexpr size_t kActors = 4;
constexpr size_t kListsAtOnce = 8;
// A list that is longer is left alone: states grow with it.
constexpr uint64_t kTextsMax = 24;
constexpr absl::Duration kDeadlineMax = absl::Seconds(3);

}  // namespace

Clients::Clients(uint64_t seed, Clock& clock, Report& report)
    : dice_(seed), clock_(clock), random_(seed), report_(report) {
  for (size_t i = 0; i < kActors; ++i) actors_.push_back(NewUuid(clock_.Now(), random_));
  for (size_t i = 0; i < kListsAtOnce; ++i) lists_.push_back(NewUuid(clock_.Now(), random_));
}

void Clients::Violated(const absl::Status& status) {
  if (!status.ok()) report_.violations.push_back(status.ToString());
}

void Clients::Act(Machine& machine) {
  const uint64_t what = dice_.Below(100);
  if (what < 66 || ledger_.size() == 0) return SendNew(machine);
  if (what < 82) return Send(machine, ledger_.wish(dice_.Below(ledger_.size())));
  if (what < 84) return SendWithUsedKey(machine);
  if (what < 90) return AskListModel(machine);
  if (what < 95) return AskCopyModel(machine);
  AskState(machine);
}

Uuid Clients::PickList() {
  Uuid& list = lists_[dice_.Below(lists_.size())];
  if (ledger_.KnownVersion(list) >= kTextsMax) list = NewUuid(clock_.Now(), random_);
  return list;
}

Wish* Clients::PickReceipt() {
  for (int i = 0; i < 8; ++i) {
    Wish& wish = ledger_.wish(dice_.Below(ledger_.size()));
    if (wish.receipt.has_value()) return &wish;
  }
  return nullptr;
}

void Clients::SendNew(Machine& machine) {
  Wish wish;
  wish.key = NewUuid(clock_.Now(), random_);
  wish.actor = actors_[dice_.Below(actors_.size())];
  wish.list = PickList();
  if (dice_.OneIn(10)) {
    wish.texts = {"refuse"};
  } else {
    const std::string mark = dice_.OneIn(6) ? std::string(1, kPrivateMark) : "";
    const uint64_t texts = dice_.OneIn(5) ? 2 + dice_.Below(3) : 1;
    for (uint64_t i = 0; i < texts; ++i) {
      wish.texts.push_back(absl::StrCat("text ", ++next_text_, mark));
    }
  }
  if (dice_.OneIn(6)) {
    wish.expected_version =
        dice_.OneIn(2) ? ledger_.KnownVersion(wish.list) : dice_.Below(kTextsMax);
  }
  wish.validate_only = dice_.OneIn(20);
  Send(machine, ledger_.Add(std::move(wish)));
}

void Clients::SendWithUsedKey(Machine& machine) {
  Wish wish = ledger_.wish(dice_.Below(ledger_.size()));
  if (wish.validate_only) return;
  wish.texts = {absl::StrCat("text ", ++next_text_)};
  wish.answer.reset();
  wish.receipt.reset();
  wish.expected_version.reset();
  wish.key_is_of_another = false;
  Send(machine, ledger_.Add(std::move(wish)));
}

Command Clients::CommandOf(Machine& machine, const Wish& wish) {
  Command command = eventsourcing::MakeCommand(ListAggregate(), wish.list, wish.list,
                                               eventsourcing::testing::RequestFor(wish.texts));
  command.idempotency_key = wish.key;
  command.actor.set_person_id(wish.actor.ToBytes());
  command.expected_version = wish.expected_version;
  command.validate_only = wish.validate_only;
  if (dice_.OneIn(10)) command.deadline = machine.clock().Now() + dice_.UpTo(absl::Milliseconds(5));
  return command;
}

void Clients::Send(Machine& machine, Wish& wish) {
  ++report_.commands;
  ++under_way_;
  ledger_.Sent(wish);
  machine.lists().executor->Execute(
      CommandOf(machine, wish),
      [this, &machine, &wish, life = machine.life(), was_answered = wish.answer.has_value(),
       answered = false](Ledger::Answer answer) mutable {
        if (std::exchange(answered, true)) {
          return Violated(absl::InternalError("a command was answered twice"));
        }
        --under_way_;
        if (machine.life() != life || machine.disk().crashed() || dice_.OneIn(25)) {
          return ledger_.Unheard(wish);
        }
        ++report_.answers;
        Violated(ledger_.Answered(wish, answer, was_answered));
      });
}

void Clients::SendUnwatched(Machine& machine) {
  Wish wish;
  wish.key = NewUuid(clock_.Now(), random_);
  wish.actor = actors_.front();
  wish.list = NewUuid(clock_.Now(), random_);
  wish.texts = {absl::StrCat("text ", ++next_text_)};
  machine.lists().executor->Execute(CommandOf(machine, wish), [](const Ledger::Answer&) {});
}

size_t Clients::RepeatUnanswered(Machine& machine, size_t count) {
  size_t sent = 0;
  while (next_repeated_ < ledger_.size() && sent < count) {
    Wish& wish = ledger_.wish(next_repeated_++);
    if (wish.answer.has_value() || wish.key_is_of_another || wish.validate_only) continue;
    Send(machine, wish);
    ++sent;
  }
  return sent;
}

void Clients::Shown(const Uuid& list, const ListRow& row) {
  const auto [known, is_new] = shown_[list].emplace(row.texts, row.mix);
  if (is_new || known->second == row.mix) return;
  Violated(absl::InternalError(
      absl::StrCat("list ", list.ToString(), " was shown with ", row.texts, " texts in two ways")));
}

void Clients::AskListModel(Machine& machine) {
  const Wish* wish = PickReceipt();
  if (wish == nullptr) return;
  ++report_.queries;
  machine.list_model().Query<ListRow>(
      {eventsourcing::FromProto(wish->receipt->position())},
      machine.clock().Now() + dice_.UpTo(kDeadlineMax),
      [list = wish->list](sqlite::Connection& rows) { return ReadListRow(rows, list); },
      [this, &machine, wish, life = machine.life()](absl::StatusOr<ListRow> row) {
        if (machine.life() != life || machine.disk().crashed() || !row.ok()) return;
        Shown(wish->list, *row);
        if (row->texts >= static_cast<int64_t>(wish->receipt->version())) return;
        Violated(absl::InternalError(
            absl::StrCat("a query at the position of version ", wish->receipt->version(),
                         " of list ", wish->list.ToString(), " saw ", row->texts, " texts")));
      });
}

void Clients::AskCopyModel(Machine& machine) {
  const Wish* wish = PickReceipt();
  if (wish == nullptr) return;
  ++report_.queries;
  machine.copy_model().Query<CopyRow>(
      {eventsourcing::FromProto(wish->receipt->position())},
      machine.clock().Now() + dice_.UpTo(kDeadlineMax),
      [list = wish->list](sqlite::Connection& rows) { return ReadCopyRow(rows, list); },
      [this, &machine, wish, life = machine.life()](absl::StatusOr<CopyRow> row) {
        if (machine.life() != life || machine.disk().crashed() || !row.ok()) return;
        if (row->texts >= static_cast<int64_t>(wish->receipt->version())) return;
        Violated(absl::InternalError(
            absl::StrCat("a joining query at the position of version ", wish->receipt->version(),
                         " of list ", wish->list.ToString(), " saw ", row->texts, " texts")));
      });
}

void Clients::AskState(Machine& machine) {
  const Uuid list = lists_[dice_.Below(lists_.size())];
  ++report_.queries;
  machine.lists().executor->ReadState(
      ListAggregate(), list, list,
      [this, &machine, list, life = machine.life()](absl::StatusOr<StoredState> state) {
        if (machine.life() != life || machine.disk().crashed() || !state.ok()) return;
        ListValue texts;
        ListRow row;
        if (!texts.ParseFromString(state->state)) {
          return Violated(absl::InternalError("a state that cannot be read"));
        }
        for (const Value& text : texts.values()) {
          row = {row.texts + 1, MixText(row.mix, text.string_value())};
        }
        if (static_cast<uint64_t>(row.texts) != state->version) {
          return Violated(absl::InternalError("a state with another version than it has events"));
        }
        Shown(list, row);
      });
}

absl::Status Clients::Check(const RawLog& log) const {
  ABSL_RETURN_IF_ERROR(ledger_.Check(log));
  for (const auto& [list, rows] : shown_) {
    const auto stream = log.streams.find(list.ToBytes());
    ListRow row;
    for (const auto& [texts, mix] : rows) {
      while (row.texts < texts) {
        if (stream == log.streams.end() ||
            stream->second.texts.size() <= static_cast<size_t>(row.texts)) {
          return absl::InternalError(absl::StrCat("list ", list.ToString(), " was shown with ",
                                                  texts, " texts; the log has ", row.texts));
        }
        const RawText& text = stream->second.texts[static_cast<size_t>(row.texts)];
        row = {row.texts + 1, MixText(row.mix, text.text)};
      }
      if (row.mix != mix) {
        return absl::InternalError(
            absl::StrCat("list ", list.ToString(), " was shown with texts that do not count"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace buurtlog::simulation
