// What the callers of a simulation know, kept apart from the system: which commands they sent, what
// they were answered, and what must therefore stand in the log, and what must not.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "buurtlog/type/v1/command.pb.h"
#include "libs/eventsourcing/command_executor.h"
#include "tests/simulation/raw_log.h"

namespace buurtlog::simulation {

// One command of a client, however often it is sent.
struct Wish {
  Uuid key;
  Uuid actor;
  Uuid list;
  std::vector<std::string> texts;  // "refuse": a rule says no
  std::optional<uint64_t> expected_version;
  bool validate_only = false;
  // The answer for ever, once it came: as bytes, and the receipt if it is one.
  std::optional<std::string> answer;
  std::optional<type::v1::Receipt> receipt;
  // What else is known for good.
  bool key_is_of_another = false;
};

class Ledger {
 public:
  using Answer = absl::StatusOr<type::v1::Receipt>;

  // Stays where it is for good.
  Wish& Add(Wish wish);
  size_t size() const { return wishes_.size(); }
  Wish& wish(size_t i) { return wishes_[i]; }

  // It is on its way, so until it is answered nobody knows whether it takes effect.
  void Sent(const Wish& wish);
  // An answer that reached the caller. An error says what must not be. `was_answered`: for good,
  // when this attempt was sent; one that was under way beside may have been decided before.
  absl::Status Answered(Wish& wish, const Answer& answer, bool was_answered);
  // The caller never hears what became of this one.
  void Unheard(const Wish& wish);

  // Everything that was answered stands in the log, and nothing that was refused.
  absl::Status Check(const RawLog& log) const;
  // The newest version of a list that a caller has a receipt for.
  uint64_t KnownVersion(const Uuid& list) const;

 private:
  // All wishes under one key of one actor, and what is known of them together.
  struct Name {
    std::vector<const Wish*> wishes;
    int under_way = 0;
    bool unknown = false;    // one went unheard, or was answered UNAVAILABLE
    bool no_effect = false;  // one was answered in a way that says so
  };
  Name& NameOf(const Wish& wish);
  absl::Status CheckReceipt(const Wish& wish, const RawRecord& raw) const;
  absl::Status CheckName(const CommandKey& key, const Name& name, const RawLog& log) const;

  std::deque<Wish> wishes_;
  std::map<CommandKey, Name> names_;
  std::map<Uuid, uint64_t> versions_;
};

}  // namespace buurtlog::simulation
