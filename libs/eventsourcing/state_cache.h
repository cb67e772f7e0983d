// States of streams by key, in memory: the newest ones used stay. Private to libs/eventsourcing.
#pragma once

#include <google/protobuf/message.h>

#include <list>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "libs/base/ids.h"
#include "libs/eventsourcing/decider.h"

namespace buurtlog::eventsourcing {

// A stream within a partition of one service.
struct StreamKey {
  const AggregateType* type = nullptr;
  Uuid id;
  friend bool operator==(const StreamKey&, const StreamKey&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const StreamKey& k) {
    return H::combine(std::move(h), k.type, k.id);
  }
};

// A folded state. Shared by cache and batches under way, so it is never changed once it is shared.
struct VersionedState {
  uint64_t version = 0;
  std::shared_ptr<const google::protobuf::Message> state;
};

// Keeps the `size_max` states that were used last. Not thread-safe.
class StateCache {
 public:
  explicit StateCache(size_t size_max) : size_max_(size_max) {}

  // Null when it is not here. Valid until the next change.
  const VersionedState* Find(const StreamKey& key) {
    const auto it = by_key_.find(key);
    if (it == by_key_.end()) return nullptr;
    by_use_.splice(by_use_.begin(), by_use_, it->second);
    return &it->second->second;
  }

  const VersionedState& Put(const StreamKey& key, VersionedState state) {
    const auto [it, is_new] = by_key_.try_emplace(key);
    if (!is_new) {
      it->second->second = std::move(state);
      by_use_.splice(by_use_.begin(), by_use_, it->second);
      return by_use_.front().second;
    }
    by_use_.emplace_front(key, std::move(state));
    it->second = by_use_.begin();
    if (by_use_.size() > size_max_ && by_use_.size() > 1) {
      by_key_.erase(by_use_.back().first);
      by_use_.pop_back();
    }
    return by_use_.front().second;
  }

  void Clear() {
    by_key_.clear();
    by_use_.clear();
  }

 private:
  using Entries = std::list<std::pair<StreamKey, VersionedState>>;
  const size_t size_max_;
  Entries by_use_;  // the one used last in front
  absl::flat_hash_map<StreamKey, Entries::iterator> by_key_;
};

}  // namespace buurtlog::eventsourcing
