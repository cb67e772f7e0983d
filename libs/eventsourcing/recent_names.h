// The names of the newest commands of one partition, so that a command that was never seen before
// is known to be new without a look into the file. Keys are UUIDv7, in the order of their making,
// and callers make them when they need them: nearly every key is younger than all but the newest.
// Private to libs/eventsourcing.
#pragma once

#include <cstddef>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/container/btree_map.h"
#include "libs/base/ids.h"
#include "libs/eventlog/record.h"
#include "libs/eventsourcing/state_store.h"

namespace buurtlog::eventsourcing {

// Names kept of a partition. When there are more, the older half goes.
inline constexpr size_t kRecentNamesMax = 8'192;

// Above every key.
inline constexpr Uuid kKnowsNothing = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                        0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

// Not thread-safe.
class RecentNames {
 public:
  // Knows all names of the partition with a key above `newest`.
  explicit RecentNames(const Uuid& newest) : known_above_(newest) {}

  void Add(const CommandName& name, eventlog::Sequence sequence) {
    if (!Knows(name.key)) return;
    names_.insert_or_assign({name.key, name.actor}, sequence);
    if (names_.size() > kRecentNamesMax) ForgetOlderHalf();
  }

  // True when Find has the answer for this key.
  bool Knows(const Uuid& key) const { return key > known_above_; }
  std::optional<eventlog::Sequence> Find(const CommandName& name) const {
    const auto found = names_.find({name.key, name.actor});
    if (found == names_.end()) return std::nullopt;
    return found->second;
  }

 private:
  void ForgetOlderHalf() {
    const auto middle = std::next(names_.begin(), static_cast<std::ptrdiff_t>(names_.size() / 2));
    known_above_ = middle->first.first;
    // Others may share that key.
    names_.erase(names_.begin(), names_.upper_bound({known_above_, kKnowsNothing}));
  }

  Uuid known_above_;
  absl::btree_map<std::pair<Uuid, Uuid>, eventlog::Sequence> names_;  // by key and actor
};

}  // namespace buurtlog::eventsourcing
