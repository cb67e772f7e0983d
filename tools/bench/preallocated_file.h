// A file whose blocks are all there and written, so that making appended bytes durable costs one
// sync of data and no change of the file system's books: as cheap as durable gets.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace buurtlog::bench {

// Not thread-safe.
class PreallocatedFile {
 public:
  // Makes `path` anew with `size` bytes of zeros, synced.
  static absl::StatusOr<std::unique_ptr<PreallocatedFile>> Create(const std::string& path,
                                                                  size_t size);
  ~PreallocatedFile();
  PreallocatedFile(const PreallocatedFile&) = delete;
  PreallocatedFile& operator=(const PreallocatedFile&) = delete;

  // Writes `bytes` behind what was written before, from the start again when the end is reached.
  absl::Status Append(std::string_view bytes);
  // Makes it durable.
  absl::Status Sync();

 private:
  PreallocatedFile(int descriptor, size_t size) : descriptor_(descriptor), size_(size) {}

  const int descriptor_;
  const size_t size_;
  size_t at_ = 0;
};

}  // namespace buurtlog::bench
