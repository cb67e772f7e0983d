// Damages files of a data folder, one at a time, and looks what becomes of it: a flipped byte, a
// file that was cut or is gone. Whatever it is, nobody may be shown anything wrong, nothing may
// hang, and no process may end by a signal.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "libs/base/random.h"
#include "tests/faults/care_load.h"
#include "tests/faults/log_audit.h"
#include "tests/faults/system_processes.h"

namespace buurtlog::faults {

struct Damage {
  enum class Kind { kFlip, kCutToNothing, kCutInHalf, kCutByOne, kRemove };
  std::string file;  // relative to the data folder
  Kind kind = Kind::kFlip;
  uint64_t offset = 0;  // of kFlip
  uint8_t mask = 1;     // of kFlip
};
std::string NameOf(const Damage& damage);

enum class Outcome {
  kDetected,    // DATA_LOSS: the system does not start, or a service does not become ready
  kRefused,     // it does not start, for another reason that it gives
  kRebuilt,     // folded anew from the log
  kHarmless,    // all the same
  kLikeACrash,  // entries are gone that are newer than the head file
  kWrong,       // what must not be
};
const char* NameOf(Outcome outcome);

struct DamageResult {
  Outcome outcome = Outcome::kWrong;
  std::string why;  // a sentence, of kWrong
};

class DamageWalk {
 public:
  enum class Ending { kStopped, kKilled };

  explicit DamageWalk(std::string work_folder, uint64_t seed);

  // Makes a data folder with some history, ended in either way, from which all cases start.
  absl::Status Prepare(Ending ending, size_t commands);
  // All files of it, relative to it.
  const std::vector<std::string>& files() const { return files_; }
  uint64_t SizeOf(const std::string& file) const;
  Damage DrawFlip(const std::string& file);

  DamageResult Try(const Damage& damage);

 private:
  struct Shown {
    std::vector<std::string> answers;  // of queries
    std::vector<absl::Status> errors;  // of queries, where there was no answer
  };
  void Restore();
  absl::Status Do(const Damage& damage);
  Shown Ask();
  Shown AskWhenSettled();
  // Empty when what it holds is a prefix of what it held that misses nothing from before the head
  // file; else a sentence.
  std::string WhatIsMissing(bool& missing);
  DamageResult LookAtRunning(bool verified);
  std::string DataPath(const std::string& file) const;

  const std::string work_folder_;
  SeededRandom random_;
  SystemProcesses system_;
  CareLoad load_;
  bool begun_ = false;
  std::string pristine_;
  std::vector<std::string> files_;
  std::vector<Done> done_;
  std::map<std::string, std::vector<uint64_t>> known_;  // sequences of the head files
  std::unique_ptr<LogAudit> whole_;
  Shown shown_;
};

}  // namespace buurtlog::faults
