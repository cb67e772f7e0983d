// A server under measurement: a process of its own, started, watched and ended by the benchmark.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace buurtlog::bench {

struct ServerCommand {
  std::vector<std::string> arguments;  // program first; looked up in PATH when it has no slash
  std::string log_file;                // takes what it says on standard error
  // It serves when a line on its standard output holds this.
  std::string serving_text = R"("event":"serving")";
  std::string address;  // empty: the line is JSON and has it in `address`
  absl::Duration serves_within = absl::Seconds(60);
};

// Ends the process when destroyed; it also ends when the benchmark does. Not thread-safe.
class ServerProcess {
 public:
  // DEADLINE_EXCEEDED or UNAVAILABLE, naming the log file, when it does not come to serve.
  static absl::StatusOr<std::unique_ptr<ServerProcess>> Start(const ServerCommand& command);
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  const std::string& address() const { return address_; }
  // How long it took until it served.
  absl::Duration start_time() const { return start_time_; }
  // Time on a processor so far, of the server itself when it runs under another program (perf).
  absl::Duration CpuTime() const;
  // Resident memory, now and at most.
  size_t ResidentBytes() const;
  size_t ResidentBytesMax() const;
  // SIGTERM, then waits. Idempotent.
  void Stop();

 private:
  explicit ServerProcess(pid_t started) : started_(started), server_(started) {}
  absl::Status WaitUntilServing(const ServerCommand& command, int output);
  size_t StatusKilobytes(const std::string& field) const;

  pid_t started_;
  pid_t server_;
  // Stays open, for a server that says more; it is not read any more.
  int output_ = -1;
  std::string address_;
  absl::Duration start_time_;
};

// Runs a program to its end; what it says goes to the log file. UNAVAILABLE, naming the log file,
// when it ends with an error.
absl::Status RunProgram(std::vector<std::string> arguments, const std::string& log_file);

// Of this process so far.
absl::Duration OwnCpuTime();

// A port of 127.0.0.1 that was free a moment ago, for servers that cannot take one themselves.
absl::StatusOr<std::string> FreeLoopbackAddress();

}  // namespace buurtlog::bench
