// Structured logs: one JSON object a line on stderr (spdlog), with ids only.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace buurtlog::rpc {

using LogFields = std::vector<std::pair<std::string_view, std::string>>;

// Before InitLogging, lines say service "buurtlog". `verbose` shows what LogVerbose says.
void InitLogging(std::string_view service, bool verbose);
// {"ts": ..., "level": "info", "service": ..., "event": ..., fields...}
void LogInfo(std::string_view event, const LogFields& fields = {});
void LogWarning(std::string_view event, const LogFields& fields = {});
void LogError(std::string_view event, const LogFields& fields = {});
// Ask IsVerbose first where making the fields costs something.
void LogVerbose(std::string_view event, const LogFields& fields = {});
bool IsVerbose();

// The line, without its end, as the functions above write it; `level` and `ts` are given. For
// tests.
std::string LogLine(std::string_view timestamp, std::string_view level, std::string_view service,
                    std::string_view event, const LogFields& fields);

}  // namespace buurtlog::rpc
