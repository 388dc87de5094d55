#include "crossval/compare/input_rounding.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "crossval/compare/gates.h"
#include "engine/formats/bf16.h"
#include "engine/formats/f16.h"

namespace crossval {
namespace {

using Values = std::vector<float>;

constexpr std::int64_t kCols = 512;
constexpr std::int64_t kRows = 400;

// A normal distribution by hand: those of the library differ between systems.
class Normal {
 public:
  explicit Normal(std::uint64_t seed) : bits_(seed) {}
  float operator()() {
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += static_cast<double>(bits_() >> 11) * 0x1p-53;
    return static_cast<float>(sum);
  }

 private:
  std::mt19937_64 bits_;
};

Values normal_values(std::int64_t n, std::uint64_t seed) {
  Normal normal(seed);
  Values values(static_cast<std::size_t>(n));
  for (float& v : values) v = normal();
  return values;
}

Values ternary_values(std::int64_t n, std::uint64_t seed) {
  Values values = normal_values(n, seed);
  for (float& v : values) v = 0.75f * (v > 0.4f ? 1.0f : v < -0.4f ? -1.0f : 0.0f);
  return values;
}

MatrixRows matrix_of(const Values& w) {
  return {kRows, kCols, [&w](std::int64_t r, std::span<float> row) {
            std::copy_n(w.begin() + r * kCols, kCols, row.begin());
          }};
}

// int8 codes of groups that share a scale, as the libraries make them.
template <class Group>
Values codes_of(const Values& x, Group group, bool half_scale) {
  std::vector<float> largest(x.size(), 0.0f);
  for (std::size_t k = 0; k < x.size(); ++k) largest[group(k)] = std::max(largest[group(k)], std::abs(x[k]));
  Values out;
  for (std::size_t k = 0; k < x.size(); ++k) {
    const float d = largest[group(k)] / 127, inverse = d > 0 ? 1 / d : 0;
    const float stored = half_scale ? bitnet::f16_to_f32(bitnet::f32_to_f16(d)) : d;
    out.push_back(std::nearbyint(x[k] * inverse) * stored);
  }
  return out;
}

Values rounded(const std::string& type, const Values& x) {
  Values out;
  if (type == "f32") return x;
  if (type == "f16")
    for (const float v : x) out.push_back(bitnet::f16_to_f32(bitnet::f32_to_f16(v)));
  if (type == "bf16")
    for (const float v : x) out.push_back(bitnet::bf16_to_f32(bitnet::f32_to_bf16(v)));
  if (type == "i8_s")
    out = codes_of(
        x, [](std::size_t) { return std::size_t{0}; }, false);
  if (type == "q8_0")
    out = codes_of(
        x, [](std::size_t k) { return k / 32; }, true);
  if (type == "q8_K")
    out = codes_of(
        x, [](std::size_t k) { return k / 256; }, false);
  if (type == "q8_K16")
    out = codes_of(
        x, [](std::size_t k) { return k / 16 % 4; }, false);
  if (type == "q8_K64")
    out = codes_of(
        x, [](std::size_t k) { return k / 4 % 4; }, false);
  return out;
}

Values product(const Values& w, const Values& x) {
  Values y;
  for (std::int64_t r = 0; r < kRows; ++r) {
    double sum = 0;
    for (std::int64_t k = 0; k < kCols; ++k)
      sum += static_cast<double>(w[static_cast<std::size_t>(r * kCols + k)]) * x[static_cast<std::size_t>(k)];
    y.push_back(static_cast<float>(sum));
  }
  return y;
}

RoundingFigures figures(const Values& w, const Values& x, const std::string& own, const std::string& foreign,
                        const Values& ours, const Values& theirs) {
  const RoundedRow row{x, ours, theirs};
  return explain_rounding(matrix_of(w), *input_rounding(own), *input_rounding(foreign), {&row, 1}).at(0);
}

struct Pair {
  const char* own;
  const char* foreign;
};
constexpr Pair kPairs[] = {{"f32", "bf16"}, {"f32", "q8_0"},    {"f32", "q8_K"},
                           {"f16", "q8_0"}, {"i8_s", "q8_K16"}, {"i8_s", "q8_K64"}};

Values weights_for(const Pair& pair, std::uint64_t seed) {
  return std::string(pair.own) == "i8_s" ? ternary_values(kRows * kCols, seed)
                                         : normal_values(kRows * kCols, seed);
}

TEST(InputRounding, ExplainsWhatRoundingDoesAndHardlyMore) {
  for (const Pair& pair : kPairs)
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
      SCOPED_TRACE(std::string(pair.own) + " " + pair.foreign + " seed " + std::to_string(seed));
      const Values w = weights_for(pair, seed), x = normal_values(kCols, 100 + seed);
      const RoundingFigures f = figures(w, x, pair.own, pair.foreign, product(w, rounded(pair.own, x)),
                                        product(w, rounded(pair.foreign, x)));
      EXPECT_LT(f.share, 0.7);
      EXPECT_GT(f.share, 0.3);
      EXPECT_LT(std::abs(f.gain), f.gain_bound);
      EXPECT_LE(std::abs(f.difference), f.bound);
    }
}

TEST(InputRounding, ErrorsAreNoGreaterThanSaid) {
  Values x = normal_values(kCols, 7);
  x[3] = 90.0f;  // makes most of its group small
  x[40] = 0.0f;
  for (const char* type : {"f16", "bf16", "i8_s", "q8_K", "q8_K16", "q8_K64"}) {
    const Values y = rounded(type, x);
    const std::vector<double> most = greatest_errors(*input_rounding(type), x);
    double share = 0;
    for (std::size_t k = 0; k < x.size(); ++k) {
      EXPECT_LE(std::abs(static_cast<double>(x[k]) - y[k]), most[k] * (1 + 1e-6)) << type << " " << k;
      if (most[k] > 0) share = std::max(share, std::abs(static_cast<double>(x[k]) - y[k]) / most[k]);
    }
    EXPECT_GT(share, 0.9) << type;
  }
}

TEST(InputRounding, PlantedFaultsAreBeyondIt) {
  for (const Pair& pair : kPairs) {
    SCOPED_TRACE(std::string(pair.own) + " " + pair.foreign);
    const Values w = weights_for(pair, 11), x = normal_values(kCols, 12);
    const Values ours = product(w, rounded(pair.own, x)), theirs = product(w, rounded(pair.foreign, x));

    Values swapped = ours;
    std::swap(swapped[10], swapped[11]);
    const RoundingFigures s = figures(w, x, pair.own, pair.foreign, swapped, theirs);
    EXPECT_GT(s.share, 1.0);
    EXPECT_TRUE(s.at == 10 || s.at == 11);

    Values scaled = ours;
    for (float& v : scaled) v *= 1.01f;
    const RoundingFigures g = figures(w, x, pair.own, pair.foreign, scaled, theirs);
    EXPECT_GT(g.share, 1.0);
    EXPECT_GT(std::abs(g.gain), g.gain_bound);
  }
}

// What a block adds to one row's product may be little for one input: it is found within a few positions.
TEST(InputRounding, TheWrongScaleOfOneBlockIsBeyondItInSomeRows) {
  for (const Pair& pair : kPairs) {
    SCOPED_TRACE(std::string(pair.own) + " " + pair.foreign);
    const Values w = weights_for(pair, 11);
    Values faulty = w;
    for (std::size_t k = 64; k < 96; ++k) faulty[20 * kCols + k] *= 2;
    int found = 0;
    for (std::uint64_t seed = 12; seed < 20; ++seed) {
      const Values x = normal_values(kCols, seed);
      const RoundingFigures f = figures(w, x, pair.own, pair.foreign, product(faulty, rounded(pair.own, x)),
                                        product(w, rounded(pair.foreign, x)));
      if (f.share > 1) {
        ++found;
        EXPECT_EQ(f.at, 20);
      }
    }
    EXPECT_GE(found, 3);  // of 8
  }
}

TEST(InputRounding, NanAndInfinityAreNeverExplained) {
  const Values w = normal_values(kRows * kCols, 1), x = normal_values(kCols, 2);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Values y = product(w, x);
    y[17] = bad;
    EXPECT_FALSE(figures(w, x, "f32", "q8_0", y, product(w, x)).share <= 1);
    EXPECT_FALSE(figures(w, x, "f32", "q8_0", product(w, x), y).share <= 1);
  }
}

TEST(InputRounding, OfARowOfZerosNothingIsExplained) {
  const Values w = normal_values(kRows * kCols, 1), x(kCols, 0.0f), zeros(kRows, 0.0f);
  EXPECT_EQ(figures(w, x, "f32", "q8_0", zeros, zeros).share, 0);
  Values one = zeros;
  one[5] = 1e-6f;
  EXPECT_GT(figures(w, x, "f32", "q8_0", zeros, one).share, 1);
}

TEST(InputRounding, OtherNamesAreNotGuessedAt) {
  EXPECT_FALSE(input_rounding("q8_KV"));
  EXPECT_FALSE(input_rounding(""));
  EXPECT_FALSE(input_rounding("i8_s,q8_0"));
}

Measured measured(double nmse, double share) {
  Measured m;
  m.row.nmse = nmse;
  m.rounding = RoundingFigures{.share = share, .difference = 0.02, .bound = 0.02 / share, .at = 8};
  return m;
}

TEST(RoundingGates, OnlyGatesThatSaySoAreExcused) {
  const bitnet::TapId logits{bitnet::Tap::result_output, -1};
  GateSet set = default_gates(0.999);
  EXPECT_TRUE(judge(set, Mode::local, logits, 0, measured(1e-4, 0.4)).pass);
  EXPECT_DOUBLE_EQ(judge(set, Mode::local, logits, 0, measured(1e-4, 0.4)).severity, 0.4);
  const Judgement beyond = judge(set, Mode::local, logits, 0, measured(1e-4, 1.25));
  EXPECT_FALSE(beyond.pass);
  EXPECT_EQ(beyond.why, "nmse 0.0001 > 1e-06, and 0.02 at 8 where rounding the input explains 0.016");
  EXPECT_FALSE(
      judge(set, Mode::local, logits, 0, measured(1e-4, std::numeric_limits<double>::quiet_NaN())).pass);
  Measured unknown = measured(1e-4, 0.4);
  unknown.rounding.reset();
  EXPECT_FALSE(judge(set, Mode::local, logits, 0, unknown).pass);
  for (Gate& gate : set.gates) gate.or_within_rounding = false;
  EXPECT_FALSE(judge(set, Mode::local, logits, 0, measured(1e-4, 0.4)).pass);
}

TEST(RoundingGates, QuantizationNoiseOfTheReferenceExcusesTheTrunkToo) {
  const bitnet::TapId logits{bitnet::Tap::result_output, -1};
  Measured far;
  far.row.norm_ratio = 1.03;
  EXPECT_FALSE(judge(default_gates(0.999), Mode::free, logits, 0, far).excusable);
  const GateSet noisy = default_gates(0.999, "measured so");
  EXPECT_TRUE(judge(noisy, Mode::free, logits, 0, far).excusable);
  EXPECT_FALSE(judge(noisy, Mode::local, logits, 0, far).excusable);
  for (const Gate& gate : noisy.gates)
    EXPECT_EQ(gate.source.find("measured so") != std::string::npos, gate.mode == Mode::free) << gate.name;
  EXPECT_NE(noisy.sha256, default_gates(0.999).sha256);
}

TEST(RoundingGates, AreReadAndWritten) {
  nlohmann::json list = nlohmann::json::parse(
      R"([{"name":"a","mode":"local","metric":"nmse","taps":["*"],"threshold":0,"or_within_rounding":true}])");
  const GateSet set = parse_gates(list, "here");
  EXPECT_TRUE(set.gates.at(0).or_within_rounding);
  EXPECT_EQ(to_json(set.gates.at(0)).at("or_within_rounding"), true);
  list[0]["or_within_rounding"] = 1;
  EXPECT_THROW(parse_gates(list, "here"), std::exception);
}

}  // namespace
}  // namespace crossval
