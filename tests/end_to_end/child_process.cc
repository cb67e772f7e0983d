#include "tests/end_to_end/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/check.h"
#include "libs/base/status_macros.h"
#include "libs/base/testing/patience.h"

namespace buurtlog::end_to_end {
namespace {

struct Pipe {
  int read = -1;
  int write = -1;
};
Pipe MakePipe() {
  int ends[2];
  CHECK(pipe2(ends, O_CLOEXEC) == 0);
  return {ends[0], ends[1]};
}

// `err` of -1 lets the child share our standard error.
absl::StatusOr<pid_t> Spawn(const std::vector<std::string>& words, int out, int err,
                            const std::vector<std::string>& environment) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  // Of two with one name the first counts.
  std::vector<char*> variables;
  for (const std::string& variable : environment)
    variables.push_back(const_cast<char*>(variable.c_str()));
  for (char** at = environ; *at != nullptr; ++at) variables.push_back(*at);
  variables.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  if (err >= 0) posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
  pid_t pid = -1;
  const int failed =
      posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), variables.data());
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) return absl::NotFoundError(absl::StrCat("cannot start ", words.front()));
  return pid;
}

int WaitFor(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

absl::StatusOr<ProgramResult> RunProgram(const std::vector<std::string>& words,
                                         absl::Duration timeout,
                                         const std::vector<std::string>& environment) {
  const Pipe out = MakePipe();
  const Pipe err = MakePipe();
  absl::StatusOr<pid_t> pid = Spawn(words, out.write, err.write, environment);
  close(out.write);
  close(err.write);
  ProgramResult result;
  const absl::Time deadline = absl::Now() + Patience(timeout);
  std::array<pollfd, 2> ends = {pollfd{out.read, POLLIN, 0}, pollfd{err.read, POLLIN, 0}};
  bool late = false;
  while (pid.ok() && (ends[0].fd >= 0 || ends[1].fd >= 0)) {
    const int left = static_cast<int>(absl::ToInt64Milliseconds(deadline - absl::Now()));
    if (left <= 0 || poll(ends.data(), ends.size(), left) == 0) {
      late = true;
      kill(*pid, SIGKILL);
      break;
    }
    for (size_t i = 0; i < ends.size(); ++i) {
      if (ends[i].fd < 0 || ends[i].revents == 0) continue;
      std::array<char, 65536> buffer;
      const ssize_t got = read(ends[i].fd, buffer.data(), buffer.size());
      if (got <= 0) {
        ends[i].fd = -1;
      } else {
        (i == 0 ? result.out : result.err).append(buffer.data(), static_cast<size_t>(got));
      }
    }
  }
  close(out.read);
  close(err.read);
  ABSL_RETURN_IF_ERROR(pid.status());
  result.exit_code = WaitFor(*pid);
  if (late)
    return absl::DeadlineExceededError(
        absl::StrCat(words.front(), " took too long; it said: ", result.out, result.err));
  return result;
}

absl::StatusOr<ChildProcess> ChildProcess::Start(const std::vector<std::string>& words,
                                                 const std::vector<std::string>& environment,
                                                 const std::string& error_file) {
  int err = -1;
  if (!error_file.empty()) {
    err = open(error_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (err < 0) return absl::NotFoundError(absl::StrCat("cannot open ", error_file));
  }
  const Pipe out = MakePipe();
  absl::StatusOr<pid_t> pid = Spawn(words, out.write, err, environment);
  close(out.write);
  if (err >= 0) close(err);
  if (!pid.ok()) {
    close(out.read);
    return pid.status();
  }
  return ChildProcess(*pid, out.read);
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      out_(std::exchange(other.out_, -1)),
      waiting_(std::move(other.waiting_)) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(out_, other.out_);
  std::swap(waiting_, other.waiting_);
  return *this;
}

ChildProcess::~ChildProcess() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    WaitFor(pid_);
  }
  if (out_ >= 0) close(out_);
}

absl::StatusOr<std::string> ChildProcess::ReadLine(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + Patience(timeout);
  while (true) {
    if (const size_t end = waiting_.find('\n'); end != std::string::npos) {
      std::string line = waiting_.substr(0, end);
      waiting_.erase(0, end + 1);
      return line;
    }
    const int left = static_cast<int>(absl::ToInt64Milliseconds(deadline - absl::Now()));
    pollfd end{out_, POLLIN, 0};
    if (left <= 0 || poll(&end, 1, left) == 0)
      return absl::DeadlineExceededError("the program said nothing in time");
    std::array<char, 4096> buffer;
    const ssize_t got = read(out_, buffer.data(), buffer.size());
    if (got <= 0) return absl::OutOfRangeError("the program has ended");
    waiting_.append(buffer.data(), static_cast<size_t>(got));
  }
}

void ChildProcess::Signal(int signal) const {
  CHECK(pid_ > 0);
  kill(pid_, signal);
}

int ChildProcess::Wait() {
  CHECK(pid_ > 0);
  return WaitFor(std::exchange(pid_, -1));
}

int64_t ChildProcess::PeakMemoryBytes() const {
  std::ifstream status(absl::StrCat("/proc/", pid_, "/status"));
  for (std::string line; std::getline(status, line);) {
    int64_t kilobytes = 0;
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (words.size() >= 2 && words[0] == "VmHWM:" && absl::SimpleAtoi(words[1], &kilobytes))
      return kilobytes * 1024;
  }
  return -1;
}

}  // namespace buurtlog::end_to_end
