// A library to be loaded before all others (LD_PRELOAD) into a program under test: the disk is full
// for some of its files, or the program is killed in the middle of one of its writes, as `kill -9`
// would at that moment. Which, stands in the text file that BUURTLOG_DISK_FAULTS names; it is read
// again whenever it has changed. One rule a line:
//
//   full ROOM PART    files whose path holds PART may grow by ROOM bytes together, and no more
//   kill N PART       the process is killed at its Nth write, sync, rename or truncation of such
//                     files: before it, halfway through it or behind it, as its process id says
//
// A PART that ends with `$` is the end of the path.
//
// The wall clock is ahead by the nanoseconds, a 64-bit number, in the file that
// BUURTLOG_CLOCK_FAULTS names.
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

namespace {

constexpr int kRulesMax = 8;
constexpr size_t kPartBytesMax = 256;

struct Rule {
  bool kills = false;
  std::atomic<long> left = 0;  // bytes of room, or calls until the kill
  char part[kPartBytesMax] = "";
};

Rule rules[kRulesMax];
std::atomic<int> rules_known = 0;
std::atomic<long> read_at = 0;  // when the file that was read had changed, in nanoseconds
std::atomic_flag reading = ATOMIC_FLAG_INIT;

template <typename Function>
Function Real(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

bool ReadRules(const char* path) {
  FILE* const file = fopen(path, "re");
  if (file == nullptr) return false;
  int count = 0;
  char word[8];
  long left = 0;
  rules_known = 0;
  while (count < kRulesMax) {
    Rule& rule = rules[count];
    if (fscanf(file, "%7s %ld %255s", word, &left, rule.part) != 3) break;
    rule.kills = strcmp(word, "kill") == 0;
    rule.left = left;
    ++count;
  }
  fclose(file);
  rules_known = count;
  return true;
}

// Only one thread reads; the others go by what is known.
void Refresh() {
  // Asked each time, as a sanitizer calls us before the program has an environment.
  const char* const path = getenv("BUURTLOG_DISK_FAULTS");
  struct stat found {};
  if (path == nullptr || stat(path, &found) != 0) return;
  const long changed = found.st_mtim.tv_sec * 1'000'000'000L + found.st_mtim.tv_nsec;
  if (changed == read_at || reading.test_and_set()) return;
  if (changed != read_at && ReadRules(path)) read_at = changed;
  reading.clear();
}

bool Holds(const char* path, const char* part) {
  const size_t size = strlen(part);
  if (size == 0 || part[size - 1] != '$') return strstr(path, part) != nullptr;
  const size_t path_size = strlen(path);
  return path_size + 1 >= size && strncmp(path + path_size + 1 - size, part, size - 1) == 0;
}

enum class Moment { kNone, kBefore, kHalfway, kBehind };

[[noreturn]] void Die() {
  kill(getpid(), SIGKILL);
  while (true) pause();
}

Moment KillMoment(const char* path) {
  Refresh();
  for (int i = 0; i < rules_known; ++i) {
    Rule& rule = rules[i];
    if (!rule.kills || !Holds(path, rule.part)) continue;
    const long left = rule.left.fetch_sub(1);
    if (left != 1) continue;
    static const long turn = static_cast<long>(getpid()) % 3;
    return turn == 0 ? Moment::kBefore : turn == 1 ? Moment::kHalfway : Moment::kBehind;
  }
  return Moment::kNone;
}

// How much of `bytes` there is room for.
size_t TakeRoom(const char* path, size_t bytes) {
  Refresh();
  for (int i = 0; i < rules_known; ++i) {
    Rule& rule = rules[i];
    if (rule.kills || !Holds(path, rule.part)) continue;
    long room = rule.left;
    size_t taken = 0;
    do {
      taken = std::min(bytes, static_cast<size_t>(std::max(room, 0L)));
    } while (!rule.left.compare_exchange_weak(room, room - static_cast<long>(taken)));
    return taken;
  }
  return bytes;
}

// The path behind a descriptor; empty for what is no file.
void PathOf(int fd, char (&path)[PATH_MAX]) {
  char link[64];
  snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  const ssize_t size = readlink(link, path, sizeof(path) - 1);
  path[std::max<ssize_t>(size, 0)] = '\0';
}

// Writes through `write_some(size)`, which writes the first `size` bytes.
template <typename WriteSome>
ssize_t Write(int fd, size_t size, off_t offset, WriteSome write_some) {
  char path[PATH_MAX];
  PathOf(fd, path);
  if (path[0] != '/') return write_some(size);
  const Moment moment = KillMoment(path);
  if (moment == Moment::kBefore) Die();
  if (moment == Moment::kHalfway) {
    write_some(size / 2);
    Die();
  }
  struct stat found {};
  size_t allowed = size;
  if (fstat(fd, &found) == 0 && S_ISREG(found.st_mode)) {
    // Only what makes the file longer takes room.
    const off_t end = offset + static_cast<off_t>(size);
    const auto inside = static_cast<size_t>(std::clamp<off_t>(found.st_size - offset, 0, end));
    if (end > found.st_size) allowed = inside + TakeRoom(path, size - std::min(inside, size));
  }
  if (size > 0 && allowed == 0) {
    errno = ENOSPC;
    return -1;
  }
  const ssize_t written = write_some(allowed);
  if (moment == Moment::kBehind) Die();
  return written;
}

// Calls that change a file without adding bytes.
template <typename Call>
int Change(const char* path, Call call) {
  const Moment moment = KillMoment(path);
  if (moment == Moment::kBefore) Die();
  const int result = call();
  if (moment != Moment::kNone) Die();
  return result;
}

template <typename Call>
int Change(int fd, Call call) {
  char path[PATH_MAX];
  PathOf(fd, path);
  return path[0] == '/' ? Change(path, call) : call();
}

}  // namespace

namespace {

constexpr long kNanosPerSecond = 1'000'000'000;

// By how much the wall clock is ahead.
long ClockAhead() {
  static std::atomic<const volatile long*> mapped = nullptr;
  static std::atomic<bool> looked = false;
  if (!looked) {
    const char* const path = getenv("BUURTLOG_CLOCK_FAULTS");
    const int file = path == nullptr ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
      void* const found = mmap(nullptr, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
      if (found != MAP_FAILED) mapped = static_cast<const volatile long*>(found);
      close(file);
    }
    looked = environ != nullptr;
  }
  const volatile long* const nanos = mapped;
  return nanos == nullptr ? 0 : *nanos;
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, struct timespec* time) {
  static const auto real = Real<int (*)(clockid_t, struct timespec*)>("clock_gettime");
  const int result = real(clock, time);
  if (result != 0 || clock != CLOCK_REALTIME) return result;
  const long ahead = ClockAhead();
  const long nanos = time->tv_nsec + ahead % kNanosPerSecond;
  time->tv_sec +=
      ClockAhead() / kNanosPerSecond + (nanos >= kNanosPerSecond ? 1 : 0) - (nanos < 0 ? 1 : 0);
  time->tv_nsec = (nanos + kNanosPerSecond) % kNanosPerSecond;
  return result;
}

int gettimeofday(struct timeval* __restrict time, void* __restrict) {
  struct timespec now {};
  const int result = clock_gettime(CLOCK_REALTIME, &now);
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1'000;
  return result;
}

ssize_t write(int fd, const void* bytes, size_t size) {
  static const auto real = Real<ssize_t (*)(int, const void*, size_t)>("write");
  const off_t offset = std::max<off_t>(lseek(fd, 0, SEEK_CUR), 0);
  return Write(fd, size, offset, [&](size_t some) { return real(fd, bytes, some); });
}

ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t offset) {
  static const auto real = Real<ssize_t (*)(int, const void*, size_t, off64_t)>("pwrite64");
  return Write(fd, size, offset, [&](size_t some) { return real(fd, bytes, some, offset); });
}

ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  return pwrite64(fd, bytes, size, offset);
}

int mkdir(const char* path, mode_t mode) {
  static const auto real = Real<int (*)(const char*, mode_t)>("mkdir");
  if (TakeRoom(path, 1) == 0) {
    errno = ENOSPC;
    return -1;
  }
  return real(path, mode);
}

int rename(const char* from, const char* to) {
  static const auto real = Real<int (*)(const char*, const char*)>("rename");
  return Change(strstr(from, ".rebuild") == nullptr ? to : from, [&] { return real(from, to); });
}

int ftruncate64(int fd, off64_t size) {
  static const auto real = Real<int (*)(int, off64_t)>("ftruncate64");
  return Change(fd, [&] { return real(fd, size); });
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int fsync(int fd) {
  static const auto real = Real<int (*)(int)>("fsync");
  return Change(fd, [&] { return real(fd); });
}

int fdatasync(int fd) {
  static const auto real = Real<int (*)(int)>("fdatasync");
  return Change(fd, [&] { return real(fd); });
}

}  // extern "C"
