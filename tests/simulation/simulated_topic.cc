#include "tests/simulation/simulated_topic.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/check.h"
#include "libs/eventlog/identity_file.h"
#include "libs/eventlog/topic_message.h"

namespace buurtlog::simulation {
namespace {

using eventlog::Offset;
using eventlog::Partition;
using eventlog::TopicMessage;

// As the producer's message.timeout.ms.
constexpr absl::Duration kTimeOut = absl::Seconds(2);
constexpr absl::Duration kTripMax = absl::Milliseconds(3);
constexpr absl::Duration kUnderWayMax = absl::Seconds(12);
constexpr absl::Duration kLookAgain = absl::Milliseconds(200);
constexpr uint64_t kTakenAtOnceMax = 20;

enum class Fault : uint64_t { kLost, kLostReport, kLate, kDoubled, kRefused, kNone };

}  // namespace

void Link::Pass(Task task) {
  if (held_) return waiting_.push_back(std::move(task));
  task();
}

void Link::LetGo() {
  held_ = false;
  for (Task& task : std::exchange(waiting_, {})) task();
}

void Link::Drop() {
  held_ = false;
  waiting_.clear();
}

// ---- one machine's view

// Reads on behind what it has given.
class SimulatedTopic::Following : public std::enable_shared_from_this<Following> {
 public:
  Following(SimulatedTopic& topic, Link& link, std::vector<Offset> from,
            eventlog::Topic::Follower follower)
      : topic_(topic), link_(link), next_(std::move(from)), follower_(std::move(follower)) {}

  // What stands there when one begins to follow comes at once.
  void TakeAll() {
    for (Partition partition = 0; partition < next_.size(); ++partition) {
      while (Take(partition, UINT64_MAX)) {
      }
    }
  }
  void Grew(Partition partition) { Later(topic_.dice_.UpTo(kTripMax), partition); }
  void Stop() { follower_.take = nullptr; }

 private:
  void Later(absl::Duration delay, Partition partition) {
    topic_.later_.PostAfter(delay, [weak = weak_from_this(), partition] {
      const auto self = weak.lock();
      if (self == nullptr) return;
      self->link_.Pass([weak, partition] {
        if (const auto still = weak.lock(); still != nullptr) still->Look(partition);
      });
    });
  }
  void Look(Partition partition) {
    if (link_.cut) return Later(kLookAgain, partition);
    if (Take(partition, 1 + topic_.dice_.Below(kTakenAtOnceMax))) Grew(partition);
  }
  // True when there may be more.
  bool Take(Partition partition, uint64_t count_max) {
    if (follower_.take == nullptr) return false;
    const std::vector<Message>& messages = topic_.messages_[partition];
    Offset& next = next_[partition];
    const auto end = static_cast<Offset>(messages.size());
    if (next > end) {
      follower_.lost(partition, absl::DataLossError(absl::StrCat("partition ", partition,
                                                                 " ends before offset ", next)));
      return false;
    }
    std::vector<TopicMessage> taken;
    for (; next < end && taken.size() < count_max; ++next) {
      const Message& message = messages[static_cast<size_t>(next)];
      taken.push_back({partition, next, message.key, message.value});
    }
    if (taken.empty()) return false;
    follower_.take(taken);
    return true;
  }

  SimulatedTopic& topic_;
  Link& link_;
  std::vector<Offset> next_;
  eventlog::Topic::Follower follower_;
};

class SimulatedTopic::Producer final : public eventlog::TopicProducer {
 public:
  Producer(SimulatedTopic& topic, Link& link)
      : topic_(topic), link_(link), lands_last_(topic.identity_.partitions) {}

  void Send(Partition partition, std::string key, std::string value,
            absl::AnyInvocable<void(absl::Status)> delivered) override {
    const Fault fault = FaultOfThis();
    Dice& dice = topic_.dice_;
    TaskQueue& later = topic_.later_;
    // Reported once, and not when the producer is gone.
    const auto report = [alive = std::weak_ptr<bool>(alive_),
                         done = std::make_shared<absl::AnyInvocable<void(absl::Status)>>(
                             std::move(delivered))](const absl::Status& status) {
      if (alive.expired() || *done == nullptr) return;
      std::exchange(*done, nullptr)(status);
    };
    if (fault == Fault::kRefused) {
      return later.PostAfter(dice.UpTo(kTripMax), [report] {
        report(absl::InvalidArgumentError("the broker does not take this message"));
      });
    }
    later.PostAfter(kTimeOut, [report] { report(absl::UnavailableError("timed out")); });
    if (fault == Fault::kLost) return;
    // In the order of sending.
    absl::Duration& lands = lands_last_[partition];
    const absl::Duration now = topic_.scheduler_.Now();
    lands = std::max(lands + absl::Microseconds(1),
                     now + dice.UpTo(fault == Fault::kLate ? kUnderWayMax : kTripMax));
    const auto land = [&topic = topic_, partition,
                       message = Message{std::move(key), std::move(value)}] {
      topic.Land(partition, message);
    };
    later.PostAfter(lands - now, [&link = link_, &later, land, report,
                                  told = fault != Fault::kLostReport, back = dice.UpTo(kTripMax)] {
      link.Pass([&link, &later, land, report, told, back] {
        land();
        if (!told) return;
        later.PostAfter(back, [&link, report] {
          if (!link.cut) report(absl::OkStatus());
        });
      });
    });
    if (fault == Fault::kDoubled) later.PostAfter(lands - now + dice.UpTo(kUnderWayMax), land);
  }

 private:
  Fault FaultOfThis() {
    if (link_.cut) return Fault::kLost;
    if (link_.one_in == 0 || !topic_.dice_.OneIn(link_.one_in)) return Fault::kNone;
    ++topic_.report_.faults;
    return static_cast<Fault>(topic_.dice_.Below(static_cast<uint64_t>(Fault::kNone)));
  }

  SimulatedTopic& topic_;
  Link& link_;
  std::vector<absl::Duration> lands_last_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

class SimulatedTopic::Connection final : public eventlog::Topic {
 public:
  Connection(SimulatedTopic& topic, Link& link)
      : topic_(topic), link_(link), place_id_("simulated/" + topic.identity_.service) {}

  const eventlog::LogIdentity& identity() const override { return topic_.identity_; }
  const std::string& place_id() const override { return place_id_; }
  std::unique_ptr<eventlog::TopicProducer> NewProducer() override {
    return std::make_unique<Producer>(topic_, link_);
  }
  absl::StatusOr<std::vector<Offset>> Ends() override {
    if (link_.cut) return absl::UnavailableError("no broker");
    std::vector<Offset> ends;
    for (const auto& messages : topic_.messages_) {
      ends.push_back(static_cast<Offset>(messages.size()));
    }
    return ends;
  }
  std::unique_ptr<eventlog::Subscription> Follow(std::vector<Offset> from,
                                                 Follower follower) override {
    class Subscribed final : public eventlog::Subscription {
     public:
      explicit Subscribed(std::shared_ptr<Following> following)
          : following_(std::move(following)) {}
      ~Subscribed() override { following_->Stop(); }

     private:
      const std::shared_ptr<Following> following_;
    };
    auto following =
        std::make_shared<Following>(topic_, link_, std::move(from), std::move(follower));
    following->TakeAll();
    topic_.followers_.push_back(following);
    return std::make_unique<Subscribed>(std::move(following));
  }

 private:
  SimulatedTopic& topic_;
  Link& link_;
  const std::string place_id_;
};

// ---- the broker

SimulatedTopic::SimulatedTopic(eventlog::LogIdentity identity, Scheduler& scheduler,
                               TaskQueue& later, uint64_t seed, Report& report)
    : identity_(std::move(identity)),
      scheduler_(scheduler),
      later_(later),
      dice_(seed),
      report_(report),
      messages_(identity_.partitions) {
  const auto text = eventlog::EncodeIdentity(identity_);
  CHECK(text.ok());
  for (auto& messages : messages_) {
    messages.push_back({eventlog::MessageKey(identity_, eventlog::kIdentitySend), *text});
  }
}

std::unique_ptr<eventlog::Topic> SimulatedTopic::Connect(Link& link) {
  return std::make_unique<Connection>(*this, link);
}

void SimulatedTopic::Land(Partition partition, const Message& message) {
  messages_[partition].push_back(message);
  std::erase_if(followers_, [](const auto& follower) { return follower.expired(); });
  for (const auto& weak : followers_) weak.lock()->Grew(partition);
}

void SimulatedTopic::CutFrom(Partition partition, Offset offset) {
  messages_[partition].resize(static_cast<size_t>(offset));
}

}  // namespace buurtlog::simulation
