#include "tools/region/names.h"

#include <array>

#include "absl/strings/str_cat.h"

namespace buurtlog::region {
namespace {

template <size_t kSize>
std::string Draw(const std::array<const char*, kSize>& from, Random& random) {
  return from[RandomBelow(random, kSize)];
}

constexpr std::array<const char*, 64> kGivenNames = {
    "Anna",    "Johan",  "Maria",   "Pieter", "Elisabeth", "Hendrik", "Cornelia", "Willem",
    "Johanna", "Jan",    "Grietje", "Gerrit", "Trijntje",  "Klaas",   "Fatima",   "Mohammed",
    "Sanne",   "Daan",   "Emma",    "Lucas",  "Julia",     "Sem",     "Mila",     "Levi",
    "Tess",    "Bram",   "Sophie",  "Luuk",   "Lotte",     "Thijs",   "Eva",      "Ruben",
    "Noor",    "Jesse",  "Fleur",   "Stijn",  "Iris",      "Niels",   "Anouk",    "Joost",
    "Marieke", "Bas",    "Esther",  "Rob",    "Wilma",     "Kees",    "Ineke",    "Henk",
    "Ria",     "Piet",   "Truus",   "Wim",    "Corrie",    "Arie",    "Neeltje",  "Jaap",
    "Hanneke", "Sjoerd", "Aisha",   "Yusuf",  "Priya",     "Ravi",    "Mei",      "Tomasz"};
constexpr std::array<const char*, 48> kFamilyNames = {
    "de Jong",      "Jansen",    "de Vries", "van den Berg",   "van Dijk",  "Bakker",
    "Janssen",      "Visser",    "Smit",     "Meijer",         "de Boer",   "Mulder",
    "de Groot",     "Bos",       "Vos",      "Peters",         "Hendriks",  "van Leeuwen",
    "Dekker",       "Brouwer",   "de Wit",   "Dijkstra",       "Smits",     "de Graaf",
    "van der Meer", "Kok",       "Jacobs",   "van der Linden", "Vermeulen", "van den Heuvel",
    "van der Veen", "Schouten",  "van Beek", "Willems",        "van Vliet", "Hoekstra",
    "Maas",         "Verhoeven", "Koster",   "van Dam",        "Prins",     "Blom",
    "Huisman",      "Peeters",   "Kuipers",  "Veenstra",       "Yilmaz",    "El Amrani"};
constexpr std::array<const char*, 10> kWishes = {
    "Prefers to be visited after nine.",         "Wants the radio left on.",
    "Likes coffee before anything else.",        "Would rather wash herself as far as she can.",
    "Asks to ring twice, hears badly.",          "Wants her daughter to be told of changes.",
    "Prefers a nurse who knows the cat.",        "Wishes to walk to the shop again by spring.",
    "Does not want to be called by first name.", "Wants to do the eye drops alone."};
constexpr std::array<const char*, 10> kReports = {
    "Wound clean, less red than yesterday.",
    "Slept badly, pain in the left hip.",
    "Did the stockings herself for the first time.",
    "Ate little; asked the daughter to look in tonight.",
    "Medication put out, all taken.",
    "Walked to the kitchen with the frame.",
    "In good spirits, spoke of the garden.",
    "Blood pressure as last week.",
    "Skin of the heel red, put on a dressing.",
    "Practised getting out of the chair."};
constexpr std::array<const char*, 3> kOrganisations = {"Zorg in de Wijk", "Thuis Dichtbij",
                                                       "De Vliet Wijkzorg"};
constexpr std::array<const char*, 40> kNeighbourhoods = {
    "Molenwijk",   "Kanaalzicht", "Oude Haven", "Lindenhof",  "Waterpoort", "Steenbreek",
    "Zonnehoek",   "Veldhuizen",  "De Brink",   "Kerkwijk",   "Dorpzicht",  "Rozenburcht",
    "Parkwijk",    "Sluiskade",   "Groenewoud", "Duinrand",   "Wilgenlaan", "Havenkwartier",
    "De Hoven",    "Noorderveld", "Beekdal",    "Torenplein", "Meerzicht",  "Eikenrode",
    "Vestingwijk", "De Akkers",   "Weidevenne", "Zuidpolder", "Rivierwijk", "Berkenstein",
    "Heidehof",    "Marktzicht",  "De Terp",    "Singelwijk", "Polderhof",  "Brugzicht",
    "Kastanjehof", "Vlinderveld", "Gaarde",     "Oosterpoort"};

}  // namespace

std::string DrawGivenName(Random& random) { return Draw(kGivenNames, random); }
std::string DrawFamilyName(Random& random) { return Draw(kFamilyNames, random); }
std::string DrawWish(Random& random) { return Draw(kWishes, random); }
std::string DrawReport(Random& random) { return Draw(kReports, random); }

std::string OrganisationName(size_t index) { return kOrganisations[index % kOrganisations.size()]; }

std::string TeamName(size_t index) {
  const size_t round = index / kNeighbourhoods.size();
  const std::string name = kNeighbourhoods[index % kNeighbourhoods.size()];
  return round == 0 ? name : absl::StrCat(name, " ", round + 1);
}

}  // namespace buurtlog::region
