// Buurtlog as a user runs it: the executables of this build, on a data folder of the test's own,
// called through gRPC and through the command.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "buurtlog/clients/v1/clients_service.grpc.pb.h"
#include "buurtlog/teams/v1/teams_service.grpc.pb.h"
#include "buurtlog/visits/v1/visits_service.grpc.pb.h"
#include "libs/base/clock.h"
#include "libs/base/ids.h"
#include "libs/base/random.h"
#include "libs/identity/people.h"
#include "tests/end_to_end/child_process.h"
#include "tools/buurtlog/session.h"

namespace buurtlog::end_to_end {

using command::Session;

// A folder that goes with the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::string NewKey();
google::protobuf::Timestamp ProtoTime(absl::Time time);
// `127.0.0.1` and a port that is free now: for processes that need to know each other's address
// before they start.
std::string FreeAddress();
int PortOf(const std::string& address);
std::string Program(const std::string& name);

// Which log a story is told on, as the command has it: SQLite in the data folder, or topics of the
// test cluster that are this folder's (libs/kafka/testing/test_cluster.h).
std::vector<std::string> StoryLogWords(const std::string& data_folder);

// A team of four nurses with two clients each, formed through gRPC, and everything needed to speak
// to it.
class RunningSystem {
 public:
  // Starts `buurtlog serve` (or goes on with the data of a stopped system) and waits until it is
  // healthy.
  // `log_words`: which log, as the command has it; none: StoryLogWords.
  explicit RunningSystem(std::string data_folder, std::vector<std::string> log_words = {});
  // Stops it if it runs; a clean end is part of every story.
  ~RunningSystem();

  void Start();
  void Kill();  // kill -9
  int Stop();   // SIGTERM; the exit code
  const std::string& address() const { return address_; }
  // What /metrics says.
  std::string Metrics() const;
  const std::string& data_folder() const { return data_folder_; }
  ChildProcess& process() { return *process_; }

  // A session in a role, by id or name of the people of the data folder.
  Session As(const std::string& person) const;
  // Runs the command `buurtlog` with these words against this system; a sign-in of its own for each
  // test.
  ProgramResult Command(const std::vector<std::string>& words) const;

 private:
  std::string data_folder_;
  std::vector<std::string> log_words_;
  std::string address_;
  std::string metrics_address_;
  std::optional<ChildProcess> process_;
};

// Writes people.json of a data folder: nurses of one organisation, without a region.
std::vector<identity::Person> WritePeople(const std::string& data_folder,
                                          const std::vector<std::string>& nurse_names,
                                          const Uuid& team_id);

// Typed calls, with errors as absl::Status. The session is kept by reference.
template <typename Service>
class Caller {
 public:
  explicit Caller(const Session& session)
      : session_(session), stub_(Service::NewStub(session.channel())) {}
  template <typename Request, typename Response>
  absl::StatusOr<Response> operator()(grpc::Status (Service::Stub::*method)(grpc::ClientContext*,
                                                                            const Request&,
                                                                            Response*),
                                      const Request& request) {
    return session_.Call<typename Service::Stub, Request, Response>(*stub_, method, request);
  }

 private:
  const Session& session_;
  std::unique_ptr<typename Service::Stub> stub_;
};

}  // namespace buurtlog::end_to_end
