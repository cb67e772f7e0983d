#include "libs/rpc/form_rules.h"

#include <google/protobuf/timestamp.pb.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/civil_time.h"
#include "buurtlog/type/v1/field_rule.pb.h"
#include "libs/base/absl_view.h"
#include "libs/base/check.h"
#include "libs/base/ids.h"
#include "libs/base/refusal.h"
#include "libs/rpc/request_validator.h"
#include "libs/rpc/utf8.h"

namespace buurtlog::rpc {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr int kUuidV7 = 7;
constexpr int64_t kTimestampSecondsMin = -62135596800;  // the year 1
constexpr int64_t kTimestampSecondsMax = 253402300799;  // the year 9999
constexpr int32_t kNanosMax = 999'999'999;
constexpr size_t kDateLength = 10;

struct Characters {
  size_t count = 0;
  bool blank = true;  // nothing of it can be seen
};

// White space as Unicode has it, and what has no width. `character` is one of two or three bytes.
bool IsBlankCharacter(std::string_view character) {
  static constexpr std::string_view kBlank[] = {
      "\xc2\xa0",      // no-break space
      "\xe1\x9a\x80",  // Ogham space mark
      "\xe2\x80\xa8",  // line separator
      "\xe2\x80\xa9",  // paragraph separator
      "\xe2\x80\xaf",  // narrow no-break space
      "\xe2\x81\x9f",  // medium mathematical space
      "\xe2\x81\xa0",  // word joiner
      "\xe3\x80\x80",  // ideographic space
      "\xef\xbb\xbf",  // zero width no-break space
  };
  // U+2000 to U+200D: spaces of many widths, joiners without any.
  const bool of_the_spaces = character.size() == 3 && character.substr(0, 2) == "\xe2\x80" &&
                             static_cast<uint8_t>(character[2]) <= 0x8d;
  return of_the_spaces ||
         std::find(std::begin(kBlank), std::end(kBlank), character) != std::end(kBlank);
}

// Not well-formed UTF-8, or a control character (C0, DEL, C1): nothing. Line break and tab are
// none where the text has `lines`.
std::optional<Characters> CountCharacters(std::string_view text, bool lines) {
  Characters characters;
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    if (length == 0) return std::nullopt;
    const auto first = static_cast<uint8_t>(text[0]);
    const bool of_lines = first == '\n' || first == '\r' || first == '\t';
    const bool c0 = length == 1 && first < 0x20 && !(lines && of_lines);
    const bool c1 = length == 2 && first == 0xc2 && static_cast<uint8_t>(text[1]) < 0xa0;
    if (c0 || first == 0x7f || c1) return std::nullopt;
    characters.blank = characters.blank &&
                       (length == 1 ? first <= 0x20 : IsBlankCharacter(text.substr(0, length)));
    text.remove_prefix(length);
    ++characters.count;
  }
  return characters;
}

bool IsUuid(std::string_view text, bool version_7) {
  const absl::StatusOr<Uuid> id = ParseUuid(text);
  if (!id.ok()) return false;
  const bool rfc_variant = (id->bytes[8] & 0xc0) == 0x80;
  return !version_7 || (id->Version() == kUuidV7 && rfc_variant);
}

bool IsDate(std::string_view text) {
  if (text.size() != kDateLength || text[4] != '-' || text[7] != '-') return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i != 4 && i != 7 && (text[i] < '0' || text[i] > '9')) return false;
  }
  int year = 0;
  int month = 0;
  int day = 0;
  if (!absl::SimpleAtoi(AbslView(text.substr(0, 4)), &year) ||
      !absl::SimpleAtoi(AbslView(text.substr(5, 2)), &month) ||
      !absl::SimpleAtoi(AbslView(text.substr(8, 2)), &day)) {
    return false;
  }
  // Abseil normalizes the 30th of February into March, and then it is another day.
  const absl::CivilDay civil(year, month, day);
  return year >= 1 && civil.year() == year && civil.month() == month && civil.day() == day;
}

}  // namespace

struct FormRules::Field {
  const FieldDescriptor* descriptor = nullptr;
  type::v1::FieldRule rule;
  const FormRules* message = nullptr;  // of a message field
};

FormRules::FormRules() : fields_(std::make_unique<std::vector<Field>>()) {}
FormRules::~FormRules() = default;

// Compiles types that refer to each other, and keeps them.
class FormRules::Compiler {
 public:
  const FormRules& Of(const Descriptor& type) {
    absl::MutexLock lock(&mutex_);
    return Compile(type);
  }

 private:
  const FormRules& Compile(const Descriptor& type) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    std::unique_ptr<FormRules>& slot = compiled_[&type];
    if (slot != nullptr) return *slot;
    slot.reset(new FormRules);
    FormRules& rules = *slot;  // `slot` moves when the map grows
    rules.timestamp_ = type.full_name() == google::protobuf::Timestamp::descriptor()->full_name();
    for (int i = 0; i < type.field_count(); ++i) {
      Field field;
      field.descriptor = type.field(i);
      field.rule = field.descriptor->options().GetExtension(type::v1::field_rule);
      if (field.descriptor->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        field.message = &Compile(*field.descriptor->message_type());
      }
      if (NeedsCheck(field)) rules.fields_->push_back(std::move(field));
    }
    return rules;
  }

  // A field that cannot be wrong is not looked at in each request.
  static bool NeedsCheck(const Field& field) {
    if (field.descriptor->is_repeated() || field.rule.required()) return true;
    switch (field.descriptor->cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING:
        return field.descriptor->type() == FieldDescriptor::TYPE_STRING;
      case FieldDescriptor::CPPTYPE_ENUM:
      case FieldDescriptor::CPPTYPE_MESSAGE: return true;
      default: return field.rule.has_minimum() || field.rule.has_maximum();
    }
  }

  absl::Mutex mutex_;
  absl::flat_hash_map<const Descriptor*, std::unique_ptr<FormRules>> compiled_
      ABSL_GUARDED_BY(mutex_);
};

const FormRules& FormRules::Of(const Descriptor& type) {
  static Compiler* const compiler = new Compiler;
  return compiler->Of(type);
}

// Walks one message. The path is built only once something is wrong, on the way back up.
class FormChecker {
 public:
  // Where and what; the outermost part of the path comes last.
  struct Fault {
    std::string path;
    std::string message;
  };
  using Result = std::optional<Fault>;

  static Result Check(const FormRules& rules, const Message& message) {
    if (rules.timestamp_) return CheckTimestamp(message);
    const Reflection& reflection = *message.GetReflection();
    for (const FormRules::Field& field : *rules.fields_) {
      Result fault = field.descriptor->is_repeated() ? CheckList(field, message, reflection)
                                                     : CheckSingle(field, message, reflection);
      if (fault.has_value()) return fault;
    }
    return std::nullopt;
  }

 private:
  static Result Wrong(const FormRules::Field& field, std::string message) {
    return Fault{field.descriptor->name(), std::move(message)};
  }

  static Result Inside(Result fault, const std::string& name) {
    if (fault.has_value())
      fault->path = absl::StrCat(name, fault->path.empty() ? "" : ".", fault->path);
    return fault;
  }

  // By reflection, since the message may be a dynamic one.
  static Result CheckTimestamp(const Message& message) {
    const Reflection& reflection = *message.GetReflection();
    const Descriptor& type = *message.GetDescriptor();
    const int64_t seconds = reflection.GetInt64(message, type.FindFieldByNumber(1));
    const int32_t nanos = reflection.GetInt32(message, type.FindFieldByNumber(2));
    if (seconds < kTimestampSecondsMin || seconds > kTimestampSecondsMax || nanos < 0 ||
        nanos > kNanosMax) {
      return Fault{"", "is not a time of the years 1 to 9999"};
    }
    return std::nullopt;
  }

  static Result CheckList(const FormRules::Field& field, const Message& message,
                          const Reflection& reflection) {
    const int size = reflection.FieldSize(message, field.descriptor);
    if (size == 0) {
      return field.rule.required() ? Wrong(field, "is missing") : std::nullopt;
    }
    const uint32_t items_max =
        field.rule.items_max() == 0 ? kItemsMaxDefault : field.rule.items_max();
    if (static_cast<uint32_t>(size) > items_max) {
      return Wrong(field, absl::StrCat("has more than ", items_max, " items"));
    }
    for (int i = 0; i < size; ++i) {
      Result fault = CheckItem(field, message, reflection, i);
      if (fault.has_value()) {
        const std::string& name = field.descriptor->name();
        if (field.message == nullptr) fault->path.clear();
        return Inside(std::move(fault), absl::StrCat(name, "[", i, "]"));
      }
    }
    return std::nullopt;
  }

  static Result CheckItem(const FormRules::Field& field, const Message& message,
                          const Reflection& reflection, int i) {
    const FieldDescriptor* const descriptor = field.descriptor;
    switch (descriptor->cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Check(*field.message, reflection.GetRepeatedMessage(message, descriptor, i));
      case FieldDescriptor::CPPTYPE_STRING: {
        if (descriptor->type() != FieldDescriptor::TYPE_STRING) return std::nullopt;
        std::string scratch;
        const std::string& text =
            reflection.GetRepeatedStringReference(message, descriptor, i, &scratch);
        return CheckText(field, text);
      }
      case FieldDescriptor::CPPTYPE_ENUM:
        return CheckEnum(field, reflection.GetRepeatedEnumValue(message, descriptor, i), true);
      case FieldDescriptor::CPPTYPE_INT32:
        return CheckNumber<int64_t>(field, reflection.GetRepeatedInt32(message, descriptor, i));
      case FieldDescriptor::CPPTYPE_INT64:
        return CheckNumber<int64_t>(field, reflection.GetRepeatedInt64(message, descriptor, i));
      case FieldDescriptor::CPPTYPE_UINT32:
        return CheckNumber<uint64_t>(field, reflection.GetRepeatedUInt32(message, descriptor, i));
      case FieldDescriptor::CPPTYPE_UINT64:
        return CheckNumber<uint64_t>(field, reflection.GetRepeatedUInt64(message, descriptor, i));
      case FieldDescriptor::CPPTYPE_FLOAT:
        return CheckReal(field, reflection.GetRepeatedFloat(message, descriptor, i));
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return CheckReal(field, reflection.GetRepeatedDouble(message, descriptor, i));
      case FieldDescriptor::CPPTYPE_BOOL: return std::nullopt;
    }
    return std::nullopt;
  }

  static Result CheckSingle(const FormRules::Field& field, const Message& message,
                            const Reflection& reflection) {
    const FieldDescriptor* const descriptor = field.descriptor;
    const bool present = !descriptor->has_presence() || reflection.HasField(message, descriptor);
    if (!present) return field.rule.required() ? Wrong(field, "is missing") : std::nullopt;
    switch (descriptor->cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Inside(Check(*field.message, reflection.GetMessage(message, descriptor)),
                      descriptor->name());
      case FieldDescriptor::CPPTYPE_STRING: {
        std::string scratch;
        const std::string& text = reflection.GetStringReference(message, descriptor, &scratch);
        if (text.empty()) return field.rule.required() ? Wrong(field, "is missing") : std::nullopt;
        if (descriptor->type() != FieldDescriptor::TYPE_STRING) return std::nullopt;
        return CheckText(field, text);
      }
      case FieldDescriptor::CPPTYPE_ENUM:
        return CheckEnum(field, reflection.GetEnumValue(message, descriptor),
                         field.rule.required());
      case FieldDescriptor::CPPTYPE_INT32:
        return CheckNumber<int64_t>(field, reflection.GetInt32(message, descriptor));
      case FieldDescriptor::CPPTYPE_INT64:
        return CheckNumber<int64_t>(field, reflection.GetInt64(message, descriptor));
      case FieldDescriptor::CPPTYPE_UINT32:
        return CheckNumber<uint64_t>(field, reflection.GetUInt32(message, descriptor));
      case FieldDescriptor::CPPTYPE_UINT64:
        return CheckNumber<uint64_t>(field, reflection.GetUInt64(message, descriptor));
      case FieldDescriptor::CPPTYPE_FLOAT:
        return CheckReal(field, reflection.GetFloat(message, descriptor));
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return CheckReal(field, reflection.GetDouble(message, descriptor));
      case FieldDescriptor::CPPTYPE_BOOL: return std::nullopt;
    }
    return std::nullopt;
  }

  static Result CheckText(const FormRules::Field& field, const std::string& text) {
    const type::v1::FieldRule& rule = field.rule;
    const uint32_t characters_max =
        rule.characters_max() == 0 ? kCharactersMaxDefault : rule.characters_max();
    const std::optional<Characters> characters =
        CountCharacters(text, characters_max > kOneLineCharactersMax);
    if (!characters.has_value()) {
      return Wrong(field, "is not valid UTF-8 or holds control characters");
    }
    if (characters->count > characters_max) {
      return Wrong(field, absl::StrCat("is longer than ", characters_max, " characters"));
    }
    // In a list an item that says nothing need not be there.
    const bool must_speak = rule.required() || field.descriptor->is_repeated();
    if (must_speak && characters->blank) return Wrong(field, "is blank");
    if (text.empty()) return std::nullopt;
    if (rule.uuid_v7() && !IsUuid(text, true)) return Wrong(field, "is not a UUID of version 7");
    if (rule.uuid() && !IsUuid(text, false)) return Wrong(field, "is not a UUID");
    if (rule.date() && !IsDate(text)) return Wrong(field, "is not a date YYYY-MM-DD");
    return std::nullopt;
  }

  static Result CheckEnum(const FormRules::Field& field, int number, bool required) {
    if (number == 0 && required) return Wrong(field, "is missing");
    if (field.descriptor->enum_type()->FindValueByNumber(number) == nullptr) {
      return Wrong(field, "has a value that is not known here");
    }
    return std::nullopt;
  }

  template <typename Number>
  static Result CheckNumber(const FormRules::Field& field, Number value) {
    const type::v1::FieldRule& rule = field.rule;
    if (rule.has_minimum() && std::cmp_less(value, rule.minimum())) {
      return Wrong(field, absl::StrCat("is less than ", rule.minimum()));
    }
    if (rule.has_maximum() && std::cmp_greater(value, rule.maximum())) {
      return Wrong(field, absl::StrCat("is more than ", rule.maximum()));
    }
    return std::nullopt;
  }

  static Result CheckReal(const FormRules::Field& field, double value) {
    const type::v1::FieldRule& rule = field.rule;
    if (!std::isfinite(value)) return Wrong(field, "is not a number");
    if (rule.has_minimum() && value < static_cast<double>(rule.minimum())) {
      return Wrong(field, absl::StrCat("is less than ", rule.minimum()));
    }
    if (rule.has_maximum() && value > static_cast<double>(rule.maximum())) {
      return Wrong(field, absl::StrCat("is more than ", rule.maximum()));
    }
    return std::nullopt;
  }
};

absl::Status FormRules::Check(const Message& message) const {
  const FormChecker::Result fault = FormChecker::Check(*this, message);
  if (!fault.has_value()) return absl::OkStatus();
  return InvalidField(fault->path, fault->message);
}

}  // namespace buurtlog::rpc
