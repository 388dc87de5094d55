#include "engine/kernels/topology.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <new>
#include <set>
#include <string>
#include <system_error>
#include <thread>

#include "engine/error.h"
#include "engine/kernels/thread_pool.h"

namespace bitnet {
namespace topology {
namespace {

std::string first_line(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

/// ceil(quota / period), 0 when either is no positive number (version 1 writes -1 for "no limit").
int cpus_of(long long quota, long long period) {
  if (quota <= 0 || period <= 0) return 0;
  return static_cast<int>(std::min<long long>((quota + period - 1) / period, 1 << 20));
}

long long number_or_zero(const std::string& text) {
  try {
    return std::stoll(text);
  } catch (const std::exception&) {
    return 0;  // "max", or no such file
  }
}

/// The tightest quota of `group` and the groups that hold it.
template <class QuotaOf>
int tightest(const std::filesystem::path& root, std::filesystem::path group, QuotaOf quota_of) {
  int best = 0;
  for (group = group.relative_path();; group = group.parent_path()) {
    const int cpus = quota_of(root / group);
    if (cpus > 0 && (best == 0 || cpus < best)) best = cpus;
    if (group.empty()) return best;
  }
}

int quota_v2(const std::filesystem::path& directory) {
  const std::string line = first_line(directory / "cpu.max");  // "max 100000" or "150000 100000"
  const std::size_t space = line.find(' ');
  if (space == std::string::npos) return 0;
  return cpus_of(number_or_zero(line.substr(0, space)), number_or_zero(line.substr(space + 1)));
}

int quota_v1(const std::filesystem::path& directory) {
  return cpus_of(number_or_zero(first_line(directory / "cpu.cfs_quota_us")),
                 number_or_zero(first_line(directory / "cpu.cfs_period_us")));
}

/// What the logical CPUs of one core have in common and those of different cores have not.
std::string core_of(const std::filesystem::path& sys, int cpu) {
  std::string name = "cpu" + std::to_string(cpu);
  std::string siblings = first_line(sys / "devices/system/cpu" / name / "topology/thread_siblings_list");
  return siblings.empty() ? name : siblings;
}

bool lists_cpu_controller(const std::string& controllers) {
  return ("," + controllers + ",").find(",cpu,") != std::string::npos;
}

}  // namespace

int distinct_cores(const std::filesystem::path& sys, const std::vector<int>& cpus) {
  std::set<std::string> cores;
  for (const int cpu : cpus) cores.insert(core_of(sys, cpu));
  return static_cast<int>(cores.size());
}

std::vector<int> spread_over_cores(const std::filesystem::path& sys, const std::vector<int>& cpus) {
  std::map<std::string, std::size_t> seen;          // of each core, so far
  std::map<std::size_t, std::vector<int>> by_turn;  // first of their cores, second of their cores, ...
  for (const int cpu : cpus) by_turn[seen[core_of(sys, cpu)]++].push_back(cpu);
  std::vector<int> order;
  for (const auto& [turn, list] : by_turn) order.insert(order.end(), list.begin(), list.end());
  return order;
}

int quota_cpus(const std::filesystem::path& proc_cgroup, const std::filesystem::path& cgroup_root) {
  // Lines read "ID:CONTROLLERS:GROUP"; version 2's has no controllers.
  std::ifstream in(proc_cgroup);
  int best = 0;
  for (std::string line; std::getline(in, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string group = line.substr(second + 1);
    int cpus = 0;
    if (controllers.empty()) {
      cpus = tightest(cgroup_root, group, quota_v2);
    } else if (lists_cpu_controller(controllers)) {
      cpus = tightest(cgroup_root / "cpu", group, quota_v1);
    }
    if (cpus > 0 && (best == 0 || cpus < best)) best = cpus;
  }
  return best;
}

std::vector<int> allowed_cpus() {
  std::vector<int> cpus;
  for (int capacity = 1024; capacity <= (1 << 20); capacity *= 2) {
    cpu_set_t* const set = CPU_ALLOC(static_cast<std::size_t>(capacity));
    if (set == nullptr) break;
    const std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(capacity));
    // Fails while the set is smaller than the kernel's.
    const bool filled = sched_getaffinity(0, bytes, set) == 0;
    if (filled) {
      for (int cpu = 0; cpu < capacity; ++cpu) {
        if (CPU_ISSET_S(static_cast<std::size_t>(cpu), bytes, set)) cpus.push_back(cpu);
      }
    }
    CPU_FREE(set);
    if (filled) break;
  }
  return cpus;
}

void bind(pthread_t thread, std::span<const int> cpus) {
  if (cpus.empty()) return;
  const int count = std::ranges::max(cpus) + 1;
  cpu_set_t* const set = CPU_ALLOC(static_cast<std::size_t>(count));
  if (set == nullptr) throw std::bad_alloc();
  const std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(count));
  CPU_ZERO_S(bytes, set);
  for (const int cpu : cpus) CPU_SET_S(static_cast<std::size_t>(cpu), bytes, set);
  const int error = pthread_setaffinity_np(thread, bytes, set);
  CPU_FREE(set);
  if (error != 0)
    throw SystemError("a thread cannot be pinned to CPU " + std::to_string(cpus.front()) + ": " +
                      std::generic_category().message(error));
}

}  // namespace topology

int physical_cores() {
  const std::vector<int> cpus = topology::allowed_cpus();
  int cores = cpus.empty() ? static_cast<int>(std::thread::hardware_concurrency())
                           : topology::distinct_cores("/sys", cpus);
  if (const int quota = topology::quota_cpus("/proc/self/cgroup", "/sys/fs/cgroup"); quota > 0) {
    cores = std::min(cores, quota);
  }
  return std::max(cores, 1);
}

std::vector<int> pinning_order() {
  return topology::spread_over_cores("/sys", topology::allowed_cpus());
}

}  // namespace bitnet
