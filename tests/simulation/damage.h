// One flipped bit anywhere in the folder of a log: what the newest head file covers is found and
// named, what came later may look like a crash, and nothing wrong is ever read.
#pragma once

#include <cstdint>

#include "tests/simulation/report.h"

namespace buurtlog::simulation {

// Fills a log on the sqlite engine, ends it well or with a crash, and then flips bits in copies of
// what is on the disk, `flips` times one.
Report RunDamage(uint64_t seed, uint64_t flips);

}  // namespace buurtlog::simulation
