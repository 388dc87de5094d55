// The screen of a head: every logit of the F16 product lies within its bounds, and the arg max that the
// screen leads to is the full head's, ties and NaN included.

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/kernels/kernels.h"
#include "engine/kernels/test_values.h"
#include "engine/model/screened_head.h"
#include "property_tests/property.h"

namespace bitnet {
namespace {

using namespace testing_support;

std::size_t size(std::int64_t n) {
  return static_cast<std::size_t>(n);
}

/// What is done to a few rows of a random head, or to the activations, to mislead a screen.
enum class Trick {
  none,
  neighbours,       // rows along x, a last bit apart
  copies,           // rows along x, equal
  weight_outliers,  // one huge weight in a row
  input_outliers,   // one huge activation
  rounding,         // rows whose codes lose as much as they can, along x
  cancellation,     // rows along x with every second sign turned: large terms, small sums
  zero_rows,        // and nothing else above zero
  weights_not_finite,
  inputs_not_finite,
  all_equal,
};

struct Head {
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t tokens;
  Trick trick;
  std::vector<f16> w;
  std::vector<f16> x;

  FloatMatrix matrix() const { return {w.data(), rows, cols}; }
};

f16 next_to(f16 value, Random& random) {
  const f16 other = static_cast<f16>(random.below(2) == 0 ? value + 1 : value - 1);
  return (other & 0x7c00u) == 0x7c00u ? value : other;
}

void play(Head& h, Random& random) {
  const auto row = [&](std::int64_t m) { return h.w.data() + m * h.cols; };
  const auto any_row = [&] { return random.below(h.rows); };
  const auto any_column = [&] { return random.below(h.cols); };
  const std::int64_t some = 1 + h.rows / 16;
  const float stretch = std::ldexp(1.0f, static_cast<int>(random.below(5)) - 1);
  const auto along = [&](std::int64_t m) {
    for (std::int64_t k = 0; k < h.cols; ++k)
      row(m)[k] = f32_to_f16(std::clamp(stretch * f16_to_f32(h.x[size(k)]), -65504.0f, 65504.0f));
  };
  switch (h.trick) {
    case Trick::none:
      break;
    case Trick::neighbours:
      for (std::int64_t i = 0; i < some; ++i) {
        const std::int64_t m = any_row();
        along(m);
        f16& weight = row(m)[any_column()];
        weight = next_to(weight, random);
      }
      break;
    case Trick::copies:
      for (std::int64_t i = 0; i < some; ++i) along(any_row());
      break;
    case Trick::weight_outliers:
      for (std::int64_t i = 0; i < some; ++i) row(any_row())[any_column()] = draw_f16(Values::huge, random);
      for (f16& weight : h.w) weight = (weight & 0x7c00u) == 0x7c00u ? f16{0x7bff} : weight;
      break;
    case Trick::input_outliers:
      h.x[size(any_column())] = random.below(2) == 0 ? 0x7bff : 0xfbff;
      break;
    case Trick::rounding:
      for (std::int64_t i = 0; i < some; ++i) {
        // Codes of the form j + 1/2, all lost to one side of x.
        const std::int64_t m = any_row();
        for (std::int64_t k = 0; k < h.cols; ++k) {
          const float code = static_cast<float>(2 * random.below(60)) + 0.5f;
          row(m)[k] = f32_to_f16(std::copysign(code / 127, f16_to_f32(h.x[size(k)])));
        }
        row(m)[any_column()] = 0x3c00;
      }
      break;
    case Trick::cancellation:
      for (std::int64_t i = 0; i < some; ++i) {
        const std::int64_t m = any_row();
        along(m);
        for (std::int64_t k = 0; k < h.cols; k += 2) row(m)[k] ^= 0x8000u;
      }
      break;
    case Trick::zero_rows:
      for (std::int64_t m = 0; m < h.rows; ++m) {
        along(m);
        for (std::int64_t k = 0; k < h.cols; ++k) row(m)[k] ^= 0x8000u;
      }
      for (std::int64_t i = 0; i < some; ++i) std::fill_n(row(any_row()), h.cols, f16{0});
      break;
    case Trick::weights_not_finite:
      for (std::int64_t i = 0; i < some; ++i) {
        const f16 special = static_cast<f16>(random.bits() | 0x7c00u);
        row(any_row())[any_column()] = random.below(2) == 0 ? static_cast<f16>(special & 0xfc00u) : special;
      }
      break;
    case Trick::inputs_not_finite:
      h.x[size(random.below(std::ssize(h.x)))] = static_cast<f16>(random.bits() | 0x7c00u);
      break;
    case Trick::all_equal:
      for (std::int64_t m = 1; m < h.rows; ++m) std::copy_n(row(0), h.cols, row(m));
      break;
  }
}

Head draw_head() {
  Head h;
  h.cols = *rc::gen::weightedOneOf<std::int64_t>({{6, rc::gen::inRange<std::int64_t>(1, 200)},
                                                  {2, rc::gen::inRange<std::int64_t>(200, 700)},
                                                  {1, rc::gen::element<std::int64_t>(64, 128, 2560)}});
  h.rows = *rc::gen::inRange<std::int64_t>(1, 260);
  h.tokens = *rc::gen::weightedElement<std::int64_t>({{4, 1}, {1, 2}, {1, 4}, {1, 5}, {2, 8}, {1, 33}});
  h.trick = static_cast<Trick>(*rc::gen::inRange(0, static_cast<int>(Trick::all_equal) + 1));
  const auto values = rc::gen::weightedElement<Values>({{4, Values::ordinary},
                                                        {2, Values::outlier},
                                                        {1, Values::tiny},
                                                        {1, Values::huge},
                                                        {1, Values::ties},
                                                        {1, Values::zero},
                                                        {1, Values::any_finite},
                                                        {1, Values::any}});
  const Values weights = *values;
  const Values inputs = *values;
  Random random(*rc::gen::noShrink(rc::gen::arbitrary<std::uint64_t>()));
  h.w.resize(size(h.rows * h.cols));
  h.x.resize(size(h.tokens * h.cols));
  fill(h.w.data(), h.w.data() + h.w.size(), weights, random);
  fill(h.x.data(), h.x.data() + h.x.size(), inputs, random);
  play(h, random);
  RC_LOG() << h.rows << " rows, " << h.cols << " columns, " << h.tokens << " tokens, trick "
           << static_cast<int>(h.trick) << ", weights " << name_of(weights) << ", inputs " << name_of(inputs);
  return h;
}

/// By the specification, [tokens][rows].
std::vector<float> logits_of(const Head& h) {
  std::vector<float> logits(size(h.tokens * h.rows));
  select_kernels("scalar").matmul_f16(h.w.data(), h.cols, 0, h.rows, h.x.data(), h.tokens, h.cols,
                                      logits.data(), h.rows);
  return logits;
}

bool finite(const std::vector<f16>& values) {
  return std::all_of(values.begin(), values.end(), [](f16 v) { return (v & 0x7c00u) != 0x7c00u; });
}

const Kernels& any_kernels() {
  std::vector<const Kernels*> tables;
  for (const Kernels* kernels : compiled_kernels())
    if (supported(*kernels)) tables.push_back(kernels);
  return **rc::gen::elementOf(tables);
}

CROSSVAL_PROPERTY(ScreenProperties, every_logit_lies_within_its_bounds, ()) {
  const Head h = draw_head();
  const auto codes = *rc::gen::element(ScreenedHead::Codes::wide, ScreenedHead::Codes::narrow);
  ThreadPool pool(1);
  ScreenedHead screen(h.matrix(), any_kernels(), pool);
  const std::vector<float> logits = logits_of(h);
  std::vector<float> lower(logits.size());
  std::vector<float> upper(logits.size());
  const bool bounded = screen.bounds(h.x.data(), h.tokens, codes, lower.data(), upper.data());
  RC_ASSERT(bounded == finite(h.x));
  if (!bounded) RC_SUCCEED("left to the full head");
  for (std::size_t i = 0; i < logits.size(); ++i) {
    RC_ASSERT(!std::isnan(lower[i]));
    RC_ASSERT(!std::isnan(upper[i]));
    if (std::isnan(logits[i])) {
      RC_ASSERT(std::isinf(upper[i]));
      continue;
    }
    RC_ASSERT(lower[i] <= logits[i]);
    RC_ASSERT(logits[i] <= upper[i]);
  }
}

/// Exact, in units of 2^-48, of which products of finite binary16 numbers and their rounded sums are
/// multiples.
__extension__ using Exact = __int128;

Exact exact_units(float value) {
  int exponent = 0;
  const float fraction = std::frexp(value, &exponent);
  const auto mantissa = static_cast<Exact>(std::ldexp(fraction, 24));
  const int shift = exponent - 24 + 48;
  if (shift >= 0) return mantissa * (Exact{1} << shift);
  RC_ASSERT(mantissa % (Exact{1} << -shift) == 0);
  return mantissa / (Exact{1} << -shift);
}

CROSSVAL_PROPERTY(ScreenProperties, the_rounding_of_the_product_is_bounded, ()) {
  const Head h = draw_head();
  RC_PRE(finite(h.x));
  const std::vector<float> logits = logits_of(h);
  double worst = 0;
  for (std::int64_t m = 0; m < h.rows; ++m) {
    const f16* w = h.w.data() + m * h.cols;
    if (!std::all_of(w, w + h.cols, [](f16 v) { return (v & 0x7c00u) != 0x7c00u; })) continue;
    Exact sum = 0;
    Exact magnitudes = 0;
    for (std::int64_t k = 0; k < h.cols; ++k) {
      const Exact product = exact_units(f16_to_f32(w[k]) * f16_to_f32(h.x[size(k)]));
      sum += product;
      magnitudes += product < 0 ? -product : product;
    }
    const Exact off = exact_units(logits[size(m)]) - sum;
    const auto distance = static_cast<double>(off < 0 ? -off : off);
    const double allowed = ScreenedHead::rounding(h.cols) * static_cast<double>(magnitudes);
    RC_ASSERT(distance <= allowed);
    if (allowed > 0) worst = std::max(worst, distance / allowed);
  }
  RC_CLASSIFY(worst > 0.1, "above a tenth of what is allowed");
}

CROSSVAL_PROPERTY(ScreenProperties, never_another_arg_max_than_the_full_head, ()) {
  const Head h = draw_head();
  static ThreadPool pools[2] = {ThreadPool(1), ThreadPool(2)};
  const Kernels& kernels = any_kernels();
  ThreadPool& pool = pools[*rc::gen::inRange(0, 2)];
  ScreenedHead screen(h.matrix(), kernels, pool);
  std::vector<Pick> picks(size(h.tokens), Pick{-1, 0});
  const bool decided = screen.pick(h.x.data(), picks);
  RC_CLASSIFY(decided, "decided by the screen");
  if (!decided) {
    // One of several threads may find too many before another finds the row that excludes them.
    RC_ASSERT(!finite(h.x) || pool.threads() > 1 || screen.survivors() > screen.max_survivors() * h.tokens);
    RC_SUCCEED("left to the full head");
  }
  const std::vector<float> logits = logits_of(h);
  for (std::int64_t t = 0; t < h.tokens; ++t) {
    const float* row = logits.data() + t * h.rows;
    const std::int64_t best = kernels.argmax(row, h.rows);
    RC_ASSERT(picks[size(t)].token == best);
    RC_ASSERT(same_bits(picks[size(t)].logit, row[best]));
  }
}

}  // namespace
}  // namespace bitnet
