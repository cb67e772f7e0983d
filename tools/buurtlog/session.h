// Who is signed in and where: the address of the system and the bearer token, kept between
// commands.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/base/ids.h"
#include "libs/rpc/status_conversion.h"

namespace buurtlog::command {

inline constexpr char kAddressDefault[] = "127.0.0.1:7400";

struct SessionOptions {
  std::string address;     // empty: the one signed in to, else kAddressDefault
  std::string token_file;  // empty: $XDG_CONFIG_HOME/buurtlog/session.json, else
                           // ~/.config/buurtlog/session.json
  absl::Duration timeout = absl::Seconds(10);
};

// What `buurtlog login` keeps, mode 0600.
struct SignedIn {
  std::string address;
  std::string token;
  std::string person_id;
  std::string name;
  std::string role;
  std::string team_id;
};
std::string SessionPath(const SessionOptions& options);
// UNAUTHENTICATED with what to type when nobody is signed in.
absl::StatusOr<SignedIn> LoadSession(const SessionOptions& options);
// The address to speak to: as given, else the one signed in to, else kAddressDefault.
std::string AddressOf(const SessionOptions& options);
absl::Status SaveSession(const SessionOptions& options, const SignedIn& session);

class Session {
 public:
  // With the token of whoever is signed in.
  static absl::StatusOr<Session> Open(const SessionOptions& options);
  // With a given token; empty for calls that need none.
  static Session At(const std::string& address, const std::string& token, absl::Duration timeout);

  const SignedIn& who() const { return who_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  absl::Duration timeout() const { return timeout_; }

  // Sets token, correlation id and deadline.
  void Prepare(grpc::ClientContext& context) const;

  // One call, with its errors as absl::Status: Call(&VisitsService::Stub::GetDaySheet, stub,
  // request). While the service that answers is out of reach of its log, or of the owner of the
  // partition, it is made again until the deadline: a broker that dies is missed in some seconds.
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(Stub& stub,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request) const {
    const absl::Time deadline = absl::Now() + timeout_;
    absl::Status before;
    while (true) {
      grpc::ClientContext context;
      Prepare(context);
      context.set_deadline(absl::ToChronoTime(deadline));
      Response response;
      absl::Status status = rpc::FromGrpc((stub.*method)(&context, request, &response));
      if (status.ok()) return response;
      // What the last attempt came too late for.
      if (!before.ok() && absl::IsDeadlineExceeded(status)) status = before;
      if (!WaitWhilePassing(status, deadline)) return Explained(status);
      before = std::move(status);
    }
  }

 private:
  // False when it does not pass by itself, or not in time.
  static bool WaitWhilePassing(const absl::Status& status, absl::Time deadline);
  // Adds what to do about it.
  absl::Status Explained(const absl::Status& status) const;

  SignedIn who_;
  std::shared_ptr<grpc::Channel> channel_;
  absl::Duration timeout_ = absl::Seconds(10);
};

}  // namespace buurtlog::command
