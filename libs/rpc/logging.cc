#include "libs/rpc/logging.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "libs/rpc/utf8.h"

namespace buurtlog::rpc {
namespace {

struct State {
  State() {
    // Our own lines are whole, so spdlog adds nothing but the line break.
    logger.set_pattern("%v");
    logger.set_level(spdlog::level::info);
    logger.flush_on(spdlog::level::trace);
  }
  spdlog::logger logger{"buurtlog", std::make_shared<spdlog::sinks::stderr_sink_mt>()};
  absl::Mutex mutex;
  std::string service ABSL_GUARDED_BY(mutex) = "buurtlog";
  std::atomic<bool> verbose = false;
};

// Never destroyed: threads that end late may still log.
State& Logging() {
  static State* const state = new State;
  return *state;
}

void AppendQuoted(std::string& line, std::string_view text) {
  line += '"';
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    if (length == 0) {
      line += "\\ufffd";
      text.remove_prefix(1);
      continue;
    }
    const char c = text[0];
    if (c == '"' || c == '\\') {
      line += '\\';
      line += c;
    } else if (length == 1 && (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)) {
      line += absl::StrFormat("\\u%04x", static_cast<unsigned char>(c));
    } else {
      line += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  line += '"';
}

void AppendField(std::string& line, std::string_view name, std::string_view value) {
  line += line.size() == 1 ? "" : ",";
  AppendQuoted(line, name);
  line += ':';
  AppendQuoted(line, value);
}

void Log(spdlog::level::level_enum level, std::string_view name, std::string_view event,
         const LogFields& fields) {
  State& state = Logging();
  std::string service;
  {
    absl::MutexLock lock(&state.mutex);
    service = state.service;
  }
  const std::string now =
      absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", absl::Now(), absl::UTCTimeZone());
  state.logger.log(level, spdlog::string_view_t(LogLine(now, name, service, event, fields)));
}

// gRPC and protobuf write lines of their own making otherwise.
void RouteLibraries() {
  gpr_set_log_function([](gpr_log_func_args* line) {
    LogWarning(
        "grpc",
        {{"file", line->file}, {"line", absl::StrCat(line->line)}, {"message", line->message}});
  });
  // Protobuf reports every request that is not UTF-8, and so would let a caller fill the log.
  google::protobuf::SetLogHandler(
      [](google::protobuf::LogLevel, const char*, int, const std::string& message) {
        LogVerbose("protobuf", {{"message", message}});
      });
}

}  // namespace

std::string LogLine(std::string_view timestamp, std::string_view level, std::string_view service,
                    std::string_view event, const LogFields& fields) {
  std::string line = "{";
  AppendField(line, "ts", timestamp);
  AppendField(line, "level", level);
  AppendField(line, "service", service);
  AppendField(line, "event", event);
  for (const auto& [name, value] : fields) AppendField(line, name, value);
  line += '}';
  return line;
}

void InitLogging(std::string_view service, bool verbose) {
  State& state = Logging();
  {
    absl::MutexLock lock(&state.mutex);
    state.service = std::string(service);
  }
  RouteLibraries();
  state.verbose = verbose;
  state.logger.set_level(verbose ? spdlog::level::debug : spdlog::level::info);
}

void LogInfo(std::string_view event, const LogFields& fields) {
  Log(spdlog::level::info, "info", event, fields);
}
void LogWarning(std::string_view event, const LogFields& fields) {
  Log(spdlog::level::warn, "warning", event, fields);
}
void LogError(std::string_view event, const LogFields& fields) {
  Log(spdlog::level::err, "error", event, fields);
}
void LogVerbose(std::string_view event, const LogFields& fields) {
  if (IsVerbose()) Log(spdlog::level::debug, "verbose", event, fields);
}
bool IsVerbose() { return Logging().verbose.load(std::memory_order_relaxed); }

}  // namespace buurtlog::rpc
