// Tells ThreadSanitizer how gRPC, which is not instrumented, hands work from thread to thread. Only
// compiled into builds with -fsanitize=thread; libs/base/thread_sanitizer.cc says how calls arrive
// here.

#include <dlfcn.h>
#include <grpc/grpc.h>
#include <sanitizer/tsan_interface.h>

#include "libs/base/check.h"

namespace {

template <typename Function>
Function* Grpcs(const char* name) {
  void* const found = dlsym(RTLD_NEXT, name);
  CHECK(found != nullptr);
  return reinterpret_cast<Function*>(found);
}

}  // namespace

// gRPC counts who still uses a call with atomics of its own library; the last one deletes what its
// headers put into our program.
extern "C" const char* __tsan_default_suppressions() {
  return "race:ServerCallbackWriterImpl::CallOnDone\n"
         "race:ServerCallbackUnaryImpl::CallOnDone\n";
}

// What is done before a batch starts ...
extern "C" grpc_call_error grpc_call_start_batch(grpc_call* call, const grpc_op* ops, size_t count,
                                                 void* tag, void* reserved) {
  static auto* const next = Grpcs<decltype(grpc_call_start_batch)>("grpc_call_start_batch");
  __tsan_release(tag);
  return next(call, ops, count, tag, reserved);
}

// ... comes before what is done once it has ended.
extern "C" grpc_event grpc_completion_queue_next(grpc_completion_queue* queue,
                                                 gpr_timespec deadline, void* reserved) {
  static auto* const next =
      Grpcs<decltype(grpc_completion_queue_next)>("grpc_completion_queue_next");
  const grpc_event event = next(queue, deadline, reserved);
  if (event.type == GRPC_OP_COMPLETE) __tsan_acquire(event.tag);
  return event;
}
