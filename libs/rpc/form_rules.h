// The field rules of one message type, compiled from its proto. Private to libs/rpc.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <memory>
#include <string>

#include "absl/status/status.h"

namespace buurtlog::rpc {

// Immutable once made; thread-safe.
class FormRules {
 public:
  // Compiled at the first call for a type, with those of the messages in it. Lives for ever.
  static const FormRules& Of(const google::protobuf::Descriptor& type);

  // As ValidateForm; `message` is of this type.
  absl::Status Check(const google::protobuf::Message& message) const;

  struct Field;
  class Compiler;

  ~FormRules();

 private:
  FormRules();
  std::unique_ptr<std::vector<Field>> fields_;
  bool timestamp_ = false;

  friend class FormChecker;
};

}  // namespace buurtlog::rpc
