#pragma once
// Processes that a child of ours started, wherever they went: a process group is left by setsid, a parent by
// a second fork, but the environment that a program was given stays readable in /proc.

#include <sys/types.h>

#include <string>
#include <vector>

namespace crossval {

/// The environment variable by which the processes of one child are told from all others; they inherit it.
inline constexpr const char* kMark = "CROSSVAL_CHILD";

/// A value that no other child has.
std::string new_mark();

/// The living processes, this one aside, that have `mark` in their environment. Those that may not be looked
/// at, and those started with another environment, are not found; nothing is found where there is no /proc.
std::vector<pid_t> processes_with(const std::string& mark);

}  // namespace crossval
