// The two control-flow macros of the project.
#pragma once

#include <utility>

#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Returns from the enclosing function when `expression`, an absl::Status, is not OK.
#define ABSL_RETURN_IF_ERROR(expression)                                                        \
  do {                                                                                          \
    if (absl::Status buurtlog_status = (expression); ABSL_PREDICT_FALSE(!buurtlog_status.ok())) \
      return buurtlog_status;                                                                   \
  } while (false)

#define BUURTLOG_CONCATENATE_INNER(a, b) a##b
#define BUURTLOG_CONCATENATE(a, b) BUURTLOG_CONCATENATE_INNER(a, b)

// Evaluates `expression`, an absl::StatusOr; returns its status when it is not OK, otherwise moves
// the value into `target`.
#define ABSL_ASSIGN_OR_RETURN(target, expression) \
  ABSL_ASSIGN_OR_RETURN_INNER(BUURTLOG_CONCATENATE(buurtlog_or_, __LINE__), target, expression)
#define ABSL_ASSIGN_OR_RETURN_INNER(temporary, target, expression)               \
  auto temporary = (expression);                                                 \
  if (ABSL_PREDICT_FALSE(!temporary.ok())) return std::move(temporary).status(); \
  target = *std::move(temporary)
