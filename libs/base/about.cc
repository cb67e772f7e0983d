#include "libs/base/about.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "libs/base/absl_view.h"

namespace buurtlog {

absl::Status About(std::string_view what, const absl::Status& status) {
  absl::Status about(status.code(), absl::StrCat(AbslView(what), ": ", status.message()));
  status.ForEachPayload([&about](absl::string_view type, const absl::Cord& payload) {
    about.SetPayload(type, payload);
  });
  return about;
}

}  // namespace buurtlog
