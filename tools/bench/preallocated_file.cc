#include "tools/bench/preallocated_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace buurtlog::bench {
namespace {

constexpr size_t kFillBytes = 1 << 20;

absl::Status WriteAll(int descriptor, std::string_view bytes, size_t at) {
  while (!bytes.empty()) {
    const ssize_t written = pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (written < 0) {
      if (errno == EINTR) continue;
      return absl::ErrnoToStatus(errno, "cannot write the preallocated file");
    }
    bytes.remove_prefix(static_cast<size_t>(written));
    at += static_cast<size_t>(written);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<PreallocatedFile>> PreallocatedFile::Create(const std::string& path,
                                                                           size_t size) {
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (descriptor < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot make ", path));
  auto file = std::unique_ptr<PreallocatedFile>(new PreallocatedFile(descriptor, size));
  const std::string zeros(kFillBytes, '\0');
  for (size_t at = 0; at < size; at += kFillBytes) {
    ABSL_RETURN_IF_ERROR(WriteAll(
        descriptor, std::string_view(zeros).substr(0, std::min(kFillBytes, size - at)), at));
  }
  if (fsync(descriptor) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot sync ", path));
  return file;
}

PreallocatedFile::~PreallocatedFile() { close(descriptor_); }

absl::Status PreallocatedFile::Append(std::string_view bytes) {
  if (bytes.size() > size_ - at_) at_ = 0;
  ABSL_RETURN_IF_ERROR(WriteAll(descriptor_, bytes.substr(0, size_), at_));
  at_ += bytes.size();
  return absl::OkStatus();
}

absl::Status PreallocatedFile::Sync() {
  if (fdatasync(descriptor_) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, "cannot sync the preallocated file");
}

}  // namespace buurtlog::bench
