#pragma once
// Where and when a run is made.

#include <string>

namespace crossval {

/// As /proc/cpuinfo names it, or "unknown".
std::string cpu_name();
/// "2026-01-31T12:00:00Z".
std::string now_utc();

}  // namespace crossval
