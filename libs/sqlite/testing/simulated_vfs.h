// The SQLite VFS over simulated disks. Private to simulated_disk.
#pragma once

#include <cstdint>

namespace buurtlog::sqlite::testing {

class SimulatedDisk;

// Registers the VFS as SQLite's default with the first disk, and takes it back with the last.
// SQLite draws its random numbers anew, from `seed`.
void AddToVfs(SimulatedDisk& disk, uint64_t seed);
void RemoveFromVfs(SimulatedDisk& disk);

}  // namespace buurtlog::sqlite::testing
