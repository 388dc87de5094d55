#pragma once
// Which physical cores this process may use. Behind physical_cores() and pinning_order(); apart for their
// tests.

#include <pthread.h>

#include <filesystem>
#include <span>
#include <vector>

namespace bitnet::topology {

/// Distinct cores among the logical `cpus`, by <sys>/devices/system/cpu/cpuN/topology/thread_siblings_list; a
/// CPU without that file counts as a core of its own.
int distinct_cores(const std::filesystem::path& sys, const std::vector<int>& cpus);

/// The same CPUs, one of each core first, in the order given; then a second of each core, and so on.
std::vector<int> spread_over_cores(const std::filesystem::path& sys, const std::vector<int>& cpus);

/// The CPU quota of this process's control group and those above it, in CPUs rounded up; 0 when there is
/// none. `proc_cgroup` is /proc/self/cgroup, `cgroup_root` where control groups are mounted. Versions 1
/// and 2.
int quota_cpus(const std::filesystem::path& proc_cgroup, const std::filesystem::path& cgroup_root);

/// The logical CPUs that this thread may run on.
std::vector<int> allowed_cpus();

/// Lets a thread run on these CPUs only. Throws SystemError.
void bind(pthread_t thread, std::span<const int> cpus);

}  // namespace bitnet::topology
