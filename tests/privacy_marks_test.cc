// Every text or bytes field of every event is either marked as being about a person, naming whom,
// or declared free of personal data, saying why. What is not marked could not be sealed and never
// be erased.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "buurtlog/privacy/v1/options.pb.h"
#include "tests/proto_tree.h"

namespace buurtlog::tests {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;

// Walks an event and all that it holds.
class MarksOfAnEvent {
 public:
  explicit MarksOfAnEvent(const Descriptor& event) : event_(event) { Visit(event); }
  const std::vector<std::string>& findings() const { return findings_; }

 private:
  void Visit(const Descriptor& message) {
    if (!absl::StartsWith(message.full_name(), "buurtlog.")) return;
    if (!seen_.insert(&message).second) return;
    for (int i = 0; i < message.field_count(); ++i) VisitField(*message.field(i));
  }

  void VisitField(const FieldDescriptor& field) {
    const bool personal = field.options().HasExtension(privacy::v1::personal);
    const bool free = field.options().HasExtension(privacy::v1::free_of_personal_data);
    if (personal && free) Report(field, "is marked as personal and as free of personal data");
    if (personal) return CheckPerson(field);
    if (free && field.options().GetExtension(privacy::v1::free_of_personal_data) ==
                    privacy::v1::FREE_OF_PERSONAL_DATA_UNSPECIFIED) {
      Report(field, "does not say why it is free of personal data");
    }
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) return Visit(*field.message_type());
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING && !free) {
      Report(field,
             "is neither (buurtlog.privacy.v1.personal) nor "
             "(buurtlog.privacy.v1.free_of_personal_data)");
    }
  }

  // The person stands beside the field, or at the top of the event.
  void CheckPerson(const FieldDescriptor& field) {
    const std::string& name = field.options().GetExtension(privacy::v1::personal);
    const FieldDescriptor* person = field.containing_type()->FindFieldByName(name);
    if (person == nullptr) person = event_.FindFieldByName(name);
    if (person == nullptr) {
      Report(field, absl::StrCat("names the person's id `", name, "`, which is not a field"));
    } else if (person->cpp_type() != FieldDescriptor::CPPTYPE_STRING || person->is_repeated() ||
               person->options().GetExtension(privacy::v1::free_of_personal_data) !=
                   privacy::v1::FREE_OF_PERSONAL_DATA_RANDOM_ID) {
      Report(field, absl::StrCat("names `", name, "`, which is not one random id"));
    }
  }

  void Report(const FieldDescriptor& field, absl::string_view what) {
    findings_.push_back(absl::StrCat(At(field), field.full_name(), " ", what));
  }

  const Descriptor& event_;
  std::set<const Descriptor*> seen_;
  std::vector<std::string> findings_;
};

std::vector<std::string> FindingsIn(const FileDescriptor& file) {
  std::set<std::string> findings;
  const std::vector<const Descriptor*> wrappers = EventWrappersOf(file);
  for (const Descriptor* message : MessagesOf(file)) {
    // A wrapper has only its events, each of which is walked from its own top.
    if (std::find(wrappers.begin(), wrappers.end(), message) != wrappers.end()) continue;
    // What is held by an event is looked at there, where the person's id may stand.
    if (message->field_count() == 0) continue;
    const bool held = [&] {
      for (const Descriptor* other : MessagesOf(file)) {
        const bool wraps = std::find(wrappers.begin(), wrappers.end(), other) != wrappers.end();
        for (int i = 0; i < other->field_count() && !wraps; ++i) {
          if (other != message && other->field(i)->message_type() == message) return true;
        }
      }
      return false;
    }();
    if (held) continue;
    const MarksOfAnEvent marks(*message);
    findings.insert(marks.findings().begin(), marks.findings().end());
  }
  return {findings.begin(), findings.end()};
}

TEST(PrivacyMarksTest, EveryTextOfEveryEventIsMarkedOrDeclaredFree) {
  std::vector<std::string> findings;
  for (const FileDescriptor* file : ProtoTree()) {
    if (!absl::EndsWith(file->name(), "_events.proto")) continue;
    for (std::string& finding : FindingsIn(*file)) findings.push_back(std::move(finding));
  }
  EXPECT_TRUE(findings.empty()) << absl::StrJoin(findings, "\n");
}

TEST(PrivacyMarksTest, EveryEventsFileHasAWrapper) {
  for (const FileDescriptor* file : ProtoTree()) {
    if (!absl::EndsWith(file->name(), "_events.proto")) continue;
    EXPECT_FALSE(EventWrappersOf(*file).empty())
        << "proto/" << file->name() << ":1: no message ...Event with `oneof event`";
  }
}

}  // namespace
}  // namespace buurtlog::tests
