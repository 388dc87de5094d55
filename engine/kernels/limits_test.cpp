// That the loops do the work they claim, for every instruction set in kernels.inc.

#include "engine/kernels/limits.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <numeric>
#include <vector>

namespace bitnet {
namespace {

template <class T>
std::array<T, 64> ones() {
  std::array<T, 64> values;
  values.fill(T{1});
  return values;
}

// Turns below, at and above what the narrow sums hold.
constexpr std::int64_t kTurns[] = {1, 2, 8191, 8192, 8193, 16385, 40000};

template <class T>
void counts_every_turn(std::int64_t (*loop)(const T*, std::int64_t), std::int64_t least) {
  const std::array<T, 64> in = ones<T>();
  const std::int64_t one = loop(in.data(), 1);
  EXPECT_GE(one, least);
  for (const std::int64_t turns : kTurns) EXPECT_EQ(loop(in.data(), turns), turns * one) << turns;
  EXPECT_EQ(loop(in.data(), 0), 0);
  // The products are computed, not assumed.
  std::array<T, 64> zeros = {};
  EXPECT_EQ(loop(zeros.data(), 100), 0);
}

TEST(Limits, LoopsCountTheirMultiplyAdds) {
  for (const Kernels* kernels : compiled_kernels()) {
    if (!supported(*kernels)) continue;
    SCOPED_TRACE(kernels->name);
    counts_every_turn(limit_kernels(*kernels).int8_multiply_adds, 64);
    counts_every_turn(limit_kernels(*kernels).f32_multiply_adds, 16);
  }
}

TEST(Limits, ReadsEveryWord) {
  std::vector<std::uint64_t> words(5 * 128 + 1);
  std::uint64_t value = 1;
  for (std::uint64_t& word : words) word = value = value * 0x9e3779b97f4a7c15u + 1;
  for (const Kernels* kernels : compiled_kernels()) {
    if (!supported(*kernels)) continue;
    for (const std::size_t count : {0, 128, 5 * 128}) {
      for (const std::size_t start : {0, 1}) {
        const auto* data = reinterpret_cast<const std::byte*>(words.data() + start);
        const auto first = words.begin() + static_cast<std::ptrdiff_t>(start);
        EXPECT_EQ(limit_kernels(*kernels).read(data, static_cast<std::int64_t>(8 * count)),
                  std::accumulate(first, first + static_cast<std::ptrdiff_t>(count), std::uint64_t{0}))
            << kernels->name << " " << count << " " << start;
      }
    }
  }
}

TEST(Limits, AnInstructionSetHasItsBasesLoopsWhereItLacksItsOwn) {
  const auto table = [](std::string_view name) -> const LimitKernels* {
    for (const Kernels* kernels : compiled_kernels())
      if (kernels->name == name) return &limit_kernels(*kernels);
    return nullptr;
  };
  ASSERT_NE(table("scalar"), nullptr);
#if defined(__x86_64__)
  EXPECT_EQ(table("avx_vnni")->read, table("avx2")->read);
  EXPECT_NE(table("avx_vnni")->int8_multiply_adds, table("avx2")->int8_multiply_adds);
  EXPECT_NE(table("avx2")->read, table("scalar")->read);
#elif defined(__aarch64__)
  EXPECT_EQ(table("neon_i8mm")->read, table("neon")->read);
  EXPECT_NE(table("neon_i8mm")->int8_multiply_adds, table("neon_dotprod")->int8_multiply_adds);
#endif
}

TEST(Limits, AreMeasured) {
  ThreadPool pool(2);
  const Limits limits = measure_limits(select_kernels(), pool);
  EXPECT_GT(limits.read, 0);
  EXPECT_GT(limits.int8, 0);
  EXPECT_GT(limits.f32, 0);
}

}  // namespace
}  // namespace bitnet
