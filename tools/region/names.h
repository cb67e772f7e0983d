// Invented names. Given and family names are common Dutch ones, drawn independently; nobody is
// meant.
#pragma once

#include <string>

#include "absl/types/span.h"
#include "libs/base/random.h"

namespace buurtlog::region {

std::string DrawGivenName(Random& random);
std::string DrawFamilyName(Random& random);
std::string DrawWish(Random& random);
std::string DrawReport(Random& random);
std::string OrganisationName(size_t index);
// Different for each index.
std::string TeamName(size_t index);

}  // namespace buurtlog::region
