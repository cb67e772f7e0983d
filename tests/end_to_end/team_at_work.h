// A team of four nurses at work in a RunningSystem, with what the stories need every time: forming,
// taking in, planning, looking.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tests/end_to_end/running_system.h"

namespace buurtlog::end_to_end {

class TeamAtWork {
 public:
  // Writes the people, starts the system, forms the team.
  explicit TeamAtWork(std::string data_folder, std::vector<std::string> log_words = {});

  RunningSystem& system() { return system_; }
  const std::string& team_id() const { return team_id_; }
  const std::string& nurse_id(size_t nurse) const { return nurse_ids_[nurse]; }
  Session Nurse(size_t nurse) const { return system_.As(nurse_ids_[nurse]); }

  // A new client with the next BSN of the test range; the id. Later calls of this object see it.
  std::string TakeClientIn();
  clients::v1::TakeClientInRequest IntakeRequest() const;
  // A visit that starts `ago` before now; the id.
  std::string Plan(const std::string& client_id, size_t nurse, absl::Duration ago,
                   uint32_t minutes);

  visits::v1::GetDaySheetResponse DaySheet(size_t nurse, absl::CivilDay day);
  visits::v1::GetTeamHoursResponse Hours(absl::CivilDay from, absl::CivilDay to);
  // Waits until they are so many minutes: for what a process does behind a command.
  visits::v1::GetTeamHoursResponse HoursOf(absl::CivilDay from, absl::CivilDay to,
                                           uint32_t minutes);
  visits::v1::GetClientTimelineResponse Timeline(const std::string& client_id);
  // Waits until the timeline of a client has so many entries: for what a process does behind a
  // command.
  visits::v1::GetClientTimelineResponse TimelineOf(const std::string& client_id, int entries);

  // Later looks must show this.
  void Remember(const type::v1::Receipt& receipt);
  const std::vector<type::v1::Position>& written() const { return written_; }
  // The answer to `request` will show all visits that were written.
  template <typename Request>
  void WaitForVisits(Request& request) const {
    for (auto& position : NewestOfVisits()) *request.add_min_position() = std::move(position);
  }

  // Today in Amsterdam, as of an hour ago: what is planned "a while ago" is on this day or the one
  // before.
  static absl::CivilDay Day(absl::Duration ago);

 private:
  // Of each partition; that is enough to see all of them.
  std::vector<type::v1::Position> NewestOfVisits() const;

  // Before the system starts, because it reads the people.
  Uuid team_uuid_;
  std::vector<identity::Person> people_;
  RunningSystem system_;
  std::string team_id_;
  std::vector<std::string> nurse_ids_;
  std::vector<type::v1::Position> written_;
  int clients_ = 0;
};

// Call with the value of `result`, failing the test and giving an empty message when it is an
// error.
template <typename Response>
Response Expect(absl::StatusOr<Response> result) {
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *std::move(result) : Response();
}

}  // namespace buurtlog::end_to_end
