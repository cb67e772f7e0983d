// What every release has written must be read by today's code, for ever. Each file under
// tests/replay/<area>/ holds one event as its release wrote it, called <two digits>_<event>.txtpb,
// with `# stream <name>` in its first line. The files are told in the order of their names and give
// each stream the state of `state_<name>.txtpb`. A file is never changed: when it does not give the
// same state any more, the code is wrong.
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/eventsourcing/decider.h"
#include "services/clients/domain/client.h"
#include "services/teams/domain/team.h"
#include "services/visits/domain/visit.h"

namespace buurtlog::tests {
namespace {

namespace fs = std::filesystem;
using google::protobuf::Message;

struct Area {
  std::string name;
  const eventsourcing::AggregateType* type = nullptr;
};

std::vector<Area> Areas() {
  return {{"clients", &clients::ClientAggregate()},
          {"teams", &teams::TeamAggregate()},
          {"visits", &visits::VisitAggregate()}};
}

std::string ReadText(const fs::path& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

template <typename Prototype>
std::unique_ptr<Message> Parse(const Prototype& prototype, const fs::path& path) {
  std::unique_ptr<Message> message(prototype.New());
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(ReadText(path), message.get())) << path;
  return message;
}

fs::path FolderOf(const Area& area) {
  return fs::path(BUURTLOG_SOURCE_DIR) / "tests" / "replay" / area.name;
}

// Files of events in order.
std::vector<fs::path> EventFiles(const Area& area) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(FolderOf(area))) {
    const std::string name = entry.path().filename();
    if (entry.path().extension() == ".txtpb" && name.find("state") != 0) {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string StreamOf(const fs::path& file) {
  std::string line = ReadText(file);
  line = line.substr(0, line.find('\n'));
  const std::string stream(absl::StripPrefix(line, "# stream "));
  EXPECT_NE(stream, line) << file << " does not name its stream";
  return stream;
}

// The name of the event's field in the wrapper's oneof; empty when none is set.
std::string EventNameOf(const Message& wrapper) {
  const google::protobuf::OneofDescriptor* oneof = wrapper.GetDescriptor()->oneof_decl(0);
  const google::protobuf::FieldDescriptor* field =
      wrapper.GetReflection()->GetOneofFieldDescriptor(wrapper, oneof);
  return field == nullptr ? "" : field->name();
}

TEST(ReplayTest, EventsOfEveryReleaseGiveTheStatesTheyGaveThen) {
  for (const Area& area : Areas()) {
    std::map<std::string, std::unique_ptr<Message>> states;
    for (const fs::path& file : EventFiles(area)) {
      const std::unique_ptr<Message> event = Parse(*area.type->event, file);
      std::unique_ptr<Message>& state = states[StreamOf(file)];
      if (state == nullptr) state.reset(area.type->state->New());
      area.type->evolve(*state, *event);
    }
    for (const auto& [stream, state] : states) {
      const fs::path golden = FolderOf(area) / absl::StrCat("state_", stream, ".txtpb");
      ASSERT_TRUE(fs::exists(golden)) << golden << " should hold\n" << state->DebugString();
      EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(
          *state, *Parse(*area.type->state, golden)))
          << golden << " differs from\n"
          << state->DebugString();
    }
  }
}

TEST(ReplayTest, EveryEventOfAnAreaHasAFile) {
  for (const Area& area : Areas()) {
    std::set<std::string> told;
    for (const fs::path& file : EventFiles(area)) {
      told.insert(EventNameOf(*Parse(*area.type->event, file)));
    }
    const google::protobuf::OneofDescriptor* oneof =
        area.type->event->GetDescriptor()->oneof_decl(0);
    for (int i = 0; i < oneof->field_count(); ++i) {
      EXPECT_TRUE(told.contains(oneof->field(i)->name()))
          << "tests/replay/" << area.name << " has no " << oneof->field(i)->name();
    }
  }
}

TEST(ReplayTest, WhatAFileSaysSurvivesBeingStored) {
  for (const Area& area : Areas()) {
    for (const fs::path& file : EventFiles(area)) {
      const std::unique_ptr<Message> event = Parse(*area.type->event, file);
      const std::unique_ptr<Message> read(area.type->event->New());
      ASSERT_TRUE(read->ParseFromString(event->SerializeAsString())) << file;
      EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(*event, *read)) << file;
    }
  }
}

}  // namespace
}  // namespace buurtlog::tests
