// Teams through gRPC: each command with its answers, and each kind of bad input with its own error.
#include "services/teams/teams_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "absl/strings/str_cat.h"
#include "buurtlog/teams/v1/teams_service.grpc.pb.h"
#include "libs/base/refusal.h"
#include "libs/rpc/testing/running_services.h"

namespace buurtlog::teams {
namespace {

using rpc::testing::RunningServices;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Property;
using Stub = v1::TeamsService::Stub;
namespace access = buurtlog::access::v1;

class TeamsServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto service = TeamsService::Create(region_.AddNode("teams", TeamsService::Aggregates()));
    ASSERT_TRUE(service.ok()) << service.status();
    region_.Serve(*std::move(service));
    region_.Start();
    stub_ = v1::TeamsService::NewStub(region_.channel());
  }

  v1::NewMember Member(const std::string& name) {
    v1::NewMember member;
    member.set_person_id(region_.NewKey());
    member.set_name(name);
    member.set_qualification(v1::QUALIFICATION_NURSE);
    return member;
  }
  v1::FormTeamRequest Form(int members) {
    v1::FormTeamRequest request;
    request.mutable_header()->set_idempotency_key(region_.NewKey());
    request.set_team_id(region_.NewKey());
    request.set_organisation_id(organisation_id_);
    request.set_name("Enschede Oost");
    for (int i = 1; i <= members; ++i) *request.add_members() = Member(absl::StrCat("Nurse ", i));
    return request;
  }
  v1::AddMemberRequest Add(const std::string& team_id) {
    v1::AddMemberRequest request;
    request.mutable_header()->set_idempotency_key(region_.NewKey());
    request.set_team_id(team_id);
    *request.mutable_member() = Member("Newcomer");
    return request;
  }
  v1::EndMembershipRequest End(const std::string& team_id, const std::string& person_id) {
    v1::EndMembershipRequest request;
    request.mutable_header()->set_idempotency_key(region_.NewKey());
    request.set_team_id(team_id);
    request.set_person_id(person_id);
    return request;
  }

  absl::StatusOr<v1::FormTeamResponse> Call(const v1::FormTeamRequest& request,
                                            access::Role role = access::ROLE_NURSE) {
    return region_.Call(*stub_, &Stub::FormTeam, request, role);
  }
  absl::StatusOr<v1::AddMemberResponse> Call(const v1::AddMemberRequest& request) {
    return region_.Call(*stub_, &Stub::AddMember, request);
  }
  absl::StatusOr<v1::EndMembershipResponse> Call(const v1::EndMembershipRequest& request) {
    return region_.Call(*stub_, &Stub::EndMembership, request);
  }
  // The team as shown to a caller who has just written `after`.
  absl::StatusOr<v1::Team> Get(const std::string& team_id, const type::v1::Receipt& after) {
    v1::GetTeamRequest request;
    request.set_team_id(team_id);
    if (after.has_position()) *request.add_min_position() = after.position();
    const auto response = region_.Call(*stub_, &Stub::GetTeam, request);
    if (!response.ok()) return response.status();
    return response->team();
  }
  absl::StatusOr<v1::ListTeamsResponse> List(const v1::ListTeamsRequest& request) {
    return region_.Call(*stub_, &Stub::ListTeams, request);
  }

  // The field that the answer to a request names, after `change` has spoilt it.
  std::string FieldNamed(const std::function<void(v1::FormTeamRequest&)>& change) {
    v1::FormTeamRequest request = Form(2);
    change(request);
    const absl::Status status = Call(request).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return StatusField(status).value_or("none");
  }

  RunningServices region_;
  const std::string organisation_id_ = region_.NewKey();
  std::unique_ptr<Stub> stub_;
};

TEST_F(TeamsServiceTest, ATeamThatWasFormedIsShownToWhoWaitsForItsPosition) {
  const v1::FormTeamRequest request = Form(3);
  const auto formed = Call(request);
  ASSERT_TRUE(formed.ok()) << formed.status();
  EXPECT_EQ(formed->team_id(), request.team_id());
  EXPECT_EQ(formed->receipt().stream(), "team-" + request.team_id());
  EXPECT_EQ(formed->receipt().version(), 4u);
  EXPECT_EQ(formed->receipt().event_ids_size(), 4);
  EXPECT_EQ(formed->receipt().position().service(), "teams");

  const auto team = Get(request.team_id(), formed->receipt());
  ASSERT_TRUE(team.ok()) << team.status();
  EXPECT_EQ(team->name(), "Enschede Oost");
  EXPECT_EQ(team->version(), 4u);
  EXPECT_THAT(team->members(), ElementsAre(Property(&v1::Member::name, "Nurse 1"),
                                           Property(&v1::Member::name, "Nurse 2"),
                                           Property(&v1::Member::name, "Nurse 3")));
}

TEST_F(TeamsServiceTest, ATeamWithoutAnIdGetsTheSameOneOnARepeat) {
  v1::FormTeamRequest request = Form(1);
  request.clear_team_id();
  const auto first = Call(request);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = Call(request);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(first->SerializeAsString(), second->SerializeAsString());
  EXPECT_TRUE(Get(first->team_id(), first->receipt()).ok());
}

TEST_F(TeamsServiceTest, MembersJoinAndLeave) {
  const v1::FormTeamRequest form = Form(2);
  ASSERT_TRUE(Call(form).ok());
  const auto joined = Call(Add(form.team_id()));
  ASSERT_TRUE(joined.ok()) << joined.status();
  const auto left = Call(End(form.team_id(), form.members(0).person_id()));
  ASSERT_TRUE(left.ok()) << left.status();
  EXPECT_EQ(left->receipt().version(), 5u);
  EXPECT_THAT(
      Get(form.team_id(), left->receipt())->members(),
      ElementsAre(Property(&v1::Member::name, "Nurse 2"), Property(&v1::Member::name, "Newcomer")));
}

TEST_F(TeamsServiceTest, TheThirteenthMemberIsRefusedWithAReason) {
  const absl::Status thirteen_at_once = Call(Form(13)).status();
  EXPECT_EQ(thirteen_at_once.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(StatusReason(thirteen_at_once), "TEAM_FULL");

  const v1::FormTeamRequest form = Form(12);
  ASSERT_TRUE(Call(form).ok());
  const v1::AddMemberRequest thirteenth = Add(form.team_id());
  const absl::Status refused = Call(thirteenth).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(StatusReason(refused), "TEAM_FULL");
  EXPECT_THAT(std::string(refused.message()), HasSubstr("can split in two"));

  // The refusal stands under its key, also when there is room again.
  ASSERT_TRUE(Call(End(form.team_id(), form.members(0).person_id())).ok());
  EXPECT_EQ(StatusReason(Call(thirteenth).status()), "TEAM_FULL");
  EXPECT_TRUE(Call(Add(form.team_id())).ok());
}

TEST_F(TeamsServiceTest, EachRuleHasItsOwnReason) {
  const v1::FormTeamRequest form = Form(1);
  ASSERT_TRUE(Call(form).ok());
  v1::AddMemberRequest again = Add(form.team_id());
  *again.mutable_member() = form.members(0);
  EXPECT_EQ(StatusReason(Call(again).status()), "ALREADY_MEMBER");
  EXPECT_EQ(StatusReason(Call(End(form.team_id(), region_.NewKey())).status()), "NOT_A_MEMBER");
  EXPECT_EQ(StatusReason(Call(End(form.team_id(), form.members(0).person_id())).status()),
            "LAST_MEMBER");
}

TEST_F(TeamsServiceTest, ATeamIsFormedOnce) {
  v1::FormTeamRequest form = Form(1);
  ASSERT_TRUE(Call(form).ok());
  form.mutable_header()->set_idempotency_key(region_.NewKey());
  EXPECT_EQ(Call(form).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(TeamsServiceTest, AKeyNamesOneCommandOnly) {
  v1::FormTeamRequest form = Form(1);
  ASSERT_TRUE(Call(form).ok());
  form.set_name("Another name");
  EXPECT_EQ(Call(form).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(TeamsServiceTest, WhatIsOnlyTriedIsNotWritten) {
  v1::FormTeamRequest form = Form(2);
  form.mutable_header()->set_validate_only(true);
  const auto tried = Call(form);
  ASSERT_TRUE(tried.ok()) << tried.status();
  EXPECT_FALSE(tried->receipt().has_position());
  form.mutable_header()->set_validate_only(false);
  form.mutable_header()->set_idempotency_key(region_.NewKey());
  EXPECT_EQ(Call(form)->receipt().version(), 3u);
}

TEST_F(TeamsServiceTest, AnotherVersionThanTheCallerSawIsAborted) {
  const v1::FormTeamRequest form = Form(2);
  ASSERT_TRUE(Call(form).ok());
  v1::AddMemberRequest add = Add(form.team_id());
  add.mutable_header()->set_expected_version(2);
  EXPECT_EQ(Call(add).status().code(), absl::StatusCode::kAborted);
  add.mutable_header()->set_expected_version(3);
  EXPECT_TRUE(Call(add).ok());
}

TEST_F(TeamsServiceTest, AnUnknownTeamIsNotFound) {
  const std::string nobody = region_.NewKey();
  EXPECT_EQ(Call(Add(nobody)).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Call(End(nobody, nobody)).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Get(nobody, {}).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(TeamsServiceTest, MalformedIdsAndKeysAreNamed) {
  EXPECT_EQ(FieldNamed([](auto& r) { r.clear_header(); }), "header");
  EXPECT_EQ(FieldNamed([](auto& r) { r.mutable_header()->clear_idempotency_key(); }),
            "header.idempotency_key");
  EXPECT_EQ(FieldNamed([](auto& r) { r.mutable_header()->set_idempotency_key("once"); }),
            "header.idempotency_key");
  EXPECT_EQ(FieldNamed([](auto& r) { r.set_team_id("oost"); }), "team_id");
  // Of version 4: not one of ours.
  EXPECT_EQ(FieldNamed([](auto& r) { r.set_team_id("b1c2d3e4-0000-4000-8000-000000000001"); }),
            "team_id");
  EXPECT_EQ(FieldNamed([](auto& r) { r.set_organisation_id(r.organisation_id() + "0"); }),
            "organisation_id");
  EXPECT_EQ(FieldNamed([](auto& r) { r.clear_organisation_id(); }), "organisation_id");
  EXPECT_EQ(FieldNamed([](auto& r) { r.mutable_members(1)->set_person_id("els"); }),
            "members[1].person_id");
}

TEST_F(TeamsServiceTest, WhatIsOutOfItsLimitsIsNamed) {
  EXPECT_EQ(FieldNamed([](auto& r) { r.set_name(std::string(101, 'a')); }), "name");
  EXPECT_EQ(FieldNamed([](auto& r) { r.clear_name(); }), "name");
  EXPECT_EQ(FieldNamed([](auto& r) { r.mutable_members(0)->set_name(std::string(101, 'a')); }),
            "members[0].name");
  EXPECT_EQ(FieldNamed([](auto& r) { r.clear_members(); }), "members");
  EXPECT_EQ(FieldNamed([](auto& r) {
              while (r.members_size() <= 50) *r.add_members() = r.members(0);
            }),
            "members");
  EXPECT_EQ(FieldNamed([](auto& r) { r.mutable_members(1)->clear_qualification(); }),
            "members[1].qualification");
  EXPECT_EQ(FieldNamed([](auto& r) {
              r.mutable_members(1)->set_qualification(static_cast<v1::Qualification>(5));
            }),
            "members[1].qualification");
  EXPECT_EQ(FieldNamed([](auto& r) { r.mutable_header()->set_expected_version(1'000'001); }),
            "header.expected_version");
  EXPECT_EQ(FieldNamed([](auto& r) { r.mutable_header()->mutable_occurred_at()->set_nanos(-1); }),
            "header.occurred_at");
  EXPECT_EQ(FieldNamed([](auto& r) { *r.mutable_members(1) = r.members(0); }),
            "members[1].person_id");
}

TEST_F(TeamsServiceTest, APositionOfAServiceThatIsNotFollowedIsNamed) {
  EXPECT_EQ(
      FieldNamed([](auto& r) { r.mutable_header()->add_min_position()->set_service("visits"); }),
      "header.min_position[0].service");
}

TEST_F(TeamsServiceTest, ACommandWaitsForAPositionOfItsOwnLog) {
  const auto position = Call(Form(1))->receipt().position();
  v1::FormTeamRequest request = Form(2);
  type::v1::Position& min = *request.mutable_header()->add_min_position();
  min = position;
  min.set_partition(4'000);
  const absl::Status nowhere = Call(request).status();
  EXPECT_EQ(nowhere.code(), absl::StatusCode::kInvalidArgument) << nowhere;
  EXPECT_EQ(StatusField(nowhere), "header.min_position");
  // Nobody will ever write as far as this.
  min = position;
  min.set_sequence(99'999'999);
  EXPECT_EQ(
      region_.Call(*stub_, &Stub::FormTeam, request, access::ROLE_NURSE, absl::Milliseconds(50))
          .status()
          .code(),
      absl::StatusCode::kDeadlineExceeded);
  min = position;
  EXPECT_TRUE(Call(request).ok());
}

TEST_F(TeamsServiceTest, ANameIsMoreThanWhiteSpaceOnOneLine) {
  for (const char* name : {" ", "\t", " \n ", "\u00a0", "\u3000 \u2003", "Ann\ta", "An\nna"}) {
    EXPECT_EQ(FieldNamed([name](auto& r) { r.set_name(name); }), "name") << name;
    EXPECT_EQ(FieldNamed([name](auto& r) { r.mutable_members(1)->set_name(name); }),
              "members[1].name");
  }
}

TEST_F(TeamsServiceTest, ACommandFromBefore2000IsMalformed) {
  EXPECT_EQ(
      FieldNamed([](auto& r) { r.mutable_header()->mutable_occurred_at()->set_seconds(86'400); }),
      "header.occurred_at");
}

TEST_F(TeamsServiceTest, TheLongestNameOfManyCharactersIsTaken) {
  v1::FormTeamRequest form = Form(1);
  std::string name;
  for (int i = 0; i < 100; ++i) name += "ë";
  form.set_name(name);
  EXPECT_TRUE(Call(form).ok());
}

TEST_F(TeamsServiceTest, WhoMayNotFormATeamIsToldSo) {
  EXPECT_TRUE(Call(Form(1), access::ROLE_BACK_OFFICE).ok());
  EXPECT_EQ(Call(Form(1), access::ROLE_COACH).status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Call(Form(1), access::ROLE_CLIENT).status().code(),
            absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Call(Form(1), access::ROLE_UNSPECIFIED).status().code(),
            absl::StatusCode::kUnauthenticated);
}

TEST_F(TeamsServiceTest, TeamsAreListedPageByPage) {
  v1::ListTeamsRequest request;
  request.set_page_size(2);
  for (int i = 0; i < 3; ++i) {
    region_.clock().Advance(absl::Seconds(1));
    *request.add_min_position() = Call(Form(i + 1))->receipt().position();
  }
  const auto first = List(request);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_THAT(first->teams(), ElementsAre(Property(&v1::TeamSummary::members, 1u),
                                          Property(&v1::TeamSummary::members, 2u)));
  request.set_page_token(first->next_page_token());
  const auto second = List(request);
  EXPECT_THAT(second->teams(), ElementsAre(Property(&v1::TeamSummary::members, 3u)));
  EXPECT_THAT(second->next_page_token(), IsEmpty());

  request.clear_page_token();
  request.set_organisation_id(region_.NewKey());
  EXPECT_THAT(List(request)->teams(), IsEmpty());
}

TEST_F(TeamsServiceTest, APageOutOfItsLimitsIsNamed) {
  v1::ListTeamsRequest request;
  request.set_page_size(501);
  EXPECT_EQ(StatusField(List(request).status()), "page_size");
  request.set_page_size(0);
  request.set_page_token("second");
  EXPECT_EQ(StatusField(List(request).status()), "page_token");
}

}  // namespace
}  // namespace buurtlog::teams
