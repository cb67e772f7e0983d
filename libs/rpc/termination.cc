#include <csignal>

#include "libs/base/check.h"
#include "libs/rpc/service_host.h"

namespace buurtlog::rpc {
namespace {

sigset_t TerminationSignals() {
  sigset_t signals;
  CHECK(sigemptyset(&signals) == 0);
  CHECK(sigaddset(&signals, SIGTERM) == 0);
  CHECK(sigaddset(&signals, SIGINT) == 0);
  return signals;
}

}  // namespace

void BlockTerminationSignals() {
  const sigset_t signals = TerminationSignals();
  CHECK(pthread_sigmask(SIG_BLOCK, &signals, nullptr) == 0);
  // A peer that hangs up is an error of a write, not the end of the process.
  CHECK(std::signal(SIGPIPE, SIG_IGN) != SIG_ERR);
}

void WaitForTermination() {
  const sigset_t signals = TerminationSignals();
  int received = 0;
  CHECK(sigwait(&signals, &received) == 0);
}

}  // namespace buurtlog::rpc
