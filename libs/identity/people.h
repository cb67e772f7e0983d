// The invented people of a synthetic region who can sign in while trying the system out:
// `<data>/people.json`, a buurtlog.access.v1.People in protobuf's JSON mapping. Written by the
// maker of the region, and only beside a synthetic log.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/base/files.h"
#include "libs/identity/caller.h"

namespace buurtlog::identity {

inline constexpr size_t kPeopleMax = 100'000;

// Even an invented name stays out of logs, errors and metrics, as a real one would.
struct Person {
  Uuid person_id;
  std::string name;
  access::v1::Role role = access::v1::ROLE_UNSPECIFIED;
  Uuid team_id;  // nil for none
  std::string team_name;
  Uuid organisation_id;  // nil for none
  friend bool operator==(const Person&, const Person&) = default;
};
Caller ToCaller(const Person& person);

std::string PeopleFile(const std::string& data_folder);
// INVALID_ARGUMENT for more than kPeopleMax people, or one without id, name or role.
absl::Status SavePeople(const std::string& data_folder, const std::vector<Person>& people,
                        Files& files);
// NOT_FOUND when the data folder has no such file. DATA_LOSS when it cannot be read as one.
absl::StatusOr<std::vector<Person>> LoadPeople(const std::string& data_folder, Files& files);

}  // namespace buurtlog::identity
