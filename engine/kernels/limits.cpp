#include "engine/kernels/limits.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <stdexcept>

#include "engine/kernels/huge_pages.h"

namespace bitnet {
namespace {

enum class Isa {
#define CROSSVAL_ISA(isa, base, runs, description) isa,
#include "engine/kernels/kernels.inc"
};

/// As the tables of kernels are made (dispatch.cpp): the base's entries, overwritten by its own.
constexpr LimitKernels make_table(Isa which) {
  LimitKernels table = {};
#define CROSSVAL_ISA(isa, base, runs, description) \
  if (which == Isa::isa && Isa::base != Isa::isa) table = make_table(Isa::base);
#include "engine/kernels/kernels.inc"
#define CROSSVAL_LIMIT(isa, limit, function) \
  if (which == Isa::isa) table.limit = isa::function;
#include "engine/kernels/kernels.inc"
  return table;
}

/// Counted, as no pointer to a function is a constant to GCC's sanitizer of undefined behaviour.
constexpr std::size_t scalar_entries() {
  std::size_t entries = 0;
#define CROSSVAL_LIMIT(isa, limit, function) \
  if (Isa::isa == Isa::scalar) ++entries;
#include "engine/kernels/kernels.inc"
  return entries;
}
static_assert(scalar_entries() == sizeof(LimitKernels) / sizeof(void (*)()),
              "kernels.inc: scalar lacks a limit");

#define CROSSVAL_ISA(isa, base, runs, description) constexpr LimitKernels k_##isa = make_table(Isa::isa);
#include "engine/kernels/kernels.inc"

// Many times what a last-level cache holds.
constexpr std::int64_t kReadBytes = std::int64_t{1} << 28;
constexpr std::int64_t kReadGrain = std::int64_t{1} << 16;
// A turn of the loops is some 10 ns, so a chunk of work far longer than its hand-over.
constexpr std::int64_t kTurns = 10000;
constexpr std::int64_t kChunks = 64;
constexpr std::size_t kRounds = 7;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Operations per second of a loop of multiply-adds.
template <class T>
double rate(std::int64_t (*loop)(const T*, std::int64_t), ThreadPool& pool) {
  std::array<T, 64> ones;
  ones.fill(T{1});
  std::atomic<std::int64_t> done{0};
  const auto start = std::chrono::steady_clock::now();
  pool.parallel_for(kChunks * pool.threads(), 1, [&](std::int64_t begin, std::int64_t end, int) {
    done += loop(ones.data(), (end - begin) * kTurns);
  });
  return 2 * static_cast<double>(done) / seconds_since(start);
}

double read_rate(std::uint64_t (*read)(const std::byte*, std::int64_t), ThreadPool& pool,
                 const std::byte* data) {
  std::atomic<std::uint64_t> sum{0};
  const auto start = std::chrono::steady_clock::now();
  pool.parallel_for(kReadBytes, kReadGrain, [&](std::int64_t begin, std::int64_t end, int) {
    sum += read(data + begin, end - begin);
  });
  const double seconds = seconds_since(start);
  if (sum != 0) throw std::logic_error("the limits' own memory has changed");  // it holds zeros
  return static_cast<double>(kReadBytes) / seconds;
}

double median(std::array<double, kRounds> values) {
  std::nth_element(values.begin(), values.begin() + kRounds / 2, values.end());
  return values[kRounds / 2];
}

}  // namespace

const LimitKernels& limit_kernels(const Kernels& kernels) {
#define CROSSVAL_ISA(isa, base, runs, description) \
  if (kernels.name == #isa) return k_##isa;
#include "engine/kernels/kernels.inc"
  throw std::logic_error("kernels without limits");
}

Limits measure_limits(const Kernels& kernels, ThreadPool& pool) {
  const LimitKernels& loops = limit_kernels(kernels);
  const HugePages memory = allocate_huge_pages(kReadBytes);
  // Written, or all of it would be the one page of zeros that the system keeps for such cases.
  pool.parallel_for(kReadBytes, kReadGrain, [&](std::int64_t begin, std::int64_t end, int) {
    std::memset(memory.get() + begin, 0, static_cast<std::size_t>(end - begin));
  });
  std::array<double, kRounds> read, int8, f32;
  for (std::size_t i = 0; i < kRounds; ++i) {
    read[i] = read_rate(loops.read, pool, memory.get());
    int8[i] = rate(loops.int8_multiply_adds, pool);
    f32[i] = rate(loops.f32_multiply_adds, pool);
  }
  return {median(read), median(int8), median(f32)};
}

}  // namespace bitnet
