// Every kernel of kernels.inc gives the scalar kernel's bits, whatever the shape, the values and the place in
// memory; and what it gives for one row depends on nothing but that row.

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "engine/kernels/kernel_checks.h"
#include "engine/kernels/kernels.h"
#include "property_tests/kernel_cases.h"
#include "property_tests/property.h"

namespace bitnet {
namespace {

using namespace testing_support;

const Kernels& table(std::string_view name) {
  for (const Kernels* kernels : compiled_kernels()) {
    if (kernels->name == name) return *kernels;
  }
  throw std::logic_error("kernels.inc lists an instruction set that is not compiled");
}

/// Checks a property of an instruction set's kernels, if this machine runs them.
template <class Property>
void check_of(const Kernels& kernels, Property property) {
  if (!supported(kernels)) GTEST_SKIP() << "this machine cannot run " << kernels.name;
  crossval::check_property(rc::detail::toProperty([&kernels, property] { property(kernels); }));
}

#define CROSSVAL_KERNEL(isa, operation, function)                                                    \
  TEST(KernelProperties, isa##_##operation##_is_scalar_bit_for_bit) {                                \
    check_of(table(#isa), [](const Kernels& kernels) {                                               \
      expect_same_bits(#operation, check_##operation, kernels.operation, table("scalar").operation); \
    });                                                                                              \
  }
#include "engine/kernels/kernels.inc"

/// Rows of activations taken together, and weight rows split anywhere, give what each gives alone.
void expect_independent_rows(const Kernels& kernels) {
  const auto cols = 128 * *rc::gen::inRange<std::int64_t>(1, 8);
  const auto rows = *rc::gen::inRange<std::int64_t>(1, 20);
  const auto tokens = *rc::gen::inRange<std::int64_t>(1, 9);
  const auto split = *rc::gen::inRange<std::int64_t>(0, rows + 1);
  Random random(*seeds());
  const auto size = [](std::int64_t n) { return static_cast<std::size_t>(n); };

  std::vector<float> x(size(tokens * cols));
  fill(x.data(), x.data() + x.size(), Values::ordinary, random);
  std::vector<std::int8_t> codes(x.size());
  std::vector<float> scales(size(tokens));
  std::vector<std::int32_t> sums(size(tokens));
  std::vector<f16> halves(x.size());
  for (std::int64_t t = 0; t < tokens; ++t) {
    kernels.quantize_row(&x[size(t * cols)], cols, &codes[size(t * cols)], &scales[size(t)], &sums[size(t)]);
  }
  kernels.to_f16(x.data(), tokens * cols, halves.data());
  std::vector<std::uint8_t> ternary(size(rows * cols / 4));
  for (std::uint8_t& byte : ternary) byte = static_cast<std::uint8_t>(random.bits());
  std::vector<f16> dense(size(rows * cols));
  fill(dense.data(), dense.data() + dense.size(), Values::ordinary, random);
  const TernaryMatrix w = {ternary.data(), rows, cols, 0.75f};

  std::vector<float> together(size(2 * tokens * rows));
  kernels.ternary_matmul(w, 0, rows, {codes.data(), scales.data(), sums.data(), tokens, cols},
                         together.data(), rows);
  float* const dense_together = &together[size(tokens * rows)];
  kernels.matmul_f16(dense.data(), cols, 0, rows, halves.data(), tokens, cols, dense_together, rows);

  std::vector<float> apart(together.size());
  for (std::int64_t t = 0; t < tokens; ++t) {
    const QuantizedRows one = {&codes[size(t * cols)], &scales[size(t)], &sums[size(t)], 1, cols};
    float* const dense_apart = &apart[size((tokens + t) * rows)];
    for (const auto& [begin, end] : {std::pair<std::int64_t, std::int64_t>{0, split}, {split, rows}}) {
      kernels.ternary_matmul(w, begin, end, one, &apart[size(t * rows)], rows);
      kernels.matmul_f16(dense.data(), cols, begin, end, &halves[size(t * cols)], 1, cols, dense_apart, rows);
    }
  }
  const std::string text =
      difference("rows", together.data(), apart.data(), static_cast<std::int64_t>(apart.size()));
  if (!text.empty()) RC_FAIL(text);
}

/// The same for the types that a head may have besides.
void expect_independent_head_rows(const Kernels& kernels) {
  const auto cols = 256 * *rc::gen::inRange<std::int64_t>(1, 5);
  const auto rows = *rc::gen::inRange<std::int64_t>(1, 12);
  const auto tokens = *rc::gen::inRange<std::int64_t>(1, 9);
  const auto split = *rc::gen::inRange<std::int64_t>(0, rows + 1);
  Random random(*seeds());
  const auto size = [](std::int64_t n) { return static_cast<std::size_t>(n); };
  const auto drawn = [&]<class T>(std::int64_t n, std::vector<T> values) {
    values.resize(size(n / elements_in<T>));
    fill(values.data(), values.data() + values.size(), Values::ordinary, random);
    return values;
  };
  const auto x = drawn(tokens * cols, std::vector<float>());
  const auto f32 = drawn(rows * cols, std::vector<float>());
  const auto bf = drawn(rows * cols, std::vector<bf16>());
  const auto q8 = drawn(rows * cols, std::vector<q8_0::Block>());
  const auto q6 = drawn(rows * cols, std::vector<q6_k::Block>());
  std::vector<ActivationBlock> blocks(x.size() / 256);
  kernels.quantize_blocks(x.data(), tokens * cols, blocks.data());

  // Logits of `n` activations from row t on for some rows of the four heads.
  const auto multiply = [&](std::int64_t t, std::int64_t n, std::int64_t begin, std::int64_t end,
                            std::vector<float>& y) {
    const float* in = &x[size(t * cols)];
    float* const out = &y[size(t * rows)];
    kernels.matmul_bf16(bf.data(), cols, begin, end, in, n, cols, out, rows);
    kernels.matmul_q8_0(q8.data(), cols, begin, end, in, n, cols, out + tokens * rows, rows);
    kernels.matmul_q6_k(q6.data(), cols, begin, end, &blocks[size(t * cols / 256)], n,
                        out + 2 * tokens * rows, rows);
    kernels.matmul_f32(f32.data(), cols, begin, end, in, n, cols, out + 3 * tokens * rows, rows);
  };
  std::vector<float> together(size(4 * tokens * rows));
  multiply(0, tokens, 0, rows, together);
  std::vector<float> apart(together.size());
  for (std::int64_t t = 0; t < tokens; ++t) {
    multiply(t, 1, 0, split, apart);
    multiply(t, 1, split, rows, apart);
  }
  const std::string text =
      difference("rows", together.data(), apart.data(), static_cast<std::int64_t>(apart.size()));
  if (!text.empty()) RC_FAIL(text);
}

#define CROSSVAL_ISA(isa, base, runs, description)          \
  TEST(KernelProperties, isa##_rows_are_independent) {      \
    check_of(table(#isa), expect_independent_rows);         \
  }                                                         \
  TEST(KernelProperties, isa##_head_rows_are_independent) { \
    check_of(table(#isa), expect_independent_head_rows);    \
  }
#include "engine/kernels/kernels.inc"

/// Codes times what one code is worth lie within half a step of the activations; their sum is the sum.
CROSSVAL_PROPERTY(KernelProperties, quantized_rows_are_near_what_they_stand_for, ()) {
  Random random(*seeds());
  std::vector<float> x(static_cast<std::size_t>(*rc::gen::inRange(1, 300)));
  fill(x.data(), x.data() + x.size(), *rc::gen::element(Values::ordinary, Values::outlier, Values::ties),
       random);
  std::vector<std::int8_t> codes(x.size());
  float scale = 0;
  std::int32_t sum = 0;
  select_kernels().quantize_row(x.data(), static_cast<std::int64_t>(x.size()), codes.data(), &scale, &sum);
  std::int32_t total = 0;
  for (std::size_t k = 0; k < x.size(); ++k) {
    // Half a code, and the rounding of the scale and of the product: 127 * 2 * 2^-24.
    const double distance = static_cast<double>(x[k]) * static_cast<double>(scale) - codes[k];
    RC_ASSERT(distance <= 0.5 + 127 * 0x1p-23);
    RC_ASSERT(distance >= -0.5 - 127 * 0x1p-23);
    total += codes[k];
  }
  RC_ASSERT(total == sum);
}

/// Quantized weights lie within half a step of what they were.
CROSSVAL_PROPERTY(FormatProperties, q8_0_blocks_are_near_what_they_stand_for, ()) {
  Random random(*seeds());
  std::vector<float> w(32 * static_cast<std::size_t>(*rc::gen::inRange(1, 9)));
  fill(w.data(), w.data() + w.size(), *rc::gen::element(Values::ordinary, Values::outlier, Values::ties),
       random);
  std::vector<q8_0::Block> blocks(w.size() / 32);
  q8_0::quantize(w, blocks);
  std::vector<float> back(w.size());
  select_kernels().decode_q8_0(blocks.data(), static_cast<std::int64_t>(w.size()), back.data());
  for (std::size_t k = 0; k < w.size(); ++k) {
    // d is rounded to 11 bits, so 127 steps may end short of the greatest weight by 127 * 2^-11 of one.
    const double step = static_cast<double>(f16_to_f32(blocks[k / 32].d));
    RC_ASSERT(std::abs(static_cast<double>(back[k]) - static_cast<double>(w[k])) <= 0.5001 * step);
  }
}

CROSSVAL_PROPERTY(FormatProperties, q6_k_blocks_are_near_what_they_stand_for, ()) {
  Random random(*seeds());
  std::vector<float> w(256 * static_cast<std::size_t>(*rc::gen::inRange(1, 4)));
  fill(w.data(), w.data() + w.size(), *rc::gen::element(Values::ordinary, Values::outlier, Values::ties),
       random);
  std::vector<q6_k::Block> blocks(w.size() / 256);
  q6_k::quantize(w, blocks);
  std::vector<float> back(w.size());
  select_kernels().decode_q6_k(blocks.data(), static_cast<std::int64_t>(w.size()), back.data());
  for (std::size_t k = 0; k < w.size(); ++k) {
    // Half a step; at the ends of the values a step more, and what the scale's rounding to a multiple of d,
    // half of one, cuts off 32 times.
    const q6_k::Block& block = blocks[k / 256];
    const double d = static_cast<double>(f16_to_f32(block.d));
    const double step = std::abs(d * block.scales[k % 256 / 16]);
    const bool inside = std::abs(q6_k::value_at(block, static_cast<int>(k % 256))) < 31;
    const double allowed = inside && step > 0 ? 0.5001 * step : 1.0001 * step + 16.01 * d;
    RC_ASSERT(std::abs(static_cast<double>(back[k]) - static_cast<double>(w[k])) <= allowed);
  }
}

}  // namespace
}  // namespace bitnet
