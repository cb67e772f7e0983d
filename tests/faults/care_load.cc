#include "tests/faults/care_load.h"

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "libs/base/check.h"
#include "tests/end_to_end/running_system.h"
#include "tools/buurtlog/sign_in.h"

namespace buurtlog::faults {
namespace {

constexpr absl::Duration kCallMax = absl::Seconds(10);
constexpr absl::Duration kBreath = absl::Milliseconds(50);

// The system is away, full or on its way up: the same wish may be sent again.
bool IsWorthAnotherTry(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsResourceExhausted(status) ||
         absl::IsDeadlineExceeded(status) || absl::IsCancelled(status) || absl::IsAborted(status);
}

}  // namespace

struct CareLoad::CallerState {
  CallerState(const WishMaker::Team& team, size_t caller_number, uint64_t seed)
      : number(caller_number), maker(team, caller_number, seed) {}

  const size_t number;
  WishMaker maker;
  WishPtr under_way;  // guarded by the load's mutex
  absl::Time begun = absl::InfinitePast();
  // Of the processes that the sessions below lead to.
  uint64_t generation = 0;
  std::map<std::string, command::Session> sessions;
  std::unique_ptr<TaskQueue> queue;
  TaskQueue* tasks = nullptr;  // *queue, for tasks that run while it is let go
};

CareLoad::CareLoad(const CareTarget& system, uint64_t seed, size_t callers,
                   size_t report_characters_max)
    : system_(system), scheduler_(NewThreadPoolScheduler(1)) {
  const Uuid team_id = NewUuid(SystemClock().Now(), SystemRandom());
  std::vector<std::string> names;
  for (size_t i = 0; i < callers; ++i) names.push_back(absl::StrCat("Nurse ", i));
  const auto people = end_to_end::WritePeople(system.people_folder(), names, team_id);
  team_.report_characters_max = report_characters_max;
  team_.team_id = team_id.ToString();
  team_.organisation_id = people.front().organisation_id.ToString();
  for (size_t i = 0; i < callers; ++i) team_.nurse_ids.push_back(people[i].person_id.ToString());
  for (size_t i = 0; i < callers; ++i) {
    callers_.push_back(std::make_unique<CallerState>(team_, i, seed * 1'000 + i));
    callers_.back()->queue = scheduler_->NewQueue(absl::StrCat("nurse-", i), QueueKind::kBlocking);
    callers_.back()->tasks = callers_.back()->queue.get();
  }
}

CareLoad::~CareLoad() {
  {
    absl::MutexLock lock(&mutex_);
    ending_ = true;
  }
  for (auto& caller : callers_) caller->queue.reset();
}

absl::Status CareLoad::Begin() {
  for (const std::string& nurse : team_.nurse_ids) {
    const auto who = command::SignInAs(system_.AddressOf("teams"), nurse, kCallMax);
    if (!who.ok()) return who.status();
    tokens_.push_back(who->token);
  }
  const absl::Time begun = absl::Now();
  const WishPtr form = callers_.front()->maker.FormTheTeam();
  absl::StatusOr<Answer> formed = Send(*callers_.front(), *form);
  if (!formed.ok()) return formed.status();
  for (auto& caller : callers_) caller->maker.Learn(*form, *formed);
  Remember(*callers_.front(), form, *std::move(formed), begun);
  for (auto& caller : callers_) {
    const WishPtr take_in = caller->maker.TakeIn();
    absl::StatusOr<Answer> taken = Send(*caller, *take_in);
    if (!taken.ok()) return taken.status();
    if (taken->refused) return absl::InternalError(taken->text);
    caller->maker.Learn(*take_in, *taken);
    Remember(*caller, take_in, *std::move(taken), begun);
    caller->tasks->Post([this, c = caller.get()] { Work(*c); });
  }
  return absl::OkStatus();
}

void CareLoad::Resume() {
  absl::MutexLock lock(&mutex_);
  paused_ = false;
}

void CareLoad::Pause() {
  absl::MutexLock lock(&mutex_);
  paused_ = true;
  const auto nobody = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return calling_ == 0; };
  mutex_.Await(absl::Condition(&nobody));
}

void CareLoad::WorkFor(absl::Duration time) {
  absl::MutexLock lock(&mutex_);
  const auto wrong = [this]()
                         ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !violations_.empty(); };
  mutex_.AwaitWithTimeout(absl::Condition(&wrong), time);
}

// One wish a task, so that repeats find their turn.
void CareLoad::Work(CallerState& caller) {
  WishPtr wish;
  {
    absl::MutexLock lock(&mutex_);
    const auto wanted = [this]()
                            ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !paused_ || ending_; };
    const bool go = mutex_.AwaitWithTimeout(absl::Condition(&wanted), kBreath);
    if (ending_) return;
    if (go) {
      ++calling_;
      if (caller.under_way == nullptr) caller.under_way = caller.maker.Next();
      wish = caller.under_way;
    }
  }
  if (wish != nullptr) {
    const bool answered = SendUntilAnswered(caller, wish);
    absl::MutexLock lock(&mutex_);
    if (answered) caller.under_way = nullptr;
    --calling_;
  }
  caller.tasks->Post([this, &caller] { Work(caller); });
}

bool CareLoad::SendUntilAnswered(CallerState& caller, const WishPtr& wish) {
  if (caller.begun == absl::InfinitePast()) caller.begun = absl::Now();
  while (true) {
    const uint64_t generation = generation_;
    absl::StatusOr<Answer> answer = Send(caller, *wish);
    if (answer.ok()) {
      caller.maker.Learn(*wish, *answer);
      Remember(caller, wish, *std::move(answer), std::exchange(caller.begun, absl::InfinitePast()));
      return true;
    }
    if (!IsWorthAnotherTry(answer.status())) {
      Violation(
          absl::StrCat(wish->what, " ", wish->key, " was answered ", answer.status().ToString()));
      return true;
    }
    ++tried_again_;
    Breathe(generation);
    absl::MutexLock lock(&mutex_);
    last_failure_ = answer.status();
    if (paused_ || ending_) return false;
  }
}

void CareLoad::Breathe(uint64_t generation) {
  absl::MutexLock lock(&mutex_);
  const auto other = [this, generation] { return generation_ != generation; };
  mutex_.AwaitWithTimeout(absl::Condition(&other), kBreath);
}

command::Session CareLoad::SessionOf(size_t caller, const std::string& service) const {
  return command::Session::At(system_.AddressOf(service), tokens_[caller], kCallMax);
}

absl::StatusOr<Answer> CareLoad::Send(CallerState& caller, const Wish& wish) {
  if (const uint64_t now = generation_; caller.generation != now) {
    caller.sessions.clear();
    caller.generation = now;
  }
  auto session = caller.sessions.find(wish.service);
  if (session == caller.sessions.end()) {
    session = caller.sessions.emplace(wish.service, SessionOf(caller.number, wish.service)).first;
  }
  return wish.send(session->second);
}

void CareLoad::Remember(CallerState& caller, const WishPtr& wish, Answer answer, absl::Time begun) {
  ++answered_;
  if (answer.refused) ++refused_;
  absl::MutexLock lock(&mutex_);
  done_.push_back({wish, caller.number, std::move(answer), begun, absl::Now()});
}

void CareLoad::Repeat(std::vector<Done> done, absl::Duration at_most) {
  const absl::Time give_up = absl::Now() + at_most;
  std::vector<std::vector<Done>> shares(callers_.size());
  for (Done& one : done) shares[one.caller].push_back(std::move(one));
  absl::BlockingCounter left(static_cast<int>(callers_.size()));
  for (auto& caller : callers_) {
    caller->tasks->Post([&, c = caller.get()] {
      for (const Done& one : shares[c->number]) RepeatOne(*c, one, give_up);
      left.DecrementCount();
    });
  }
  left.Wait();
}

void CareLoad::RepeatOne(CallerState& caller, const Done& done, absl::Time give_up) {
  const std::string name = absl::StrCat(done.wish->what, " ", done.wish->key);
  absl::StatusOr<Answer> again = Send(caller, *done.wish);
  while (!again.ok() && IsWorthAnotherTry(again.status()) && absl::Now() < give_up) {
    Breathe(generation_);
    again = Send(caller, *done.wish);
  }
  ++repeated_;
  if (!again.ok()) {
    Violation(absl::StrCat(name, " was answered before, and now ", again.status().ToString()));
  } else if (again->refused != done.answer.refused || again->text != done.answer.text) {
    Violation(absl::StrCat(
        name, " is answered otherwise than at first: ", again->refused ? again->text : "a response",
        " instead of ", done.answer.refused ? done.answer.text : "another response"));
  }
}

absl::Status CareLoad::OneMore(absl::Duration at_most) {
  const absl::Time give_up = absl::Now() + at_most;
  absl::Status status;
  absl::BlockingCounter left(1);
  CallerState& caller = *callers_.front();
  caller.tasks->Post([&] {
    const WishPtr wish = caller.maker.Visit();
    const absl::Time begun = absl::Now();
    absl::StatusOr<Answer> answer = Send(caller, *wish);
    while (!answer.ok() && IsWorthAnotherTry(answer.status()) && absl::Now() < give_up) {
      Breathe(generation_);
      answer = Send(caller, *wish);
    }
    status = answer.status();
    if (answer.ok() && answer->refused) status = absl::InternalError(answer->text);
    if (answer.ok()) Remember(caller, wish, *std::move(answer), begun);
    left.DecrementCount();
  });
  left.Wait();
  return status;
}

std::vector<Done> CareLoad::done() const {
  absl::MutexLock lock(&mutex_);
  return done_;
}

std::vector<WishPtr> CareLoad::under_way() const {
  std::vector<WishPtr> wishes;
  absl::MutexLock lock(&mutex_);
  for (const auto& caller : callers_) {
    if (caller->under_way != nullptr) wishes.push_back(caller->under_way);
  }
  return wishes;
}

void CareLoad::Violation(std::string sentence) {
  absl::MutexLock lock(&mutex_);
  violations_.push_back(std::move(sentence));
}

std::vector<std::string> CareLoad::violations() const {
  absl::MutexLock lock(&mutex_);
  return violations_;
}

}  // namespace buurtlog::faults
