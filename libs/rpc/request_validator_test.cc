#include "libs/rpc/request_validator.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/timestamp.pb.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "buurtlog/type/v1/command.pb.h"
#include "buurtlog/type/v1/field_rule.pb.h"
#include "libs/base/refusal.h"

namespace buurtlog::rpc {
namespace {

using google::protobuf::FieldDescriptorProto;
using google::protobuf::Message;
using ::testing::HasSubstr;
using ::testing::Not;

// Each kind of field with each kind of rule; made here, so that no contract has to hold them all.
constexpr char kProto[] = R"pb(
  name: "form.proto"
  package: "form"
  syntax: "proto3"
  dependency: "buurtlog/type/v1/field_rule.proto"
  dependency: "google/protobuf/timestamp.proto"
  enum_type {
    name: "Kind"
    value { name: "KIND_UNSPECIFIED" number: 0 }
    value { name: "KIND_ONE" number: 1 }
  }
  message_type {
    name: "Member"
    field {
      name: "person_id"
      number: 1
      type: TYPE_STRING
      label: LABEL_OPTIONAL
      options {
        [buurtlog.type.v1.field_rule] { required: true uuid: true }
      }
    }
    field {
      name: "inner"
      number: 2
      type: TYPE_MESSAGE
      type_name: ".form.Member"
      label: LABEL_REPEATED
    }
  }
  message_type {
    name: "Form"
    field { name: "plain" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field {
      name: "short"
      number: 2
      type: TYPE_STRING
      label: LABEL_OPTIONAL
      options {
        [buurtlog.type.v1.field_rule] { characters_max: 3 }
      }
    }
    field {
      name: "id"
      number: 3
      type: TYPE_STRING
      label: LABEL_OPTIONAL
      options {
        [buurtlog.type.v1.field_rule] { uuid: true }
      }
    }
    field {
      name: "key"
      number: 4
      type: TYPE_STRING
      label: LABEL_OPTIONAL
      options {
        [buurtlog.type.v1.field_rule] { uuid_v7: true }
      }
    }
    field {
      name: "day"
      number: 5
      type: TYPE_STRING
      label: LABEL_OPTIONAL
      options {
        [buurtlog.type.v1.field_rule] { date: true }
      }
    }
    field {
      name: "must"
      number: 6
      type: TYPE_STRING
      label: LABEL_OPTIONAL
      options {
        [buurtlog.type.v1.field_rule] { required: true }
      }
    }
    field {
      name: "i32"
      number: 7
      type: TYPE_INT32
      label: LABEL_OPTIONAL
      options {
        [buurtlog.type.v1.field_rule] { minimum: -5 maximum: 5 }
      }
    }
    field {
      name: "i64"
      number: 8
      type: TYPE_INT64
      label: LABEL_OPTIONAL
      options {
        [buurtlog.type.v1.field_rule] { minimum: -5 maximum: 5 }
      }
    }
    field {
      name: "u32"
      number: 9
      type: TYPE_UINT32
      label: LABEL_OPTIONAL
      options {
        [buurtlog.type.v1.field_rule] { minimum: -1 maximum: 5 }
      }
    }
    field {
      name: "u64"
      number: 10
      type: TYPE_UINT64
      label: LABEL_OPTIONAL
      options {
        [buurtlog.type.v1.field_rule] { maximum: 9223372036854775807 }
      }
    }
    field {
      name: "some"
      number: 11
      type: TYPE_UINT32
      label: LABEL_OPTIONAL
      proto3_optional: true
      oneof_index: 0
      options {
        [buurtlog.type.v1.field_rule] { minimum: 2 }
      }
    }
    field {
      name: "at"
      number: 12
      type: TYPE_MESSAGE
      type_name: ".google.protobuf.Timestamp"
      label: LABEL_OPTIONAL
    }
    field { name: "kind" number: 13 type: TYPE_ENUM type_name: ".form.Kind" label: LABEL_OPTIONAL }
    field {
      name: "members"
      number: 14
      type: TYPE_MESSAGE
      type_name: ".form.Member"
      label: LABEL_REPEATED
    }
    field {
      name: "words"
      number: 15
      type: TYPE_STRING
      label: LABEL_REPEATED
      options {
        [buurtlog.type.v1.field_rule] { items_max: 2 characters_max: 4 }
      }
    }
    field {
      name: "numbers"
      number: 16
      type: TYPE_INT32
      label: LABEL_REPEATED
      options {
        [buurtlog.type.v1.field_rule] { minimum: 1 }
      }
    }
    field {
      name: "real"
      number: 17
      type: TYPE_DOUBLE
      label: LABEL_OPTIONAL
      options {
        [buurtlog.type.v1.field_rule] { minimum: 0 maximum: 1 }
      }
    }
    field {
      name: "member"
      number: 18
      type: TYPE_MESSAGE
      type_name: ".form.Member"
      label: LABEL_OPTIONAL
    }
    field {
      name: "story"
      number: 19
      type: TYPE_STRING
      label: LABEL_OPTIONAL
      options {
        [buurtlog.type.v1.field_rule] { characters_max: 201 }
      }
    }
    oneof_decl { name: "_some" }
  }
  message_type {
    name: "Needs"
    field {
      name: "kind"
      number: 1
      type: TYPE_ENUM
      type_name: ".form.Kind"
      label: LABEL_OPTIONAL
      options {
        [buurtlog.type.v1.field_rule] { required: true }
      }
    }
    field {
      name: "member"
      number: 2
      type: TYPE_MESSAGE
      type_name: ".form.Member"
      label: LABEL_OPTIONAL
      options {
        [buurtlog.type.v1.field_rule] { required: true }
      }
    }
    field {
      name: "words"
      number: 3
      type: TYPE_STRING
      label: LABEL_REPEATED
      options {
        [buurtlog.type.v1.field_rule] { required: true }
      }
    }
    field {
      name: "count"
      number: 4
      type: TYPE_UINT32
      label: LABEL_OPTIONAL
      proto3_optional: true
      oneof_index: 0
      options {
        [buurtlog.type.v1.field_rule] { required: true }
      }
    }
    oneof_decl { name: "_count" }
  }
)pb";
constexpr char kId[] = "01890a5d-ac96-774b-bcce-b302099a8057";

class RequestValidatorTest : public ::testing::Test {
 protected:
  static google::protobuf::DescriptorPool& Pool() {
    static auto* const pool = [] {
      // The contracts that are linked in stand underneath.
      auto* const made =
          new google::protobuf::DescriptorPool(google::protobuf::DescriptorPool::generated_pool());
      google::protobuf::FileDescriptorProto file;
      EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(kProto, &file));
      (void)google::protobuf::Timestamp::descriptor();
      EXPECT_NE(made->BuildFile(file), nullptr);
      return made;
    }();
    return *pool;
  }

  static std::unique_ptr<Message> New(const std::string& type, const std::string& text) {
    static auto* const factory = new google::protobuf::DynamicMessageFactory;
    std::unique_ptr<Message> message(
        factory->GetPrototype(Pool().FindMessageTypeByName("form." + type))->New());
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, message.get())) << text;
    return message;
  }

  static absl::Status Check(const std::string& type, const std::string& text) {
    return ValidateForm(*New(type, text));
  }

  // Of a Form that is right but for `text`.
  static void ExpectWrong(const std::string& text, const std::string& field,
                          const std::string& message) {
    const absl::Status status = Check("Form", absl::StrCat("must: 'x' ", text));
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text << ": " << status;
    EXPECT_EQ(StatusField(status), field) << status;
    EXPECT_EQ(std::string(status.message()), absl::StrCat(field, ": ", message));
  }
  static void ExpectRight(const std::string& text) {
    EXPECT_EQ(Check("Form", absl::StrCat("must: 'x' ", text)), absl::OkStatus()) << text;
  }
};

TEST_F(RequestValidatorTest, TextHasALimitInCharactersNotBytes) {
  ExpectRight(absl::StrCat("plain: '", std::string(200, 'a'), "'"));
  ExpectWrong(absl::StrCat("plain: '", std::string(201, 'a'), "'"), "plain",
              "is longer than 200 characters");
  ExpectRight("short: 'é€😀'");
  ExpectWrong("short: 'é€😀x'", "short", "is longer than 3 characters");
}

TEST_F(RequestValidatorTest, TextIsUtf8WithoutControlCharacters) {
  for (const char* bad : {R"(\x01)", R"(\0)", R"(\x7f)", R"(\x1b[0m)", R"(\xc2\x85)"}) {
    ExpectWrong(absl::StrCat("plain: 'a", bad, "'"), "plain",
                "is not valid UTF-8 or holds control characters");
  }
  const std::vector<std::string> bytes = {
      "\xff", "\xc3", "\xc3(", "\xc0\xaf", "\xed\xa0\x80", "\xe0\x80\xaf", "\xf4\x90\x80\x80",
      "\x80"};
  for (const std::string& bad : bytes) {
    const std::unique_ptr<Message> form = New("Form", "must: 'x'");
    form->GetReflection()->SetString(form.get(), form->GetDescriptor()->FindFieldByName("plain"),
                                     bad);
    EXPECT_EQ(StatusField(ValidateForm(*form)), "plain");
  }
}

TEST_F(RequestValidatorTest, OnlyALongTextHasLinesAndTabs) {
  ExpectRight(R"(story: 'one\r\n\ttwo')");
  for (const char* bad : {R"(\t)", R"(\n)", R"(\r)"}) {
    ExpectWrong(absl::StrCat("plain: 'a", bad, "b'"), "plain",
                "is not valid UTF-8 or holds control characters");
  }
  ExpectWrong(R"(story: 'a\x0b')", "story", "is not valid UTF-8 or holds control characters");
}

TEST_F(RequestValidatorTest, WhatMustBeThereIsMoreThanWhiteSpace) {
  for (const char* blank : {" ", "  ", "\u00a0", "\u1680", "\u2000\u200a", "\u2028 \u2029",
                            "\u202f\u205f\u3000", "\u200b\ufeff", "\u2060"}) {
    EXPECT_EQ(StatusField(Check("Form", absl::StrCat("must: '", blank, "'"))), "must") << blank;
    ExpectRight(absl::StrCat("plain: '", blank, "'"));
    ExpectWrong(absl::StrCat("words: ['one', '", blank, "']"), "words[1]", "is blank");
  }
  EXPECT_EQ(Check("Form", "must: ' x '"), absl::OkStatus());
  EXPECT_EQ(Check("Form", "must: '\u3001'"), absl::OkStatus());
  ExpectWrong("words: ['one', '']", "words[1]", "is blank");
}

TEST_F(RequestValidatorTest, AUuidIsAUuid) {
  ExpectRight("id: ''");
  ExpectRight(absl::StrCat("id: '", kId, "'"));
  ExpectRight("id: 'C232AB00-9414-11EC-B3C8-9E6BDECED846'");
  for (const char* bad :
       {"x", "01890a5d-ac96-774b-bcce-b302099a805", "01890a5dac96774bbcceb302099a8057",
        "01890a5d-ac96-774b-bcce-b302099a805g", "{01890a5d-ac96-774b-bcce-b302099a80}"}) {
    ExpectWrong(absl::StrCat("id: '", bad, "'"), "id", "is not a UUID");
  }
}

TEST_F(RequestValidatorTest, WhereVersionSevenIsAskedNoOtherWillDo) {
  ExpectRight("key: ''");
  ExpectRight(absl::StrCat("key: '", kId, "'"));
  for (const char* bad :
       {"919108f7-52d1-4320-9bac-f847db4148a8", "01890a5d-ac96-774b-ccce-b302099a8057", "x"}) {
    ExpectWrong(absl::StrCat("key: '", bad, "'"), "key", "is not a UUID of version 7");
  }
}

TEST_F(RequestValidatorTest, ADateIsADayOfTheCalendar) {
  for (const char* good : {"", "2026-01-31", "2024-02-29", "0001-01-01", "9999-12-31"}) {
    ExpectRight(absl::StrCat("day: '", good, "'"));
  }
  for (const char* bad : {"2026-02-30", "2025-02-29", "2026-13-01", "2026-1-01", "2026-01-01T00",
                          "01-01-2026", "2026-00-10", "2026-01-00", "-026-01-01", "0000-01-01"}) {
    ExpectWrong(absl::StrCat("day: '", bad, "'"), "day", "is not a date YYYY-MM-DD");
  }
}

TEST_F(RequestValidatorTest, NumbersKeepTheirRange) {
  ExpectRight("i32: -5 i64: 5 u32: 5 u64: 9223372036854775807 real: 0.5");
  ExpectWrong("i32: -6", "i32", "is less than -5");
  ExpectWrong("i32: 6", "i32", "is more than 5");
  ExpectWrong("i64: -9223372036854775808", "i64", "is less than -5");
  ExpectWrong("i64: 9223372036854775807", "i64", "is more than 5");
  ExpectRight("u32: 0");
  ExpectWrong("u32: 4294967295", "u32", "is more than 5");
  ExpectWrong("u64: 9223372036854775808", "u64", "is more than 9223372036854775807");
  ExpectWrong("u64: 18446744073709551615", "u64", "is more than 9223372036854775807");
  ExpectWrong("real: 1.5", "real", "is more than 1");
  ExpectWrong("real: nan", "real", "is not a number");
}

TEST_F(RequestValidatorTest, AnOptionalNumberIsCheckedWhenItIsThere) {
  ExpectRight("");
  ExpectRight("some: 2");
  ExpectWrong("some: 0", "some", "is less than 2");
}

TEST_F(RequestValidatorTest, TimesAreOfTheYearsOneToNineThousand) {
  ExpectRight("at {}");
  ExpectRight("at { seconds: 253402300799 nanos: 999999999 }");
  ExpectRight("at { seconds: -62135596800 }");
  const std::string message = "is not a time of the years 1 to 9999";
  ExpectWrong("at { seconds: 253402300800 }", "at", message);
  ExpectWrong("at { seconds: -62135596801 }", "at", message);
  ExpectWrong("at { nanos: -1 }", "at", message);
  ExpectWrong("at { nanos: 1000000000 }", "at", message);
}

TEST_F(RequestValidatorTest, AnEnumValueIsOneWeKnow) {
  ExpectRight("kind: KIND_ONE");
  const std::unique_ptr<Message> form = New("Form", "must: 'x'");
  form->GetReflection()->SetEnumValue(form.get(), form->GetDescriptor()->FindFieldByName("kind"),
                                      7);
  EXPECT_EQ(StatusField(ValidateForm(*form)), "kind");
}

TEST_F(RequestValidatorTest, ListsHaveALimitAndTheirItemsRules) {
  std::string hundred;
  for (int i = 0; i < 100; ++i) absl::StrAppend(&hundred, "members { person_id: '", kId, "' } ");
  ExpectRight(hundred);
  ExpectWrong(absl::StrCat(hundred, "members { person_id: '", kId, "' }"), "members",
              "has more than 100 items");
  ExpectRight("words: ['one', 'two']");
  ExpectWrong("words: ['1', '2', '3']", "words", "has more than 2 items");
  ExpectWrong("words: ['one', 'three']", "words[1]", "is longer than 4 characters");
  ExpectWrong("numbers: [1, 2, 0]", "numbers[2]", "is less than 1");
}

TEST_F(RequestValidatorTest, NestedFieldsAreNamedByTheirPath) {
  const std::string good = absl::StrCat("person_id: '", kId, "'");
  ExpectWrong("member {}", "member.person_id", "is missing");
  ExpectWrong(absl::StrCat("members { ", good, " } members { person_id: 'x' }"),
              "members[1].person_id", "is not a UUID");
  ExpectWrong(
      absl::StrCat("members { ", good, " inner { ", good, " } inner { ", good, " inner {} } }"),
      "members[0].inner[1].inner[0].person_id", "is missing");
}

TEST_F(RequestValidatorTest, WhatIsRequiredIsThere) {
  const std::string member = absl::StrCat("member { person_id: '", kId, "' }");
  const std::string all = absl::StrCat("kind: KIND_ONE words: 'w' count: 0 ", member);
  EXPECT_EQ(Check("Needs", all), absl::OkStatus());
  EXPECT_EQ(StatusField(Check("Form", "")), "must");
  EXPECT_EQ(StatusField(Check("Needs", absl::StrCat("words: 'w' count: 0 ", member))), "kind");
  EXPECT_EQ(StatusField(Check("Needs", "kind: KIND_ONE words: 'w' count: 0")), "member");
  EXPECT_EQ(StatusField(Check("Needs", absl::StrCat("kind: KIND_ONE count: 0 ", member))), "words");
  EXPECT_EQ(StatusField(Check("Needs", absl::StrCat("kind: KIND_ONE words: '' count: 0 ", member))),
            "words[0]");
  EXPECT_EQ(StatusField(Check("Needs", absl::StrCat("kind: KIND_ONE words: 'w' ", member))),
            "count");
}

TEST_F(RequestValidatorTest, TheHeaderOfACommandIsChecked) {
  type::v1::CommandHeader header;
  EXPECT_EQ(StatusField(ValidateForm(header)), "idempotency_key");
  header.set_idempotency_key(kId);
  EXPECT_EQ(ValidateForm(header), absl::OkStatus());
  header.set_expected_version(1'000'001);
  EXPECT_EQ(StatusField(ValidateForm(header)), "expected_version");
}

TEST_F(RequestValidatorTest, ErrorsNeverRepeatAValue) {
  for (const char* text : {"id: 'secret'", "key: 'secret'", "day: 'secret'", "short: 'secret'",
                           "plain: 'secret\\x01'", "members { person_id: 'secret' }"}) {
    const absl::Status status = Check("Form", absl::StrCat("must: 'x' ", text));
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_THAT(status.ToString(), Not(HasSubstr("secret")));
  }
}

}  // namespace
}  // namespace buurtlog::rpc
