// Every rpc says who may call it. One without a rule could be called by nobody, one with a careless
// rule by everybody.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "buurtlog/access/v1/options.pb.h"
#include "tests/proto_tree.h"

namespace buurtlog::tests {
namespace {

using google::protobuf::FileDescriptor;
using google::protobuf::MethodDescriptor;

std::vector<const MethodDescriptor*> AllMethods() {
  std::vector<const MethodDescriptor*> methods;
  for (const FileDescriptor* file : ProtoTree()) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        methods.push_back(file->service(s)->method(m));
      }
    }
  }
  return methods;
}

// What is wrong with the rule; empty when nothing is.
std::string Wrong(const MethodDescriptor& method) {
  if (!method.options().HasExtension(access::v1::rule)) return "has no rule";
  const access::v1::Rule& rule = method.options().GetExtension(access::v1::rule);
  if (rule.roles().empty() && !rule.anyone()) return "lets nobody in";
  if (!rule.roles().empty() && rule.anyone()) return "lets anyone in and names roles besides";
  for (const int role : rule.roles()) {
    if (role == access::v1::ROLE_UNSPECIFIED) return "names the role that nobody has";
    if (!access::v1::Role_IsValid(role)) return "names a role that does not exist";
  }
  return "";
}

TEST(AccessRulesTest, EveryRpcSaysWhoMayCallIt) {
  std::vector<std::string> findings;
  for (const MethodDescriptor* method : AllMethods()) {
    const std::string wrong = Wrong(*method);
    if (!wrong.empty()) {
      findings.push_back(absl::StrCat(At(*method), method->full_name(), " ", wrong));
    }
  }
  EXPECT_TRUE(findings.empty()) << absl::StrJoin(findings, "\n");
}

TEST(AccessRulesTest, EveryRpcHasARequestAndAResponseOfItsOwn) {
  std::vector<std::string> findings;
  for (const MethodDescriptor* method : AllMethods()) {
    if (method->input_type()->name() != absl::StrCat(method->name(), "Request") ||
        method->output_type()->name() != absl::StrCat(method->name(), "Response")) {
      findings.push_back(absl::StrCat(At(*method), method->full_name()));
    }
  }
  EXPECT_TRUE(findings.empty()) << absl::StrJoin(findings, "\n");
}

}  // namespace
}  // namespace buurtlog::tests
