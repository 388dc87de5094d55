#include "reference/llama_adapter/chunks.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace crossval::llama_adapter {
namespace {

constexpr std::int64_t kKiB = 1024;

// "OMP_STACKSIZE=16M": a number in KiB unless it has one of the letters B, K, M, G.
std::int64_t omp_stack(std::int64_t otherwise) {
  const char* text = std::getenv("OMP_STACKSIZE");
  if (!text) return otherwise;
  char* end = nullptr;
  const long long number = std::strtoll(text, &end, 10);
  if (number <= 0) return otherwise;
  while (*end == ' ') ++end;
  switch (*end) {
    case 'b':
    case 'B':
      return number;
    case 'm':
    case 'M':
      return number * kKiB * kKiB;
    case 'g':
    case 'G':
      return number * kKiB * kKiB * kKiB;
    default:
      return number * kKiB;
  }
}

// The smaller of the main thread's stack and a worker's.
std::int64_t stack_bytes() {
  constexpr std::int64_t kUsual = 8 * kKiB * kKiB;
  // Threads of a process without a limit get 2 MiB.
  constexpr std::int64_t kUnlimitedWorker = 2 * kKiB * kKiB;
  rlimit limit{};
  if (getrlimit(RLIMIT_STACK, &limit) != 0) return kUsual;
  if (limit.rlim_cur == RLIM_INFINITY) return omp_stack(kUnlimitedWorker);
  const auto own = static_cast<std::int64_t>(limit.rlim_cur);
  return std::min(own, omp_stack(own));
}

}  // namespace

std::vector<std::int64_t> chunks(std::int64_t n, std::int64_t limit) {
  std::vector<std::int64_t> lengths;
  if (n <= 0) return lengths;
  const std::int64_t count = (n + limit - 1) / limit;
  for (std::int64_t i = 0; i < count; ++i) lengths.push_back(n / count + (i < n % count ? 1 : 0));
  return lengths;
}

std::int64_t chunk_limit(std::int64_t widest, int threads, std::int64_t most) {
  constexpr std::int64_t kFewest = 3;  // up to here the product takes tokens one by one
  if (widest <= 0) return std::max(most, kFewest);
  const std::int64_t rows_per_thread = (widest + threads - 1) / threads;
  const std::int64_t fit = stack_bytes() * 9 / 10 / (4 * rows_per_thread);
  return std::max(kFewest, std::min(most, fit));
}

}  // namespace crossval::llama_adapter
