#include "tests/proto_tree.h"

#include <google/protobuf/descriptor.pb.h>

#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/base/check.h"
#include "tests/source_tree.h"

namespace buurtlog::tests {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FileDescriptor;

void AddMessages(const Descriptor& message, std::vector<const Descriptor*>& to) {
  if (message.options().map_entry()) return;
  to.push_back(&message);
  for (int i = 0; i < message.nested_type_count(); ++i) AddMessages(*message.nested_type(i), to);
}

template <typename Thing>
std::string AtPlace(const Thing& thing, const FileDescriptor& file) {
  google::protobuf::SourceLocation place;
  const int line = thing.GetSourceLocation(&place) ? place.start_line + 1 : 1;
  return absl::StrCat("proto/", file.name(), ":", line, ": ");
}

}  // namespace

const std::vector<const FileDescriptor*>& ProtoTree() {
  static const auto* const kFiles = [] {
    std::ifstream in(BUURTLOG_DESCRIPTORS, std::ios::binary);
    google::protobuf::FileDescriptorSet set;
    CHECK(set.ParseFromIstream(&in));
    auto* pool = new google::protobuf::DescriptorPool();
    auto* files = new std::vector<const FileDescriptor*>();
    // Each file stands behind those it imports.
    for (const google::protobuf::FileDescriptorProto& proto : set.file()) {
      const FileDescriptor* file = pool->BuildFile(proto);
      CHECK(file != nullptr);
      if (absl::StartsWith(file->name(), "buurtlog/")) files->push_back(file);
    }
    return files;
  }();
  return *kFiles;
}

std::string At(const google::protobuf::FieldDescriptor& field) {
  return AtPlace(field, *field.file());
}

std::string At(const google::protobuf::MethodDescriptor& method) {
  return AtPlace(method, *method.file());
}

std::vector<const Descriptor*> MessagesOf(const FileDescriptor& file) {
  std::vector<const Descriptor*> messages;
  for (int i = 0; i < file.message_type_count(); ++i) AddMessages(*file.message_type(i), messages);
  return messages;
}

std::vector<const Descriptor*> EventWrappersOf(const FileDescriptor& file) {
  std::vector<const Descriptor*> wrappers;
  for (int i = 0; i < file.message_type_count(); ++i) {
    const Descriptor& message = *file.message_type(i);
    const bool wraps = message.oneof_decl_count() == 1 && message.oneof_decl(0)->name() == "event";
    if (wraps && absl::EndsWith(message.name(), "Event")) wrappers.push_back(&message);
  }
  return wrappers;
}

}  // namespace buurtlog::tests
