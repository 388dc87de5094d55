#include "reference/oracle/oracle.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/gguf/gguf.h"
#include "reference/oracle/test_model.h"

namespace crossval {
namespace {

using bitnet::Tap;
using bitnet::TapId;
using testing::TestModel;
using testing::TestShape;

// A model in a file of its own, mapped, and gone with this object.
class Loaded {
 public:
  explicit Loaded(const TestModel& model) : path_(unique_path()), file_(write(model, path_)) {}
  ~Loaded() { std::filesystem::remove(path_); }
  Loaded(const Loaded&) = delete;
  Loaded& operator=(const Loaded&) = delete;

  const bitnet::gguf::File& file() const { return file_; }
  Oracle oracle(OracleOptions options = {.threads = 1, .round_taps = false}) const {
    return {file_, options};
  }

 private:
  static std::filesystem::path unique_path() {
    static int number = 0;
    return std::filesystem::path(::testing::TempDir()) /
           ("oracle-" + std::to_string(::getpid()) + "-" + std::to_string(++number) + ".gguf");
  }
  static bitnet::gguf::File write(const TestModel& model, const std::filesystem::path& path) {
    model.write(path);
    return bitnet::gguf::File::open(path);
  }

  std::filesystem::path path_;
  bitnet::gguf::File file_;
};

// One operation on rows at the positions first, first + 1, ...
struct Call {
  std::vector<float> a = {};
  std::vector<float> b = {};
  std::vector<float> history = {};
  std::vector<std::int32_t> tokens = {};
  std::int32_t first = 0;
  int rows = 1;
};

std::vector<double> run(Oracle& oracle, TapId output, const Call& call) {
  std::vector<std::int32_t> positions(call.rows);
  std::iota(positions.begin(), positions.end(), call.first);
  const auto data = [](const std::vector<float>& v) { return v.empty() ? nullptr : v.data(); };
  return oracle.evaluate({output, positions, call.tokens, data(call.a), data(call.b), data(call.history)});
}

std::vector<float> random_row(std::size_t n, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<float> row(n);
  for (float& v : row) v = static_cast<float>(static_cast<double>(random() >> 11) * 0x1p-53 * 8 - 4);
  return row;
}

std::vector<float> one_hot(std::size_t n, std::size_t at, float value = 1) {
  std::vector<float> row(n);
  row.at(at) = value;
  return row;
}

struct Shown {
  std::vector<std::int64_t> offsets;
  std::vector<double> values;
  friend bool operator==(const Shown&, const Shown&) = default;
};

// Every tap of a sequence, the rows of its evaluations one after another, in doubles.
std::map<TapId, Shown> record(Oracle& oracle, const std::vector<std::int32_t>& tokens,
                              std::size_t per_evaluation) {
  std::map<TapId, Shown> taps;
  oracle.reset();
  const Oracle::Hook hook{[](TapId) { return true; },
                          [&](TapId id, std::span<const std::int64_t> offsets, std::span<double> values) {
                            Shown& shown = taps[id];
                            if (shown.offsets.empty()) shown.offsets.push_back(0);
                            const std::int64_t base = shown.offsets.back();
                            for (std::int64_t offset : offsets.subspan(1))
                              shown.offsets.push_back(base + offset);
                            shown.values.insert(shown.values.end(), values.begin(), values.end());
                          }};
  for (std::size_t t = 0; t < tokens.size(); t += per_evaluation)
    oracle.forward(std::span(tokens).subspan(t, std::min(per_evaluation, tokens.size() - t)), hook);
  return taps;
}

const std::vector<std::int32_t> kTokens = {256, 7, 99, 7, 255, 0, 41, 198, 3, 3, 77};

std::vector<TestShape> shapes() {
  TestShape plain;
  TestShape old = plain;  // SiLU, a part of each head turns
  old.architecture = "bitnet";
  old.head_dim = 96;
  old.n_rot = 64;
  TestShape factors = plain;  // F32, a head of its own, stretched angles, one KV head per head
  factors.architecture = "bitnet-25";
  factors.embedding = bitnet::TensorType::f32;
  factors.untied = true;
  factors.rope_freqs = true;
  factors.rope_factor = 4;
  factors.n_head_kv = 4;
  TestShape llama = plain;  // SiLU, no sub-norms, neighbours turn
  llama.architecture = "llama";
  llama.untied = true;
  return {plain, old, factors, llama};
}

// ---- One operation at a time ----

TEST(OracleOperation, EmbeddingIsTheRowOfTheTable) {
  for (auto type : {bitnet::TensorType::f16, bitnet::TensorType::f32}) {
    TestShape shape;
    shape.embedding = type;
    TestModel model(shape);
    const Loaded loaded(model);
    Oracle oracle = loaded.oracle();
    const auto y = run(oracle, {Tap::inp_embd, -1}, {.tokens = {5, 259}, .rows = 2});
    const auto& table = model.at("token_embd.weight").values;
    ASSERT_EQ(y.size(), 256u);
    for (std::size_t k = 0; k < 128; ++k) {
      EXPECT_EQ(y[k], static_cast<double>(table[5 * 128 + k]));
      EXPECT_EQ(y[128 + k], static_cast<double>(table[259 * 128 + k]));
    }
  }
}

TEST(OracleOperation, RmsNormByHand) {
  TestShape shape;
  shape.rms_eps = 0.25f;
  TestModel model(shape);
  const Loaded loaded(model);
  Oracle oracle = loaded.oracle();
  // The mean of the squares is 128 * 2 / 128 = 2; with eps 2.25, whose root is 1.5.
  const auto y = run(oracle, {Tap::ffn_norm, 1}, {.a = one_hot(128, 17, 16)});
  const auto& g = model.at("blk.1.ffn_norm.weight").values;
  for (std::size_t k = 0; k < 128; ++k)
    EXPECT_EQ(y[k], k == 17 ? 16 / 1.5 * static_cast<double>(g[17]) : 0.0);
}

// The codes of a row by formula 3.2, and the product by three plain loops over the list of weights.
std::vector<double> naive_product(const TestModel::Tensor& weight, const std::vector<float>& x) {
  const std::size_t cols = weight.ne[0], rows = weight.ne[1];
  std::vector<double> y;
  for (std::size_t t = 0; t < x.size() / cols; ++t) {
    double greatest = 1e-5;
    for (std::size_t k = 0; k < cols; ++k)
      greatest = std::max(greatest, std::fabs(static_cast<double>(x[t * cols + k])));
    const auto scale = static_cast<float>(127.0 / greatest);
    for (std::size_t m = 0; m < rows; ++m) {
      std::int64_t sum = 0;
      for (std::size_t k = 0; k < cols; ++k) {
        const volatile float product = x[t * cols + k] * scale;
        sum += static_cast<std::int64_t>(weight.values[m * cols + k]) * std::lrintf(product);
      }
      y.push_back(static_cast<double>(sum) / static_cast<double>(scale) * static_cast<double>(weight.scale));
    }
  }
  return y;
}

TEST(OracleOperation, TernaryProductsEqualPlainLoops) {
  TestShape shape;
  shape.n_ff = 4224;  // longer than the span that is decoded at a time
  TestModel model(shape);
  const Loaded loaded(model);
  Oracle oracle = loaded.oracle();
  const std::pair<Tap, const char*> products[] = {{Tap::q_proj, "attn_q"},     {Tap::k_proj, "attn_k"},
                                                  {Tap::v_proj, "attn_v"},     {Tap::attn_out, "attn_output"},
                                                  {Tap::ffn_gate, "ffn_gate"}, {Tap::ffn_up, "ffn_up"},
                                                  {Tap::ffn_down, "ffn_down"}};
  std::uint64_t seed = 1;
  for (int layer = 0; layer < 2; ++layer)
    for (const auto& [tap, name] : products) {
      const auto& weight = model.at("blk." + std::to_string(layer) + "." + name + ".weight");
      const auto x = random_row(3 * weight.ne[0], ++seed);
      EXPECT_EQ(run(oracle, {tap, layer}, {.a = x, .first = 2, .rows = 3}), naive_product(weight, x)) << name;
    }
}

TEST(OracleOperation, FactorsAndBiasesFollowTheProduct) {
  for (const char* architecture : {"bitnet", "bitnet-b1.58", "llama"}) {
    TestShape shape;
    shape.architecture = architecture;
    shape.biases = shape.factors = true;
    TestModel model(shape);
    const Loaded loaded(model);
    Oracle oracle = loaded.oracle();
    for (const auto& [tap, name] : {std::pair{Tap::k_proj, "attn_k"}, std::pair{Tap::ffn_down, "ffn_down"}}) {
      const std::string blk = std::string("blk.1.") + name;
      const auto x = random_row(2 * model.at(blk + ".weight").ne[0], 3);
      const auto product = naive_product(model.at(blk + ".weight"), x);
      const auto& bias = model.at(blk + ".bias").values;
      const double factor = static_cast<double>(model.at(blk + ".scale").values[0]);
      const auto y = run(oracle, {tap, 1}, {.a = x, .rows = 2});
      ASSERT_EQ(y.size(), product.size());
      for (std::size_t i = 0; i < y.size(); ++i) {
        const double wanted = product[i] * factor + static_cast<double>(bias[i % bias.size()]);
        EXPECT_NEAR(y[i], wanted, 4 * 0x1p-52 * (std::fabs(product[i] * factor) + std::fabs(wanted))) << name;
      }
    }
  }
}

TEST(OracleOperation, LargestSumsDoNotWrap) {
  TestShape shape;
  shape.n_ff = 4224;
  TestModel model(shape);
  auto& weight = model.at("blk.0.ffn_down.weight");
  std::ranges::fill(weight.values, 1.0f);
  weight.scale = 1;
  const Loaded loaded(model);
  Oracle oracle = loaded.oracle();
  const auto y = run(oracle, {Tap::ffn_down, 0}, {.a = std::vector<float>(4224, 127.0f)});
  for (double v : y) EXPECT_EQ(v, 4224.0 * 127);
}

// A weight row that is one-hot shows one activation code.
TEST(OracleOperation, CodesAreRoundedInBinary32) {
  TestModel model{TestShape{}};
  auto& weight = model.at("blk.0.attn_q.weight");
  std::ranges::fill(weight.values, 0.0f);
  for (std::size_t k = 0; k < 128; ++k) weight.values[k * 128 + k] = 1;
  weight.scale = 1;
  const Loaded loaded(model);
  Oracle oracle = loaded.oracle();
  const TapId q{Tap::q_proj, 0};

  // fl(x * s) is a tie that the exact product is not (reference-semantics 3.2).
  std::vector<float> x(128);
  x[0] = 2.92578125f;
  x[1] = -0x1.15306p-1f;
  const double s = static_cast<double>(0x1.5b41f8p+5f);
  auto y = run(oracle, q, {.a = x});
  EXPECT_EQ(y[0], 127 / s);
  EXPECT_EQ(y[1], -24 / s);

  // Ties go to the even code: the scale is exactly 1 here.
  x = std::vector<float>(128);
  x[0] = -127;
  x[1] = 0.5f;
  x[2] = 1.5f;
  x[3] = -2.5f;
  y = run(oracle, q, {.a = x});
  EXPECT_EQ(std::vector<double>(y.begin(), y.begin() + 4), (std::vector<double>{-127, 0, 2, -2}));

  // The floor of 1e-5 under the largest magnitude: scale 12,700,000.
  y = run(oracle, q, {.a = std::vector<float>(128)});
  for (double v : y) EXPECT_EQ(v, 0);
  y = run(oracle, q, {.a = one_hot(128, 3, 1e-6f)});
  EXPECT_EQ(y[3], 13 / static_cast<double>(12700000.0f));  // 12.7 rounds to 13
}

TEST(OracleOperation, NonFiniteRowsGiveNaNAndSpareOthers) {
  TestModel model{TestShape{}};
  const Loaded loaded(model);
  Oracle oracle = loaded.oracle();
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                    -std::numeric_limits<float>::infinity()}) {
    auto x = random_row(3 * 128, 5);
    const auto clean = run(oracle, {Tap::q_proj, 0}, {.a = x, .rows = 3});
    x[128 + 64] = bad;
    const auto y = run(oracle, {Tap::q_proj, 0}, {.a = x, .rows = 3});
    for (std::size_t i = 0; i < y.size(); ++i) {
      if (i / 128 == 1)
        EXPECT_TRUE(std::isnan(y[i]));
      else
        EXPECT_EQ(y[i], clean[i]);
    }
  }
}

TEST(OracleOperation, RopeTurnsPairsByTheClosedForm) {
  for (const TestShape& shape : shapes()) {
    TestModel model(shape);
    const Loaded loaded(model);
    Oracle oracle = loaded.oracle();
    const std::size_t half = shape.n_rot / 2, heads = shape.n_head, hd = shape.head_dim;
    const bool neighbours = shape.architecture == "llama";
    const auto x = random_row(heads * hd, 3);
    const auto still = run(oracle, {Tap::q_rope, 0}, {.a = x});
    for (std::size_t k = 0; k < x.size(); ++k) EXPECT_EQ(still[k], static_cast<double>(x[k]));

    const std::int32_t p = 37;
    const auto y = run(oracle, {Tap::q_rope, 0}, {.a = x, .first = p});
    for (std::size_t h = 0; h < heads; ++h)
      for (std::size_t i = 0; i < hd; ++i) {
        const std::size_t at = h * hd + i;
        if (i >= 2 * half) {
          EXPECT_EQ(y[at], static_cast<double>(x[at]));
        } else {
          const std::size_t pair = neighbours ? i / 2 : i % half;
          const std::size_t first = neighbours ? 2 * pair : pair, second = first + (neighbours ? 1 : half);
          long double theta =
              p * std::pow(static_cast<long double>(shape.freq_base),
                           -2.0L * static_cast<long double>(pair) / static_cast<long double>(shape.n_rot));
          theta /= static_cast<long double>(shape.rope_factor);
          if (shape.rope_freqs) theta /= static_cast<long double>(model.at("rope_freqs.weight").values[pair]);
          const long double x0 = static_cast<long double>(x[h * hd + first]);
          const long double x1 = static_cast<long double>(x[h * hd + second]);
          const long double expected = i == first ? x0 * std::cos(theta) - x1 * std::sin(theta)
                                                  : x0 * std::sin(theta) + x1 * std::cos(theta);
          // |x| <= 4; the angle, at most 37, carries a few ulp of its own.
          EXPECT_NEAR(y[at], static_cast<double>(expected), 8 * 37 * 4 * 0x1p-53) << i;
        }
      }
  }
}

TEST(OracleOperation, ScoresAreDotsWithTheKeysOfTheSharedHead) {
  const Loaded loaded(TestModel{TestShape{}});
  Oracle oracle = loaded.oracle();
  const std::int32_t p = 4;
  // A one-hot query reads one channel of the keys of KV head h / 2.
  const auto keys = random_row(5 * 64, 8);
  for (std::size_t h = 0; h < 4; ++h) {
    const std::size_t channel = 5 * h + 1;
    const auto y =
        run(oracle, {Tap::kq, 1}, {.a = one_hot(128, h * 32 + channel, 2), .history = keys, .first = p});
    ASSERT_EQ(y.size(), 4u * 5);
    for (std::size_t head = 0; head < 4; ++head)
      for (std::size_t cell = 0; cell < 5; ++cell) {
        const auto key = bitnet::f16_to_f32(bitnet::f32_to_f16(keys[cell * 64 + h / 2 * 32 + channel]));
        EXPECT_EQ(y[head * 5 + cell], head == h ? 2 * static_cast<double>(key) : 0.0);
      }
  }
  // The query is rounded to binary16 too.
  const auto y =
      run(oracle, {Tap::kq, 1}, {.a = one_hot(128, 0, 1 + 0x1p-12f), .history = one_hot(64, 0, 3)});
  EXPECT_EQ(y[0], 3);
}

TEST(OracleOperation, SoftMaxByHand) {
  const Loaded loaded(TestModel{TestShape{}});
  Oracle oracle = loaded.oracle();
  // Rows at positions 1 and 2. Scores are divided by sqrt(32); ln 2 apart means twice the probability.
  const auto two = static_cast<float>(std::log(2.0) * std::sqrt(32.0));
  const std::vector<float> kq = {0, 0, 0, two, 5, 5,   1000, -1000,  // heads of two cells
                                 1, 1, 1, 0,   0, two, two,  two,   two, -3e4f, -3e4f, -3e4f};
  const auto y = run(oracle, {Tap::kq_soft_max, 0}, {.a = kq, .first = 1, .rows = 2});
  const std::vector<double> expected = {.5,     .5,     1. / 3, 2. / 3, .5,     .5,    1,
                                        0,      1. / 3, 1. / 3, 1. / 3, .25,    .25,   .5,
                                        1. / 3, 1. / 3, 1. / 3, 1. / 3, 1. / 3, 1. / 3};
  ASSERT_EQ(y.size(), expected.size());
  // `two` is rounded to binary32, relative 2^-24 of an exponent of 0.69.
  for (std::size_t i = 0; i < y.size(); ++i) EXPECT_NEAR(y[i], expected[i], 0x1p-25) << i;
  EXPECT_EQ(y[6], 1);
  EXPECT_EQ(y[0], 0.5);
}

TEST(OracleOperation, ContextIsTheMeanOfValuesOfTheSharedHead) {
  const Loaded loaded(TestModel{TestShape{}});
  Oracle oracle = loaded.oracle();
  const auto values = random_row(3 * 64, 9);
  const auto value = [&](std::size_t cell, std::size_t g, std::size_t d) {
    return static_cast<double>(bitnet::f16_to_f32(bitnet::f32_to_f16(values[cell * 64 + g * 32 + d])));
  };
  // Head 0 picks cell 2, head 1 nothing, head 2 halves of cells 0 and 1, head 3 a probability that binary16
  // rounds.
  const std::vector<float> p = {0, 0, 1, 0, 0, 0, .5f, .5f, 0, 0.25f + 0x1p-14f, 0, 0};
  const auto y = run(oracle, {Tap::attn_ctx, 0}, {.a = p, .history = values, .first = 2});
  ASSERT_EQ(y.size(), 128u);
  for (std::size_t d = 0; d < 32; ++d) {
    EXPECT_EQ(y[d], value(2, 0, d));
    EXPECT_EQ(y[32 + d], 0);
    EXPECT_EQ(y[64 + d], .5 * value(0, 1, d) + .5 * value(1, 1, d));
    EXPECT_EQ(y[96 + d], .25 * value(0, 1, d));
  }
}

TEST(OracleOperation, ActivationFollowsTheArchitecture) {
  TestShape shape;
  std::vector<float> x(256);
  x[0] = -3;
  x[1] = 3;
  x[2] = 0.5f;
  x[3] = -1000;
  {
    const Loaded loaded(TestModel{shape});
    Oracle oracle = loaded.oracle();
    const auto y = run(oracle, {Tap::ffn_act, 0}, {.a = x});
    EXPECT_EQ(std::vector<double>(y.begin(), y.begin() + 5), (std::vector<double>{0, 9, 0.25, 0, 0}));
  }
  shape.architecture = "bitnet";
  const Loaded loaded(TestModel{shape});
  Oracle oracle = loaded.oracle();
  const auto y = run(oracle, {Tap::ffn_act, 0}, {.a = x});
  EXPECT_NEAR(y[0], -3 / (1 + std::exp(3.0)), 4 * 0x1p-53);
  EXPECT_NEAR(y[1], 3 / (1 + std::exp(-3.0)), 4 * 3 * 0x1p-53);
  EXPECT_EQ(y[3], 0);
  EXPECT_EQ(y[4], 0);
}

TEST(OracleOperation, ElementwiseOperationsAreExactInDouble) {
  const Loaded loaded(TestModel{TestShape{}});
  Oracle oracle = loaded.oracle();
  const auto a = random_row(256, 1), b = random_row(256, 2);
  const auto par = run(oracle, {Tap::ffn_par, 0}, {.a = a, .b = b});
  const auto inp = run(oracle, {Tap::ffn_inp, 0}, {.a = a, .b = b, .rows = 2});
  const auto out = run(oracle, {Tap::l_out, 1}, {.a = a, .b = b, .rows = 2});
  for (std::size_t k = 0; k < 256; ++k) {
    EXPECT_EQ(par[k], static_cast<double>(a[k]) * static_cast<double>(b[k]));
    EXPECT_EQ(inp[k], static_cast<double>(a[k]) + static_cast<double>(b[k]));
    EXPECT_EQ(out[k], inp[k]);
  }
}

TEST(OracleOperation, HeadRoundsItsInputToItsOwnType) {
  using bitnet::TensorType;
  for (const TensorType type :
       {TensorType::f16, TensorType::f32, TensorType::bf16, TensorType::q8_0, TensorType::q6_k}) {
    TestShape shape;
    shape.n_embd = 256;
    shape.embedding = type;
    TestModel model(shape);
    const Loaded loaded(model);
    Oracle oracle = loaded.oracle();
    const float x = 1 + 0x1p-12f;  // halfway below the first number after 1 that binary16 has
    double seen = static_cast<double>(x);
    if (type == TensorType::f16) seen = 1;
    if (type == TensorType::q6_k) seen = -127 * static_cast<double>(1 / (-127 / x));
    const auto y = run(oracle, {Tap::result_output, -1}, {.a = one_hot(256, 9, x)});
    ASSERT_EQ(y.size(), 260u);
    const auto& table = model.at("token_embd.weight").values;
    for (std::size_t m = 0; m < 260; ++m) EXPECT_EQ(y[m], seen * static_cast<double>(table[m * 256 + 9]));
    // All weights of a row, one after another.
    const std::vector<std::int32_t> tokens = {77};
    const auto row = run(oracle, {Tap::inp_embd, -1}, {.tokens = tokens});
    EXPECT_TRUE(std::ranges::equal(row, std::span(table).subspan(77 * 256, 256)));
  }
}

TEST(OracleOperation, TernaryEmbeddingAndHead) {
  TestShape shape;
  shape.embedding = bitnet::TensorType::i2_s;
  TestModel model(shape);
  const Loaded loaded(model);
  Oracle oracle = loaded.oracle();
  const auto& table = model.at("token_embd.weight");
  const auto row = run(oracle, {Tap::inp_embd, -1}, {.tokens = {77}});
  ASSERT_EQ(row.size(), 128u);
  for (std::size_t k = 0; k < 128; ++k)
    EXPECT_EQ(row[k], static_cast<double>(table.scale * table.values[77 * 128 + k]));
  const std::vector<float> x = one_hot(128, 9, 1.5f);
  EXPECT_EQ(run(oracle, {Tap::result_output, -1}, {.a = x}), naive_product(table, x));
}

TEST(OracleOperation, Q6KHeadSeesCodesOfItsInput) {
  TestShape shape;
  shape.n_embd = 256;
  shape.embedding = bitnet::TensorType::q6_k;
  TestModel model(shape);
  const Loaded loaded(model);
  Oracle oracle = loaded.oracle();
  std::vector<float> x(256);
  x[3] = -254;  // one code is worth 2
  x[4] = 3;     // codes 1.5, 2.5 and 3.5 are ties
  x[5] = 5;
  x[6] = -7;
  x[7] = 0.9f;
  const std::vector<std::pair<std::size_t, double>> seen = {{3, -254}, {4, 4}, {5, 4}, {6, -8}};
  const auto y = run(oracle, {Tap::result_output, -1}, {.a = x});
  for (std::size_t m = 0; m < 260; ++m) {
    double logit = 0;
    for (const auto& [k, value] : seen)
      logit += value * static_cast<double>(model.at("token_embd.weight").values[m * 256 + k]);
    EXPECT_EQ(y[m], logit);  // all numbers are short: nothing is rounded
  }
  for (const double logit : run(oracle, {Tap::result_output, -1}, {.a = std::vector<float>(256)}))
    EXPECT_EQ(logit, 0);
}

TEST(OracleOperation, HeadOfItsOwnIsUsed) {
  TestShape shape;
  shape.untied = true;
  TestModel model(shape);
  const Loaded loaded(model);
  Oracle oracle = loaded.oracle();
  const auto y = run(oracle, {Tap::result_output, -1}, {.a = one_hot(128, 9)});
  for (std::size_t m = 0; m < 260; ++m)
    EXPECT_EQ(y[m], static_cast<double>(model.at("output.weight").values[m * 128 + 9]));
}

// ---- The whole model ----

// Every tap of a forward pass is what `evaluate` makes of the taps that it is said to read: the same
// formulas, and the wiring that operation.h states. With every tap rounded to binary32 both see the same
// inputs, so all bits agree.
TEST(OracleForward, EveryTapIsItsOperationOnTheTapsBefore) {
  for (const TestShape& shape : shapes()) {
    const Loaded loaded(TestModel{shape});
    Oracle oracle = loaded.oracle({.threads = 1, .round_taps = true});
    const auto taps = record(oracle, kTokens, 4);
    const auto all = bitnet::canonical_taps(oracle.config());
    ASSERT_EQ(taps.size(), all.size());
    std::vector<std::int32_t> positions(kTokens.size());
    std::iota(positions.begin(), positions.end(), 0);
    for (TapId id : all) {
      const auto inputs = bitnet::inputs_of(oracle.config(), id);
      const auto values = [&](const std::optional<TapId>& input) {
        std::vector<float> floats;
        if (input)
          for (double v : taps.at(*input).values) floats.push_back(static_cast<float>(v));
        return floats;
      };
      Call call{.a = values(inputs.a), .b = values(inputs.b), .history = values(inputs.history)};
      if (id.tap == Tap::inp_embd) call.tokens = kTokens;
      call.rows = static_cast<int>(kTokens.size());
      auto expected = run(oracle, id, call);
      for (double& v : expected) v = static_cast<double>(static_cast<float>(v));
      EXPECT_EQ(expected, taps.at(id).values) << shape.architecture << " " << bitnet::to_string(id);
    }
  }
}

TEST(OracleForward, EveryLayerIsItselfOnItsInputs) {
  // The inputs are binary32, so all taps are rounded to it; layer 0 reads the file's own numbers either way.
  for (const TestShape& shape : shapes()) {
    const Loaded loaded(TestModel{shape});
    for (const bool round : {true, false}) {
      Oracle oracle = loaded.oracle({.threads = 2, .round_taps = round});
      const auto taps = record(oracle, kTokens, 4);
      oracle.reset();
      const bitnet::Config& c = oracle.config();
      const auto floats = [&](TapId id) {
        const auto& values = taps.at(id).values;
        return std::vector<float>(values.begin(), values.end());
      };
      for (const auto& [first, last] : {std::pair{0, 11}, {0, 1}, {4, 5}, {3, 9}, {10, 11}})
        for (int layer = 0; layer < (round ? c.n_layer : 1); ++layer) {
          if (!round && first > 0) continue;  // keys and values would be rounded twice
          std::vector<std::int32_t> positions(last - first);
          std::iota(positions.begin(), positions.end(), first);
          const auto x = floats(*bitnet::inputs_of(c, {Tap::attn_norm, layer}).a);
          const auto keys = floats({Tap::k_rope, layer}), values = floats({Tap::v_proj, layer});
          std::vector<TapId> order;
          oracle.evaluate_layer({layer, positions, x.data() + first * c.n_embd, keys.data(), values.data()},
                                {[](TapId) { return true; },
                                 [&, first = first, last = last](
                                     TapId id, std::span<const std::int64_t> offsets, std::span<double> got) {
                                   order.push_back(id);
                                   const Shown& whole = taps.at(id);
                                   ASSERT_EQ(std::ssize(offsets), last - first + 1);
                                   const std::vector<double> wanted(
                                       whole.values.begin() + whole.offsets[first],
                                       whole.values.begin() + whole.offsets[last]);
                                   EXPECT_EQ(std::vector<double>(got.begin(), got.end()), wanted)
                                       << bitnet::to_string(id) << " at " << first;
                                 }});
          EXPECT_EQ(order, bitnet::layer_taps(c, layer));
        }
      EXPECT_EQ(oracle.position(), 0);
    }
  }
}

TEST(OracleForward, RowsAreAsWideAsTheTapsSay) {
  const Loaded loaded(TestModel{TestShape{}});
  Oracle oracle = loaded.oracle();
  for (const auto& [id, shown] : record(oracle, kTokens, 3)) {
    ASSERT_EQ(shown.offsets.size(), kTokens.size() + 1);
    for (std::size_t t = 0; t < kTokens.size(); ++t)
      EXPECT_EQ(shown.offsets[t + 1] - shown.offsets[t],
                bitnet::tap_width(oracle.config(), id.tap, static_cast<std::int64_t>(t)))
          << bitnet::to_string(id);
  }
}

TEST(OracleForward, NeitherBatchesNorThreadsChangeADouble) {
  for (const TestShape& shape : shapes()) {
    const Loaded loaded(TestModel{shape});
    Oracle one = loaded.oracle();
    const auto expected = record(one, kTokens, kTokens.size());
    for (int threads : {1, 2, 3})
      for (std::size_t per_evaluation : {1, 2, 5, 11}) {
        Oracle oracle = loaded.oracle({.threads = threads, .round_taps = false});
        EXPECT_EQ(oracle.threads(), threads);
        EXPECT_EQ(record(oracle, kTokens, per_evaluation), expected) << threads << " " << per_evaluation;
      }
  }
}

TEST(OracleForward, LookingAtOneTapChangesNothing) {
  const Loaded loaded(TestModel{TestShape{}});
  Oracle oracle = loaded.oracle();
  const auto expected = record(oracle, kTokens, 4);
  std::vector<double> logits;
  oracle.reset();
  const std::vector<std::int32_t> head(kTokens.begin(), kTokens.begin() + 4);
  const std::vector<std::int32_t> tail(kTokens.begin() + 4, kTokens.end());
  oracle.forward(head, {});  // nobody looks
  EXPECT_EQ(oracle.position(), 4);
  oracle.forward(tail, {[](TapId id) { return id.tap == Tap::result_output; },
                        [&](TapId id, std::span<const std::int64_t>, std::span<double> values) {
                          EXPECT_EQ(id.tap, Tap::result_output);
                          logits.assign(values.begin(), values.end());
                        }});
  const auto& all = expected.at({Tap::result_output, -1}).values;
  EXPECT_EQ(logits, std::vector<double>(all.begin() + 4 * 260, all.end()));
}

TEST(OracleForward, RoundedTapsAreBinary32AndDifferFromDoubles) {
  const Loaded loaded(TestModel{TestShape{}});
  Oracle plain = loaded.oracle();
  Oracle rounded = loaded.oracle({.threads = 1, .round_taps = true});
  const auto a = record(plain, kTokens, 4), b = record(rounded, kTokens, 4);
  const auto is_float = [](double v) { return v == static_cast<double>(static_cast<float>(v)); };
  for (const auto& [id, shown] : b)
    EXPECT_TRUE(std::ranges::all_of(shown.values, is_float)) << bitnet::to_string(id);
  EXPECT_FALSE(std::ranges::all_of(a.at({Tap::attn_norm, 0}).values, is_float));
  EXPECT_NE(a.at({Tap::result_output, -1}), b.at({Tap::result_output, -1}));
}

TEST(OracleForward, WhatAHookChangesIsWhatLaterOperationsAndTheCacheRead) {
  const Loaded loaded(TestModel{TestShape{}});
  Oracle oracle = loaded.oracle();
  const auto expected = record(oracle, kTokens, kTokens.size());
  oracle.reset();
  bool changed = false;
  std::map<TapId, std::vector<double>> seen;
  const Oracle::Hook hook{[](TapId) { return true; },
                          [&](TapId id, std::span<const std::int64_t>, std::span<double> values) {
                            if (id == TapId{Tap::k_rope, 1} && !changed) {
                              std::ranges::fill(values, 0.0);
                              changed = true;
                            }
                            seen[id].insert(seen[id].end(), values.begin(), values.end());
                          }};
  for (std::int32_t token : kTokens) oracle.forward({{token}}, hook);
  EXPECT_EQ(seen.at({Tap::kq, 0}), expected.at({Tap::kq, 0}).values);
  // Cell 0 of every score of layer 1, at every position, is a dot with the zeros that were put there.
  const auto& kq = seen.at({Tap::kq, 1});
  std::size_t at = 0;
  for (std::size_t p = 0; p < kTokens.size(); ++p)
    for (std::size_t h = 0; h < 4; ++h, at += p + 1) {
      EXPECT_EQ(kq[at], 0);
      EXPECT_NE(expected.at({Tap::kq, 1}).values[at], 0);
    }
  EXPECT_NE(seen.at({Tap::result_output, -1}), expected.at({Tap::result_output, -1}).values);
}

TEST(OracleForward, AHookThatThrowsLeavesTheSequenceAsItWas) {
  const Loaded loaded(TestModel{TestShape{}});
  Oracle oracle = loaded.oracle();
  const auto expected = record(oracle, kTokens, 4);
  oracle.reset();
  const auto throwing = [](TapId id, std::span<const std::int64_t>, std::span<double>) {
    if (id == TapId{Tap::l_out, 0}) throw std::runtime_error("stop");
  };
  oracle.forward(std::span(kTokens).first(4), {});
  EXPECT_THROW(oracle.forward(std::span(kTokens).subspan(4, 2), {[](TapId) { return true; }, throwing}),
               std::runtime_error);
  EXPECT_EQ(oracle.position(), 4);
  std::vector<double> logits;
  oracle.forward(std::span(kTokens).subspan(4),
                 {[](TapId id) { return id.tap == Tap::result_output; },
                  [&](TapId, std::span<const std::int64_t>, std::span<double> values) {
                    logits.assign(values.begin(), values.end());
                  }});
  const auto& all = expected.at({Tap::result_output, -1}).values;
  EXPECT_EQ(logits, std::vector<double>(all.begin() + 4 * 260, all.end()));
}

TEST(OracleForward, PositionsComeFromTheSequence) {
  const Loaded loaded(TestModel{TestShape{}});
  Oracle oracle = loaded.oracle();
  const auto first = record(oracle, {7, 7}, 1);
  const auto& k = first.at({Tap::k_rope, 0}).values;
  EXPECT_NE(std::vector<double>(k.begin(), k.begin() + 64), std::vector<double>(k.begin() + 64, k.end()));
  EXPECT_EQ(record(oracle, {7, 7}, 2), first);  // `record` resets
}

// ---- What it refuses ----

template <class F>
std::string refusal(F&& f) {
  try {
    f();
  } catch (const bitnet::InputError& error) {
    return error.what();
  }
  return "(accepted)";
}

TEST(OracleRefuses, WhatIsNoRequest) {
  const Loaded loaded(TestModel{TestShape{}});
  Oracle oracle = loaded.oracle();
  const auto contains = [](const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  contains(refusal([&] { oracle.forward({{260}}, {}); }), "token 260");
  contains(refusal([&] { oracle.forward({{-1}}, {}); }), "token -1");
  contains(refusal([&] { oracle.forward(std::vector<std::int32_t>(65), {}); }), "64");
  EXPECT_EQ(oracle.position(), 0);
  oracle.forward(std::vector<std::int32_t>(64), {});
  contains(refusal([&] { oracle.forward({{1}}, {}); }), "65");
  EXPECT_EQ(oracle.position(), 64);

  contains(refusal([&] { run(oracle, {Tap::q_proj, 2}, {.a = random_row(128, 1)}); }), "Qcur-2#1");
  contains(refusal([&] { run(oracle, {Tap::q_proj, -1}, {.a = random_row(128, 1)}); }), "no such operation");
  contains(refusal([&] { run(oracle, {Tap::q_proj, 0}, {}); }), "missing");
  contains(refusal([&] { run(oracle, {Tap::ffn_par, 0}, {.a = random_row(256, 1)}); }), "missing");
  contains(refusal([&] { run(oracle, {Tap::kq, 0}, {.a = random_row(128, 1)}); }), "missing");
  contains(refusal([&] { run(oracle, {Tap::inp_embd, -1}, {.tokens = {1, 2}}); }), "one token per row");
  contains(refusal([&] { run(oracle, {Tap::inp_embd, -1}, {.tokens = {260}}); }), "token 260");
  contains(refusal([&] {
             run(oracle, {Tap::q_proj, 0}, {.a = random_row(128, 1), .first = -1});
           }),
           "positions");
  EXPECT_TRUE(run(oracle, {Tap::q_proj, 0}, {.rows = 0}).empty());

  const std::vector<std::int32_t> fourth{3};
  const auto row = random_row(128, 1);
  contains(refusal([&] {
             oracle.evaluate_layer({2, fourth, row.data(), row.data(), row.data()}, {});
           }),
           "layer 2");
  contains(refusal([&] {
             oracle.evaluate_layer({1, fourth, row.data(), row.data(), nullptr}, {});
           }),
           "missing");
}

TEST(OracleRefuses, WhatIsNoModelOfIts) {
  const auto refused = [](const std::function<void(TestModel&)>& damage, const std::string& name,
                          const std::string& what) {
    TestModel model{TestShape{}};
    damage(model);
    const Loaded loaded(model);
    const std::string text = refusal([&] { loaded.oracle(); });
    EXPECT_NE(text.find(name), std::string::npos) << text;
    EXPECT_NE(text.find(what), std::string::npos) << text;
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  refused(
      [](TestModel& m) { std::erase_if(m.tensors, [](auto& t) { return t.name == "blk.1.ffn_up.weight"; }); },
      "blk.1.ffn_up.weight", "missing");
  refused(
      [](TestModel& m) {
        m.tensors.push_back(m.at("output_norm.weight"));
        m.tensors.back().name = "blk.0.attn_norm.bias";
      },
      "blk.0.attn_norm.bias", "no such tensor");
  refused([&](TestModel& m) { m.at("blk.0.attn_k.weight").scale = nan; }, "blk.0.attn_k.weight",
          "not finite");
  refused([&](TestModel& m) { m.at("blk.0.attn_norm.weight").values[3] = nan; }, "blk.0.attn_norm.weight",
          "not finite");
  refused([](TestModel& m) { m.at("blk.0.attn_q.weight").type = bitnet::TensorType::f16; },
          "blk.0.attn_q.weight", "F16");
  refused([](TestModel& m) { m.at("token_embd.weight").type = bitnet::TensorType::tl1; }, "token_embd.weight",
          "TL1");
  refused(
      [](TestModel& m) {
        auto& t = m.at("blk.0.ffn_down.weight");
        std::swap(t.ne[0], t.ne[1]);
      },
      "blk.0.ffn_down.weight", "expected [256, 128");

  TestShape narrow;
  narrow.n_embd = 192;
  const Loaded loaded(TestModel{narrow});
  const std::string text = refusal([&] { loaded.oracle(); });
  EXPECT_NE(text.find("multiple of 128"), std::string::npos) << text;
}

}  // namespace
}  // namespace crossval
