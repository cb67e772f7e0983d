#include "libs/rpc/sign_in.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "buurtlog/access/v1/sign_in_service.grpc.pb.h"
#include "libs/base/refusal.h"
#include "libs/rpc/service_host.h"
#include "libs/rpc/status_conversion.h"

namespace buurtlog::rpc {
namespace {

using access::v1::ListPeopleRequest;
using access::v1::ListPeopleResponse;
using access::v1::SignInRequest;
using access::v1::SignInResponse;
using identity::Person;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class SignInTest : public ::testing::Test {
 protected:
  SignInTest() {
    std::filesystem::create_directories(folder_);
    issuer_ = *identity::DevIssuer::Open(folder_, SystemFiles(), SystemClock(), SystemRandom());
    std::vector<Service> services;
    services.push_back(MakeSignInService(*issuer_, people_));
    HostOptions options;
    options.insecure_dev = true;
    auto host = ServiceHost::Start(options, std::move(services),
                                   {*issuer_, SystemClock(), SystemRandom(), registry_});
    EXPECT_TRUE(host.ok()) << host.status();
    host_ = *std::move(host);
    stub_ = access::v1::SignInService::NewStub(host_->InProcessChannel());
  }
  ~SignInTest() override { std::filesystem::remove_all(folder_); }

  absl::Status SignIn(const std::string& person, const std::string& header = "") {
    grpc::ClientContext context;
    if (!header.empty()) context.AddMetadata("authorization", header);
    SignInRequest request;
    request.set_person(person);
    return FromGrpc(stub_->SignIn(&context, request, &response_));
  }

  ListPeopleResponse List(const ListPeopleRequest& request) {
    grpc::ClientContext context;
    ListPeopleResponse response;
    const absl::Status status = FromGrpc(stub_->ListPeople(&context, request, &response));
    EXPECT_TRUE(status.ok()) << status;
    return response;
  }

  const std::string folder_ = absl::StrCat(::testing::TempDir(), "/sign-in-", getpid());
  SeededRandom random_{1};
  IdGenerator ids_{SystemClock(), random_};
  const Uuid team_ = ids_.New();
  const std::vector<Person> people_ = {
      {ids_.New(), "Anna Bakker", access::v1::ROLE_NURSE, team_, "Team Zuid", ids_.New()},
      {ids_.New(), "Anna de Vries", access::v1::ROLE_NURSE, team_, "Team Zuid", ids_.New()},
      {ids_.New(), "Operator", access::v1::ROLE_OPERATOR, Uuid(), "", Uuid()},
      {ids_.New(), "Operator Two", access::v1::ROLE_OPERATOR, Uuid(), "", Uuid()}};
  prometheus::Registry registry_;
  std::unique_ptr<identity::DevIssuer> issuer_;
  std::unique_ptr<ServiceHost> host_;
  std::unique_ptr<access::v1::SignInService::Stub> stub_;
  SignInResponse response_;
};

TEST_F(SignInTest, SomebodyGetsATokenByNameByItsBeginningOrById) {
  for (const std::string& asked : {std::string("Anna Bakker"), std::string("anna BAKKER"),
                                   std::string(" anna b"), people_[0].person_id.ToString()}) {
    ASSERT_EQ(SignIn(asked), absl::OkStatus()) << asked;
    const absl::StatusOr<identity::Caller> caller = issuer_->Verify(response_.token());
    ASSERT_TRUE(caller.ok()) << caller.status();
    EXPECT_EQ(*caller, identity::ToCaller(people_[0]));
    EXPECT_EQ(response_.person_id(), people_[0].person_id.ToString());
    EXPECT_EQ(response_.role(), access::v1::ROLE_NURSE);
    EXPECT_EQ(response_.team_id(), team_.ToString());
  }
}

TEST_F(SignInTest, AWholeNameWinsFromTheBeginningOfAnother) {
  ASSERT_EQ(SignIn("operator"), absl::OkStatus());
  EXPECT_EQ(response_.person_id(), people_[2].person_id.ToString());
  EXPECT_EQ(response_.team_id(), "");
}

TEST_F(SignInTest, SeveralOfOneNameAreAmbiguousAndNotNamed) {
  const absl::Status status = SignIn("Anna");
  EXPECT_EQ(RefusalReason(status), "NAME_AMBIGUOUS");
  EXPECT_THAT(status.ToString(), Not(HasSubstr("Anna")));
}

TEST_F(SignInTest, NobodyIsNotFoundAndNotNamed) {
  const absl::Status status = SignIn("Zoë");
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(status.ToString(), Not(HasSubstr("Zo")));
  EXPECT_TRUE(absl::IsNotFound(SignIn(ids_.New().ToString())));
  EXPECT_EQ(StatusField(SignIn("  ")), "person");
  EXPECT_EQ(StatusField(SignIn("")), "person");
}

TEST_F(SignInTest, AStaleTokenIsNoHindrance) {
  EXPECT_EQ(SignIn("operator", "Bearer stale"), absl::OkStatus());
}

TEST_F(SignInTest, PeopleAreListedPageByPage) {
  ListPeopleRequest request;
  request.set_page_size(3);
  const ListPeopleResponse first = List(request);
  ASSERT_EQ(first.people_size(), 3);
  EXPECT_EQ(first.people(0).name(), "Anna Bakker");
  EXPECT_EQ(first.people(0).team_name(), "Team Zuid");
  request.set_page_token(first.next_page_token());
  const ListPeopleResponse last = List(request);
  ASSERT_EQ(last.people_size(), 1);
  EXPECT_EQ(last.people(0).name(), "Operator Two");
  EXPECT_EQ(last.next_page_token(), "");
}

TEST_F(SignInTest, PeopleAreListedByRoleAndTeam) {
  ListPeopleRequest request;
  request.set_role(access::v1::ROLE_OPERATOR);
  EXPECT_EQ(List(request).people_size(), 2);
  request.set_team_id(team_.ToString());
  EXPECT_EQ(List(request).people_size(), 0);
  request.set_role(access::v1::ROLE_UNSPECIFIED);
  EXPECT_EQ(List(request).people_size(), 2);
}

TEST_F(SignInTest, APageTokenOfNobodysMakingIsRefused) {
  for (const char* token : {"x", "-1", "5", "99999999999999999999"}) {
    grpc::ClientContext context;
    ListPeopleRequest request;
    ListPeopleResponse response;
    request.set_page_token(token);
    EXPECT_EQ(StatusField(FromGrpc(stub_->ListPeople(&context, request, &response))), "page_token");
  }
}

}  // namespace
}  // namespace buurtlog::rpc
