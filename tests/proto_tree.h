// The contracts in proto/ as they stand in the checkout, with comments and places, for the tests
// that walk over all of them.
#pragma once

#include <google/protobuf/descriptor.h>

#include <functional>
#include <string>
#include <vector>

namespace buurtlog::tests {

// All .proto files under proto/buurtlog, sorted by path. Ends the process when one cannot be read:
// the build reads them first.
const std::vector<const google::protobuf::FileDescriptor*>& ProtoTree();

// `proto/buurtlog/visits/v1/visit_events.proto:12: `.
std::string At(const google::protobuf::FieldDescriptor& field);
std::string At(const google::protobuf::MethodDescriptor& method);

// The messages of a file, nested ones included (map entries are not messages anybody wrote).
std::vector<const google::protobuf::Descriptor*> MessagesOf(
    const google::protobuf::FileDescriptor& file);

// The events of an events file: what stands in the oneof of a wrapper message named ...Event.
std::vector<const google::protobuf::Descriptor*> EventWrappersOf(
    const google::protobuf::FileDescriptor& file);

}  // namespace buurtlog::tests
