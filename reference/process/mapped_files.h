#pragma once
// The files whose machine code a process runs.

#include <sys/types.h>

#include <filesystem>
#include <vector>

namespace crossval {

/// Executable and shared libraries of a process as the system has mapped them, sorted; 0: this process. Empty
/// where the system does not tell (it is not Linux, or the process has ended).
std::vector<std::filesystem::path> mapped_files(pid_t process);

}  // namespace crossval
