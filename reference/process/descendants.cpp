#include "reference/process/descendants.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>

namespace crossval {
namespace {

bool is_number(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// Whether one of the strings, each with a zero byte at its end, is this one.
bool holds(const std::string& strings, const std::string& one) {
  const std::string bounded = '\0' + one + '\0';
  return ('\0' + strings + '\0').find(bounded) != std::string::npos;
}

}  // namespace

std::string new_mark() {
  return std::to_string(::getpid()) + "." +
         std::to_string(std::chrono::steady_clock::now().time_since_epoch().count());
}

std::vector<pid_t> processes_with(const std::string& mark) {
  std::vector<pid_t> found;
  std::error_code gone;
  for (std::filesystem::directory_iterator entry("/proc", gone), end; !gone && entry != end;
       entry.increment(gone)) {
    const std::string name = entry->path().filename().string();
    if (!is_number(name)) continue;
    const auto pid = static_cast<pid_t>(std::stol(name));
    if (pid == ::getpid()) continue;
    std::ifstream file(entry->path() / "environ", std::ios::binary);  // empty for a zombie
    const std::string environment{std::istreambuf_iterator<char>(file), {}};
    if (holds(environment, std::string(kMark) + "=" + mark)) found.push_back(pid);
  }
  return found;
}

}  // namespace crossval
