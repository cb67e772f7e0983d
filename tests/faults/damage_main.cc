// The long walk over the files of a data folder, with a report: tools/bench/damage.
#include <CLI/CLI.hpp>
#include <iostream>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/end_to_end/running_system.h"
#include "tests/faults/damage_walk.h"

namespace buurtlog::faults {
namespace {

// What came of it, by file and outcome.
class Tally {
 public:
  void Try(DamageWalk& walk, const Damage& damage) {
    const DamageResult result = walk.Try(damage);
    ++counts_[damage.file][result.outcome];
    ++cases_;
    std::cerr << NameOf(damage) << ": " << NameOf(result.outcome) << " " << result.why << std::endl;
    if (result.outcome == Outcome::kWrong) {
      wrong_.push_back(absl::StrCat(NameOf(damage), ": ", result.why));
    }
  }
  int Report() const {
    std::cout << cases_ << " cases, " << wrong_.size() << " wrong\n\n| file | "
              << "detected | refused | folded anew | harmless | like a crash | wrong |\n"
              << "|---|---|---|---|---|---|---|\n";
    for (const auto& [file, outcomes] : counts_) {
      std::cout << "| `" << file << "`";
      for (int outcome = 0; outcome <= static_cast<int>(Outcome::kWrong); ++outcome) {
        const auto count = outcomes.find(static_cast<Outcome>(outcome));
        std::cout << " | " << (count == outcomes.end() ? 0 : count->second);
      }
      std::cout << " |\n";
    }
    for (const std::string& sentence : wrong_) std::cout << "\nWRONG: " << sentence << "\n";
    return wrong_.empty() ? 0 : 1;
  }

 private:
  std::map<std::string, std::map<Outcome, int>> counts_;
  std::vector<std::string> wrong_;
  int cases_ = 0;
};

}  // namespace
}  // namespace buurtlog::faults

int main(int argc, char** argv) {
  using namespace buurtlog::faults;  // NOLINT(google-build-using-namespace): a main
  size_t flips = 10;
  uint64_t seed = 1;
  size_t commands = 200;
  std::string only;
  CLI::App app(
      "Damages every file of a data folder, one byte or one cut at a time, and looks what "
      "the system makes of it");
  app.add_option("--flips", flips, "Flipped bytes in each file")->capture_default_str();
  app.add_option("--seed", seed, "Draws the places")->capture_default_str();
  app.add_option("--commands", commands, "History before it")->capture_default_str();
  app.add_option("--file", only, "Only files whose path holds this");
  CLI11_PARSE(app, argc, argv);
  Tally tally;
  for (const auto ending : {DamageWalk::Ending::kStopped, DamageWalk::Ending::kKilled}) {
    const buurtlog::end_to_end::TemporaryFolder folder;
    DamageWalk walk(folder.path(), seed);
    if (const absl::Status ready = walk.Prepare(ending, commands); !ready.ok()) {
      std::cerr << ready << std::endl;
      return 1;
    }
    for (const std::string& file : walk.files()) {
      if (file.find(only) == std::string::npos) continue;
      for (size_t i = 0; i < flips; ++i) tally.Try(walk, walk.DrawFlip(file));
      for (const auto kind : {Damage::Kind::kCutToNothing, Damage::Kind::kCutInHalf,
                              Damage::Kind::kCutByOne, Damage::Kind::kRemove}) {
        tally.Try(walk, {file, kind});
      }
    }
  }
  return tally.Report();
}
