#include "libs/identity/people.h"

#include <google/protobuf/util/json_util.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "buurtlog/access/v1/people.pb.h"
#include "libs/base/status_macros.h"

namespace buurtlog::identity {
namespace {

std::string OptionalId(const Uuid& id) { return id.IsNil() ? "" : id.ToString(); }

absl::StatusOr<Uuid> ParseOptionalId(const std::string& text) {
  if (text.empty()) return Uuid();
  return ParseUuid(text);
}

bool IsWhole(const Person& person) {
  return !person.person_id.IsNil() && !person.name.empty() &&
         person.role != access::v1::ROLE_UNSPECIFIED && access::v1::Role_IsValid(person.role);
}

absl::StatusOr<Person> FromProto(const access::v1::Person& stored) {
  Person person;
  ABSL_ASSIGN_OR_RETURN(person.person_id, ParseUuid(stored.person_id()));
  ABSL_ASSIGN_OR_RETURN(person.team_id, ParseOptionalId(stored.team_id()));
  ABSL_ASSIGN_OR_RETURN(person.organisation_id, ParseOptionalId(stored.organisation_id()));
  person.name = stored.name();
  person.role = stored.role();
  person.team_name = stored.team_name();
  if (!IsWhole(person)) return absl::InvalidArgumentError("no id, name or role");
  return person;
}

}  // namespace

Caller ToCaller(const Person& person) {
  Caller caller;
  caller.person_id = person.person_id;
  caller.role = person.role;
  caller.team_id = person.team_id;
  caller.organisation_id = person.organisation_id;
  return caller;
}

std::string PeopleFile(const std::string& data_folder) {
  return absl::StrCat(data_folder, "/people.json");
}

absl::Status SavePeople(const std::string& data_folder, const std::vector<Person>& people,
                        Files& files) {
  if (people.size() > kPeopleMax) {
    return absl::InvalidArgumentError(absl::StrCat("more than ", kPeopleMax, " people"));
  }
  access::v1::People stored;
  for (const Person& person : people) {
    if (!IsWhole(person)) {
      return absl::InvalidArgumentError(
          absl::StrCat("person ", stored.people_size(), " has no id, name or role"));
    }
    access::v1::Person& item = *stored.add_people();
    item.set_person_id(person.person_id.ToString());
    item.set_name(person.name);
    item.set_role(person.role);
    item.set_team_id(OptionalId(person.team_id));
    item.set_team_name(person.team_name);
    item.set_organisation_id(OptionalId(person.organisation_id));
  }
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(stored, &json, options).ok()) {
    return absl::InvalidArgumentError("a name is not valid UTF-8");
  }
  return files.WriteAtomically(PeopleFile(data_folder), json);
}

absl::StatusOr<std::vector<Person>> LoadPeople(const std::string& data_folder, Files& files) {
  const std::string path = PeopleFile(data_folder);
  ABSL_ASSIGN_OR_RETURN(const std::string json, files.Read(path));
  access::v1::People stored;
  // The parser's own message may quote the file, which is full of names.
  if (!google::protobuf::util::JsonStringToMessage(json, &stored).ok() ||
      static_cast<size_t>(stored.people_size()) > kPeopleMax) {
    return absl::DataLossError(absl::StrCat(path, " is not a list of people"));
  }
  std::vector<Person> people;
  people.reserve(static_cast<size_t>(stored.people_size()));
  for (const access::v1::Person& item : stored.people()) {
    absl::StatusOr<Person> person = FromProto(item);
    if (!person.ok()) {
      return absl::DataLossError(absl::StrCat(path, ": person ", people.size(),
                                              " is damaged: ", person.status().message()));
    }
    people.push_back(*std::move(person));
  }
  return people;
}

}  // namespace buurtlog::identity
