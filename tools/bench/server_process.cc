#include "tools/bench/server_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"

namespace buurtlog::bench {
namespace {

std::string FileText(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

absl::Duration ToDuration(const timeval& time) {
  return absl::Seconds(time.tv_sec) + absl::Microseconds(time.tv_usec);
}

// In the child, between fork and exec: nothing here takes a lock or allocates.
[[noreturn]] void Become(char* const* arguments, int output, int log) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  dup2(output, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  execvp(arguments[0], arguments);
  _exit(127);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ServerProcess>> ServerProcess::Start(const ServerCommand& command) {
  int output[2];
  if (pipe2(output, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "cannot make a pipe");
  const int log = open(command.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot make ", command.log_file));
  std::vector<std::string> words = command.arguments;
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const absl::Time begin = absl::Now();
  const pid_t started = fork();
  if (started == 0) Become(arguments.data(), output[1], log);
  close(output[1]);
  close(log);
  if (started < 0) {
    close(output[0]);
    return absl::ErrnoToStatus(errno, "cannot start a process");
  }
  auto process = std::unique_ptr<ServerProcess>(new ServerProcess(started));
  absl::Status serving = process->WaitUntilServing(command, output[0]);
  process->start_time_ = absl::Now() - begin;
  process->output_ = output[0];
  ABSL_RETURN_IF_ERROR(serving);
  const std::string children =
      FileText(absl::StrCat("/proc/", started, "/task/", started, "/children"));
  pid_t child = 0;
  const std::vector<std::string> ids = absl::StrSplit(children, ' ', absl::SkipEmpty());
  if (!ids.empty() && absl::SimpleAtoi(ids[0], &child)) process->server_ = child;
  return process;
}

absl::Status ServerProcess::WaitUntilServing(const ServerCommand& command, int output) {
  const absl::Time until = absl::Now() + command.serves_within;
  std::string text;
  while (true) {
    pollfd readable{output, POLLIN, 0};
    const absl::Duration left = until - absl::Now();
    const int ready = poll(&readable, 1, static_cast<int>(absl::ToInt64Milliseconds(left)));
    if (left <= absl::ZeroDuration() || ready == 0) {
      return absl::DeadlineExceededError(
          absl::StrCat(command.arguments[0], " does not come to serve; see ", command.log_file));
    }
    char bytes[4096];
    const ssize_t got = read(output, bytes, sizeof(bytes));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      return absl::UnavailableError(
          absl::StrCat(command.arguments[0], " ended by itself; see ", command.log_file));
    }
    text.append(bytes, static_cast<size_t>(got));
    const size_t found = text.find(command.serving_text);
    if (found == std::string::npos || text.find('\n', found) == std::string::npos) continue;
    address_ = command.address;
    if (!address_.empty()) return absl::OkStatus();
    const size_t newline = text.rfind('\n', found);
    const size_t begin = newline == std::string::npos ? 0 : newline + 1;
    const auto json = nlohmann::json::parse(text.substr(begin, text.find('\n', found) - begin),
                                            nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("address")) {
      return absl::InternalError(absl::StrCat(command.arguments[0], " does not say where it is"));
    }
    address_ = json["address"].get<std::string>();
    return absl::OkStatus();
  }
}

ServerProcess::~ServerProcess() { Stop(); }

void ServerProcess::Stop() {
  if (started_ == 0) return;
  kill(started_, SIGTERM);
  while (waitpid(started_, nullptr, 0) < 0 && errno == EINTR) {
  }
  started_ = 0;
  if (output_ >= 0) close(output_);
}

absl::Duration ServerProcess::CpuTime() const {
  // Behind the name, which may hold spaces: state is field 3, utime 14 and stime 15.
  const std::string text = FileText(absl::StrCat("/proc/", server_, "/stat"));
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return absl::ZeroDuration();
  const std::vector<std::string> fields =
      absl::StrSplit(text.substr(name_end + 1), ' ', absl::SkipEmpty());
  int64_t user = 0;
  int64_t system = 0;
  if (fields.size() < 13 || !absl::SimpleAtoi(fields[11], &user) ||
      !absl::SimpleAtoi(fields[12], &system)) {
    return absl::ZeroDuration();
  }
  return absl::Seconds(static_cast<double>(user + system) /
                       static_cast<double>(sysconf(_SC_CLK_TCK)));
}

size_t ServerProcess::StatusKilobytes(const std::string& field) const {
  for (absl::string_view line :
       absl::StrSplit(FileText(absl::StrCat("/proc/", server_, "/status")), '\n')) {
    if (!absl::ConsumePrefix(&line, absl::StrCat(field, ":"))) continue;
    absl::ConsumeSuffix(&line, "kB");
    size_t kilobytes = 0;
    return absl::SimpleAtoi(line, &kilobytes) ? kilobytes : 0;
  }
  return 0;
}
size_t ServerProcess::ResidentBytes() const { return StatusKilobytes("VmRSS") * 1024; }
size_t ServerProcess::ResidentBytesMax() const { return StatusKilobytes("VmHWM") * 1024; }

absl::Status RunProgram(std::vector<std::string> arguments, const std::string& log_file) {
  const int log = open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot make ", log_file));
  std::vector<char*> words;
  for (std::string& argument : arguments) words.push_back(argument.data());
  words.push_back(nullptr);
  const pid_t started = fork();
  if (started == 0) Become(words.data(), log, log);
  close(log);
  int status = 0;
  while (started > 0 && waitpid(started, &status, 0) < 0 && errno == EINTR) {
  }
  if (started > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(arguments[0], " failed; see ", log_file));
}

absl::Duration OwnCpuTime() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return ToDuration(usage.ru_utime) + ToDuration(usage.ru_stime);
}

absl::StatusOr<std::string> FreeLoopbackAddress() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  const bool found = listener >= 0 && bind(listener, generic, size) == 0 &&
                     getsockname(listener, generic, &size) == 0;
  if (listener >= 0) close(listener);
  if (!found) return absl::ErrnoToStatus(errno, "no port of 127.0.0.1 can be had");
  return absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
}

}  // namespace buurtlog::bench
