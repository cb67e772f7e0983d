// Structured logs: one JSON object a line on stderr (spdlog), with ids only.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

namespace buurtlog::rpc {

using LogFields = std::vector<std::pair<std::string_view, std::string>>;

void InitLogging(std::string_view service, bool verbose);
// {"ts": ..., "level": "info", "service": ..., "event": ..., fields...}
void LogInfo(std::string_view event, const LogFields& fields = {});
void LogWarning(std::string_view event, const LogFields& fields = {});
void LogError(std::string_view event, const LogFields& fields = {});

}  // namespace buurtlog::rpc
