// The model, top to bottom. Read it against
//   [b1.58]  The Era of 1-bit LLMs: All Large Language Models are in 1.58 Bits, arXiv 2402.17764
//   [2B4T]   BitNet b1.58 2B4T Technical Report, arXiv 2504.12285
//   [BitNet] BitNet: Scaling 1-bit Transformers for Large Language Models, arXiv 2310.11453
//   [RoPE]   RoFormer: Enhanced Transformer with Rotary Position Embedding, arXiv 2104.09864
// Everything is double precision, except where the model itself is defined by a narrower type: the int8 codes
// before a ternary product and before a Q6_K head, and the binary16 of keys, values, queries, probabilities
// and of the input of an F16 head.

#include "reference/oracle/oracle.h"

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <set>
#include <string>
#include <utility>

#include "engine/error.h"
#include "engine/formats/tensor_type.h"
#include "engine/gguf/gguf.h"
#include "engine/kernels/thread_pool.h"
#include "reference/formats/ternary.h"
#include "reference/oracle/numbers.h"

namespace crossval {
namespace {

using bitnet::Config;
using bitnet::Tap;
using bitnet::TapId;
using bitnet::TensorType;

static_assert(std::endian::native == std::endian::little, "GGUF files are little-endian");
static_assert(FLT_EVAL_METHOD == 0, "the codes are defined in binary32");

// T tokens, d = n_embd, f = n_ff, H heads of hd channels, G KV heads, V = n_vocab.

// ---- Weights ----

// W = scale * (codes - 1), the codes being 2 bits each in the I2_S layout.
struct Ternary {
  const std::byte* codes = nullptr;  // (rows, cols / 4 bytes)
  std::int64_t rows = 0;
  std::int64_t cols = 0;     // a multiple of 128
  double scale = 0;          // one for the matrix: gamma of [b1.58] (3); with the tensor `.scale`, if any
  std::vector<double> bias;  // (rows), where the file has one
};

struct Matrix {
  const std::byte* data = nullptr;    // (rows, cols), mapped
  TensorType type = TensorType::f32;  // or f16, bf16, q8_0, q6_k, q5_0, q4_k, q4_0, i2_s
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  double scale = 1;  // of i2_s

  Ternary ternary() const { return {data, rows, cols, scale, {}}; }  // of i2_s
};

struct Layer {
  std::vector<double> attn_norm;      // (d)
  Ternary wq;                         // (H*hd, d)
  Ternary wk;                         // (G*hd, d)
  Ternary wv;                         // (G*hd, d)
  std::vector<double> attn_sub_norm;  // (H*hd), with sub-norms only
  Ternary wo;                         // (d, H*hd)
  std::vector<double> ffn_norm;       // (d)
  Ternary w_gate;                     // (f, d)
  Ternary w_up;                       // (f, d)
  std::vector<double> ffn_sub_norm;   // (f), with sub-norms only
  Ternary w_down;                     // (d, f)
};

struct Weights {
  Matrix token_embd;                            // (V, d)
  std::vector<Layer> layers;                    // (n_layer)
  std::vector<double> output_norm;              // (d)
  Matrix head;                                  // (V, d): output.weight, or token_embd again
  std::vector<double> frequencies;              // (n_rot / 2): angle of each pair per position
  std::vector<float> f16_values;                // (65536): what each binary16 number is worth
  std::vector<std::vector<std::byte>> decoded;  // ternary matrices that lie otherwise in the file
};

class Loader {
 public:
  Loader(const bitnet::gguf::File& file, const bitnet::gguf::TernaryOptions& options,
         std::vector<std::vector<std::byte>>& decoded)
      : file_(file), options_(options), decoded_(decoded) {}

  bool has(const std::string& name) const { return file_.find_tensor(name) != nullptr; }

  std::vector<double> vector(const std::string& name, std::int64_t n) {
    const auto& tensor = take(name, n, 1);
    if (tensor.type != TensorType::f32) refuse_type(tensor, "F32");
    std::vector<double> values(n);
    for (std::int64_t i = 0; i < n; ++i) {
      float value = 0;
      std::memcpy(&value, tensor.data.data() + 4 * i, 4);
      if (!std::isfinite(value)) file_.fail(name, "holds a value that is not finite; the file is damaged");
      values[i] = value;
    }
    return values;
  }

  Ternary ternary(const std::string& name, std::int64_t cols, std::int64_t rows) {
    const auto& tensor = take(name, cols, rows);
    if (!bitnet::is_ternary(tensor.type)) refuse_type(tensor, "ternary weights, such as I2_S");
    return ternary(tensor, cols, rows);
  }

  Ternary ternary(const bitnet::gguf::Tensor& tensor, std::int64_t cols, std::int64_t rows) {
    const std::string_view name = tensor.name;
    if (cols % 128 != 0 || (tensor.type == TensorType::i2_s && rows % 4 != 0))
      file_.fail(name, "I2_S needs rows of a multiple of 128 and a multiple of 4 rows, not " +
                           std::to_string(cols) + " and " + std::to_string(rows) + "; pad the model");
    float scale = 0;
    const std::byte* codes = as_i2s(file_, tensor, options_, decoded_);
    std::memcpy(&scale, codes + rows * cols / 4, 4);  // it follows the codes
    if (!std::isfinite(scale)) file_.fail(name, "its weight scale is not finite; the file is damaged");
    return {codes, rows, cols, scale, {}};
  }

  // name: without ".weight".
  Ternary projection(const std::string& name, std::int64_t cols, std::int64_t rows) {
    Ternary m = ternary(name + ".weight", cols, rows);
    if (has(name + ".scale")) m.scale *= vector(name + ".scale", 1)[0];
    if (has(name + ".bias")) m.bias = vector(name + ".bias", rows);
    return m;
  }

  Matrix matrix(const std::string& name, std::int64_t cols, std::int64_t rows) {
    const auto& tensor = take(name, cols, rows);
    switch (tensor.type) {
      case TensorType::f32:
      case TensorType::f16:
      case TensorType::bf16:
      case TensorType::q8_0:
      case TensorType::q6_k:
      case TensorType::q5_0:
      case TensorType::q4_k:
      case TensorType::q4_0:
        break;
      case TensorType::i2_s: {
        const Ternary m = ternary(tensor, cols, rows);
        return {m.codes, tensor.type, rows, cols, m.scale};
      }
      default:
        refuse_type(tensor, "F32, F16, BF16, Q8_0, Q6_K, Q5_0, Q4_K, Q4_0 or I2_S");
    }
    return {tensor.data.data(), tensor.type, rows, cols};
  }

  // A part of the model that is left unread would make another model of it.
  void refuse_surplus() const {
    for (const auto& tensor : file_.tensors())
      if (!taken_.contains(tensor.name)) file_.fail(tensor.name, "the oracle's model has no such tensor");
  }

 private:
  const bitnet::gguf::Tensor& take(const std::string& name, std::int64_t ne0, std::int64_t ne1) {
    const std::uint64_t wanted[4] = {static_cast<std::uint64_t>(ne0), static_cast<std::uint64_t>(ne1), 1, 1};
    const auto* tensor = file_.find_tensor(name);
    if (!tensor) file_.fail(name, "the tensor is missing; expected shape " + shape_text(wanted));
    if (!std::equal(std::begin(wanted), std::end(wanted), std::begin(tensor->ne)))
      file_.fail(name, "its shape is " + shape_text(tensor->ne) + ", expected " + shape_text(wanted));
    taken_.insert(tensor->name);
    return *tensor;
  }

  static std::string shape_text(const std::uint64_t (&ne)[4]) {
    std::string text;
    for (std::uint64_t extent : ne) text.append(text.empty() ? "[" : ", ").append(std::to_string(extent));
    return text + "]";
  }

  [[noreturn]] void refuse_type(const bitnet::gguf::Tensor& tensor, const char* expected) const {
    file_.fail(tensor.name, "has type " + std::string(bitnet::type_name(tensor.type)) +
                                ", which the oracle does not run; expected " + expected);
  }

  const bitnet::gguf::File& file_;
  const bitnet::gguf::TernaryOptions& options_;
  std::vector<std::vector<std::byte>>& decoded_;
  std::set<std::string_view> taken_;
};

Weights load(const bitnet::gguf::File& file, const Config& c, const bitnet::gguf::TernaryOptions& options) {
  Weights w;
  Loader load(file, options, w.decoded);
  w.token_embd = load.matrix("token_embd.weight", c.n_embd, c.n_vocab);
  for (std::int64_t i = 0; i < c.n_layer; ++i) {
    const std::string blk = "blk." + std::to_string(i) + ".";
    Layer l;
    l.attn_norm = load.vector(blk + "attn_norm.weight", c.n_embd);
    l.wq = load.projection(blk + "attn_q", c.n_embd, c.q_width());
    l.wk = load.projection(blk + "attn_k", c.n_embd, c.kv_width());
    l.wv = load.projection(blk + "attn_v", c.n_embd, c.kv_width());
    if (c.sub_norms) l.attn_sub_norm = load.vector(blk + "attn_sub_norm.weight", c.q_width());
    l.wo = load.projection(blk + "attn_output", c.q_width(), c.n_embd);
    l.ffn_norm = load.vector(blk + "ffn_norm.weight", c.n_embd);
    l.w_gate = load.projection(blk + "ffn_gate", c.n_embd, c.n_ff);
    l.w_up = load.projection(blk + "ffn_up", c.n_embd, c.n_ff);
    if (c.sub_norms) l.ffn_sub_norm = load.vector(blk + "ffn_sub_norm.weight", c.n_ff);
    l.w_down = load.projection(blk + "ffn_down", c.n_ff, c.n_embd);
    w.layers.push_back(std::move(l));
  }
  w.output_norm = load.vector("output_norm.weight", c.n_embd);
  w.head = load.has("output.weight") ? load.matrix("output.weight", c.n_embd, c.n_vocab) : w.token_embd;

  // theta_i = base^(-2i/n_rot) ([RoPE] section 3.2.2), stretched for longer contexts where the file says so.
  std::vector<double> divisors(c.n_rot / 2, 1.0);
  if (c.architecture != bitnet::Architecture::bitnet && load.has("rope_freqs.weight")) {
    divisors = load.vector("rope_freqs.weight", c.n_rot / 2);
    if (std::ranges::count(divisors, 0.0) > 0)
      file.fail("rope_freqs.weight", "holds a zero, a divisor of angles");
  }
  for (std::int64_t i = 0; i < c.n_rot / 2; ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(c.n_rot);
    w.frequencies.push_back(c.rope_freq_scale * numbers::pow(c.rope_freq_base, exponent) / divisors[i]);
  }
  load.refuse_surplus();

  for (std::uint32_t bits = 0; bits < 65536; ++bits)
    w.f16_values.push_back(static_cast<float>(numbers::f16_value(static_cast<std::uint16_t>(bits))));
  return w;
}

// ---- State ----

// Keys and values of every position so far, rounded to binary16 (each such number is a float).
struct LayerCache {
  std::vector<float> keys;    // (n_past, G*hd), after RoPE
  std::vector<float> values;  // (n_past, G*hd)
};

struct State {
  std::int64_t n_past = 0;         // tokens in the sequence
  std::vector<LayerCache> layers;  // (n_layer)
};

// One row of doubles per token. Scores have H*(position+1) columns, everything else the same number in each
// row.
struct Rows {
  std::vector<std::int64_t> offsets{0};  // (T + 1)
  std::vector<double> values;

  Rows() = default;
  Rows(std::int64_t rows, std::int64_t width) {
    for (std::int64_t t = 0; t < rows; ++t) offsets.push_back(offsets.back() + width);
    values.resize(offsets.back());
  }
  std::int64_t count() const { return static_cast<std::int64_t>(offsets.size()) - 1; }
  double* operator[](std::int64_t t) { return values.data() + offsets[t]; }
  const double* operator[](std::int64_t t) const { return values.data() + offsets[t]; }
};

using Positions = std::span<const std::int32_t>;  // (T)

// Appends rows to a cache, each value rounded to binary16.
void append_f16(const Rows& rows, std::vector<float>& cache) {
  for (double value : rows.values) cache.push_back(static_cast<float>(numbers::to_f16(value)));
}

std::vector<float> rounded_f16(const float* x, std::int64_t n) {
  std::vector<float> y;
  for (std::int64_t k = 0; k < n; ++k) y.push_back(static_cast<float>(numbers::to_f16(x[k])));
  return y;
}

// ---- Ternary products ----

struct Codes {
  std::vector<std::int16_t> q;  // (T, cols), each in [-128, 127]
  std::vector<float> scale;     // (T)
};

// Activations to int8, per token: x~ = Clip(round(x * 127 / max|x|)) ([BitNet] (4), [2B4T] section 2 "absmax
// ... per token"). In binary32, as the reference does it (reference-semantics 3.2), so that integer products
// can be compared with equality. A row that holds NaN or infinity gets the scale NaN or 0, which makes each
// of its products NaN.
Codes quantize(const Rows& x, std::int64_t cols) {
  Codes codes;
  codes.q.reserve(x.count() * cols);
  for (std::int64_t t = 0; t < x.count(); ++t) {
    double greatest = 0.00001;
    for (std::int64_t k = 0; k < cols; ++k) {
      const double magnitude = std::fabs(numbers::to_f32(x[t][k]));
      if (magnitude > greatest || std::isnan(magnitude)) greatest = magnitude;
    }
    const auto scale = static_cast<float>(127.0 / greatest);
    for (std::int64_t k = 0; k < cols; ++k) {
      const float product = static_cast<float>(x[t][k]) * scale;
      const float code = std::clamp(std::nearbyint(product), -128.0f, 127.0f);
      codes.q.push_back(std::isnan(code) ? std::int16_t{0} : static_cast<std::int16_t>(code));
    }
    codes.scale.push_back(scale);
  }
  return codes;
}

// I2_S: 32 bytes hold 128 weights; byte p holds those at p, p+32, p+64, p+96, the first in its highest two
// bits (reference-semantics 2.2). Codes 0, 1, 2 are the weights -1, 0, +1.
void decode_ternary(const std::byte* codes, std::int64_t n, std::int16_t* weights) {
  for (std::int64_t block = 0; block < n / 128; ++block) {
    std::uint8_t bytes[32];
    std::memcpy(bytes, codes + 32 * block, 32);
    for (int quarter = 0; quarter < 4; ++quarter)
      for (int p = 0; p < 32; ++p)
        weights[128 * block + 32 * quarter + p] =
            static_cast<std::int16_t>(((bytes[p] >> (6 - 2 * quarter)) & 3) - 1);
  }
}

// Exact for n <= 2^23: no term exceeds 2 * 128.
std::int32_t integer_dot(const std::int16_t* a, const std::int16_t* b, std::int64_t n) {
  std::int32_t sum = 0;
  for (std::int64_t k = 0; k < n; ++k)
    sum += static_cast<std::int32_t>(a[k]) * static_cast<std::int32_t>(b[k]);
  return sum;
}

// Four partial sums, only to keep the adder busy.
double dot(const float* w, const double* x, std::int64_t n) {
  double sum[4] = {0, 0, 0, 0};
  std::int64_t k = 0;
  for (; k + 4 <= n; k += 4)
    for (int j = 0; j < 4; ++j) sum[j] += static_cast<double>(w[k + j]) * x[k + j];
  for (; k < n; ++k) sum[0] += static_cast<double>(w[k]) * x[k];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

}  // namespace

// ---- Embedding and head ----

std::uint16_t word(const std::byte* p) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, p, 2);
  return bits;
}

// Q8_0: 34 bytes hold 32 weights, a binary16 scale and their int8 codes.
void decode_q8_0(const std::byte* row, std::int64_t n, float* weights) {
  for (std::int64_t k = 0; k < n; ++k) {
    const std::byte* block = row + k / 32 * 34;
    const auto code = static_cast<std::int8_t>(block[2 + k % 32]);
    weights[k] = static_cast<float>(numbers::f16_value(word(block)) * code);
  }
}

// Q4_0: 18 bytes hold 32 weights, a binary16 scale and codes of four bits: those of the first 16 in the lower
// halves of 16 bytes.
void decode_q4_0(const std::byte* row, std::int64_t n, float* weights) {
  for (std::int64_t k = 0; k < n; ++k) {
    const std::byte* block = row + k / 32 * 18;
    const auto both = std::to_integer<int>(block[2 + k % 16]);
    const int code = k % 32 < 16 ? both % 16 : both / 16;
    weights[k] = static_cast<float>(numbers::f16_value(word(block)) * (code - 8));
  }
}

// Q5_0: 22 bytes: the same with the fifth bits of the codes in 32 bits after the scale.
void decode_q5_0(const std::byte* row, std::int64_t n, float* weights) {
  for (std::int64_t k = 0; k < n; ++k) {
    const std::byte* block = row + k / 32 * 22;
    const auto both = std::to_integer<int>(block[6 + k % 16]);
    const int fifth = std::to_integer<int>(block[2 + k % 32 / 8]) >> (k % 8) & 1;
    const int code = (k % 32 < 16 ? both % 16 : both / 16) + 16 * fifth;
    weights[k] = static_cast<float>(numbers::f16_value(word(block)) * (code - 16));
  }
}

// Q4_K: 144 bytes hold 256 weights: binary16 scales of scales and offsets, these with six bits each for 32
// weights in 12 bytes, codes of four bits. d scale code - m offset, which is exact in double, is rounded
// once.
void decode_q4_k(const std::byte* row, std::int64_t n, float* weights) {
  for (std::int64_t k = 0; k < n; ++k) {
    const std::byte* block = row + k / 256 * 144;
    const auto six = [&](std::int64_t i) { return std::to_integer<int>(block[4 + i]); };
    const std::int64_t part = k % 256 / 32;
    const int scale = part < 4 ? six(part) % 64 : six(part + 4) % 16 + six(part - 4) / 64 * 16;
    const int offset = part < 4 ? six(part + 4) % 64 : six(part + 4) / 16 + six(part) / 64 * 16;
    const auto both = std::to_integer<int>(block[16 + part / 2 * 32 + k % 32]);
    const int code = part % 2 == 0 ? both % 16 : both / 16;
    weights[k] = static_cast<float>(numbers::f16_value(word(block)) * scale * code -
                                    numbers::f16_value(word(block + 2)) * offset);
  }
}

// Q6_K: 210 bytes hold 256 weights: 128 bytes with the lower four bits of each, 64 with the upper two, 16
// int8 scales for 16 weights each, and the binary16 scale of these (reference-semantics 6.11). The product
// has at most 24 bits.
void decode_q6_k(const std::byte* row, std::int64_t n, float* weights) {
  for (std::int64_t e = 0; e < n; ++e) {
    const std::byte* block = row + e / 256 * 210;
    const std::int64_t half = e % 256 / 128, quarter = e % 128 / 32, place = e % 32;
    const auto lower = std::to_integer<int>(block[64 * half + 32 * (quarter % 2) + place]);
    const auto upper = std::to_integer<int>(block[128 + 32 * half + place]);
    const int nibble = quarter < 2 ? lower % 16 : lower / 16;
    const int value = nibble + 16 * ((upper >> (2 * quarter)) % 4) - 32;
    const auto scale = static_cast<std::int8_t>(block[192 + e % 256 / 16]);
    weights[e] = static_cast<float>(numbers::f16_value(word(block + 208)) * scale * value);
  }
}

// What a Q6_K head sees of its input: per 256 numbers int8 codes, in binary32 as the reference does it
// (reference-semantics 6.11), times what one code is worth. Where that is infinite there are no codes.
void round_to_blocks(double* x, std::int64_t n) {
  for (double* block = x; block < x + n; block += 256) {
    float greatest = 0;  // with its sign
    for (int k = 0; k < 256; ++k) {
      const auto value = static_cast<float>(block[k]);
      if (std::fabs(value) > std::fabs(greatest) || std::isnan(value)) greatest = value;
    }
    const float inverse = -127.0f / greatest;
    const bool none = greatest == 0 || std::isinf(inverse);
    for (int k = 0; k < 256; ++k) {
      const float code = std::min(127.0f, std::nearbyint(inverse * static_cast<float>(block[k])));
      block[k] = none ? 0 : static_cast<double>(1.0f / inverse) * static_cast<double>(code);
    }
  }
}

// ---- The model ----

struct Oracle::Impl {
  Impl(const bitnet::gguf::File& file, const Options& given)
      : c(bitnet::read_config(file)),
        w(load(file, c, given.ternary)),
        options(given),
        pool(given.threads > 0 ? given.threads : bitnet::physical_cores()) {
    s.layers.resize(c.n_layer);
  }

  Config c;
  Weights w;
  State s;
  Options options;
  bitnet::ThreadPool pool;  // rows and heads are shared out; each sum is made by one thread

  // -- Operations: rows in, rows out --

  // Row `token` of the embedding: (T) -> (T, d).
  Rows embed(std::span<const std::int32_t> tokens) const {
    Rows y(std::ssize(tokens), c.n_embd);
    for (std::int64_t t = 0; t < y.count(); ++t) {
      std::vector<float> row(c.n_embd);
      decode_row(w.token_embd, tokens[t], row.data());
      std::copy(row.begin(), row.end(), y[t]);
    }
    return y;
  }

  // RMSNorm: y = x / sqrt(mean(x^2) + eps) * g.
  Rows rms_norm(const Rows& x, const std::vector<double>& g) const {
    const auto n = std::ssize(g);
    Rows y(x.count(), n);
    for (std::int64_t t = 0; t < x.count(); ++t) {
      double sum = 0;
      for (std::int64_t k = 0; k < n; ++k) sum += x[t][k] * x[t][k];
      const double root = std::sqrt(sum / static_cast<double>(n) + c.rms_eps);
      for (std::int64_t k = 0; k < n; ++k) y[t][k] = x[t][k] / root * g[k];
    }
    return y;
  }

  // BitLinear: y = (W~ x~) * gamma * max|x| / 127 ([BitNet] (11), [b1.58] section 2): (T, cols) -> (T, rows).
  // The integer product is exact; the scales and the bias are applied in double.
  Rows bit_linear(const Ternary& m, const Rows& x) {
    const Codes codes = quantize(x, m.cols);
    const std::int64_t tokens = x.count();
    Rows y(tokens, m.rows);
    const std::int64_t stride = tokens + 8;  // keeps each thread's sums on cache lines of their own
    std::vector<std::int64_t> sums(pool.threads() * stride);  // (threads, T)
    pool.parallel_for(m.rows, 16, [&](std::int64_t begin, std::int64_t end, int worker) {
      constexpr std::int64_t kSpan = 4096;  // weights decoded at a time
      std::int16_t weights[kSpan];
      std::int64_t* sum = sums.data() + worker * stride;
      for (std::int64_t r = begin; r < end; ++r) {
        std::fill_n(sum, tokens, 0);
        for (std::int64_t k = 0; k < m.cols; k += kSpan) {
          const std::int64_t n = std::min(kSpan, m.cols - k);
          decode_ternary(m.codes + (r * m.cols + k) / 4, n, weights);
          for (std::int64_t t = 0; t < tokens; ++t)
            sum[t] += integer_dot(weights, &codes.q[t * m.cols + k], n);
        }
        for (std::int64_t t = 0; t < tokens; ++t)
          y[t][r] = static_cast<double>(sum[t]) / static_cast<double>(codes.scale[t]) * m.scale;
        for (std::int64_t t = 0; t < tokens && !m.bias.empty(); ++t) y[t][r] += m.bias[r];
      }
    });
    return y;
  }

  // Rotary embedding ([RoPE] (34)): channels (x0, x1) of a pair turn by position * theta_i.
  Rows rope(Rows x, std::int64_t heads, Positions positions) const {
    const std::int64_t half = c.n_rot / 2;
    const bool neox = c.rope_pairing == bitnet::RopePairing::neox;
    for (std::int64_t t = 0; t < x.count(); ++t)
      for (std::int64_t i = 0; i < half; ++i) {
        const auto [sine, cosine] = numbers::sine_cosine(positions[t] * w.frequencies[i]);
        for (std::int64_t h = 0; h < heads; ++h) {
          double* head = x[t] + h * c.head_dim;
          double& x0 = head[neox ? i : 2 * i];
          double& x1 = head[neox ? i + half : 2 * i + 1];
          const double turned = x0 * cosine - x1 * sine;
          x1 = x0 * sine + x1 * cosine;
          x0 = turned;
        }
      }
    return x;
  }

  // q k^T with q rounded to binary16: (T, H*hd) -> (T, H*(p+1)). Query head h reads KV head h / (H/G).
  Rows scores(const Rows& q, const std::vector<float>& keys, Positions positions) {
    Rows y = score_rows(positions);
    for_each_head(q.count(), [&](std::int64_t t, std::int64_t h) {
      const std::int64_t cells = positions[t] + 1;
      const std::int64_t g = h / (c.n_head / c.n_head_kv);
      std::vector<double> query(c.head_dim);
      for (std::int64_t d = 0; d < c.head_dim; ++d) query[d] = numbers::to_f16(q[t][h * c.head_dim + d]);
      for (std::int64_t cell = 0; cell < cells; ++cell)
        y[t][h * cells + cell] = dot(&keys[cell * c.kv_width() + g * c.head_dim], query.data(), c.head_dim);
    });
    return y;
  }

  // softmax(scores / sqrt(hd)) of each head over its cells.
  Rows soft_max(const Rows& kq, Positions positions) {
    Rows y = score_rows(positions);
    const double root = std::sqrt(static_cast<double>(c.head_dim));
    for_each_head(kq.count(), [&](std::int64_t t, std::int64_t h) {
      const std::int64_t cells = positions[t] + 1;
      const double* in = kq[t] + h * cells;
      double* out = y[t] + h * cells;
      const double greatest = *std::max_element(in, in + cells);
      double sum = 0;
      for (std::int64_t cell = 0; cell < cells; ++cell) {
        out[cell] = numbers::exp((in[cell] - greatest) / root);
        sum += out[cell];
      }
      for (std::int64_t cell = 0; cell < cells; ++cell) out[cell] /= sum;
    });
    return y;
  }

  // Probabilities, rounded to binary16, times values: (T, H*(p+1)) -> (T, H*hd).
  Rows context(const Rows& probabilities, const std::vector<float>& values, Positions positions) {
    Rows y(probabilities.count(), c.q_width());
    for_each_head(probabilities.count(), [&](std::int64_t t, std::int64_t h) {
      const std::int64_t cells = positions[t] + 1;
      const std::int64_t g = h / (c.n_head / c.n_head_kv);
      double* out = y[t] + h * c.head_dim;
      for (std::int64_t cell = 0; cell < cells; ++cell) {
        const double probability = numbers::to_f16(probabilities[t][h * cells + cell]);
        const float* value = &values[cell * c.kv_width() + g * c.head_dim];
        for (std::int64_t d = 0; d < c.head_dim; ++d) out[d] += probability * static_cast<double>(value[d]);
      }
    });
    return y;
  }

  // ReLU^2 in [2B4T] section 2, SiLU (of SwiGLU) in [b1.58] section 2 "LLaMA-alike Components".
  Rows activate(Rows x) const {
    for (double& v : x.values) {
      if (c.activation == bitnet::Activation::relu_squared)
        v = v < 0 ? 0 : v * v;
      else
        v = v / (1 + numbers::exp(-v));
    }
    return x;
  }

  static Rows add(Rows a, const Rows& b) {
    for (std::size_t i = 0; i < a.values.size(); ++i) a.values[i] += b.values[i];
    return a;
  }

  static Rows multiply(Rows a, const Rows& b) {
    for (std::size_t i = 0; i < a.values.size(); ++i) a.values[i] *= b.values[i];
    return a;
  }

  // Logits: (T, d) -> (T, V). The input is rounded to what the type of the head's weights is multiplied with.
  Rows head(Rows x) {
    if (w.head.type == TensorType::i2_s) return bit_linear(w.head.ternary(), x);
    for (double& v : x.values) v = w.head.type == TensorType::f16 ? numbers::to_f16(v) : numbers::to_f32(v);
    if (w.head.type == TensorType::q6_k) round_to_blocks(x.values.data(), std::ssize(x.values));
    Rows y(x.count(), c.n_vocab);
    std::vector<float> rows(pool.threads() * c.n_embd);  // (threads, d)
    pool.parallel_for(c.n_vocab, 16, [&](std::int64_t begin, std::int64_t end, int worker) {
      float* row = rows.data() + worker * c.n_embd;
      for (std::int64_t r = begin; r < end; ++r) {
        decode_row(w.head, r, row);
        for (std::int64_t t = 0; t < x.count(); ++t) y[t][r] = dot(row, x[t], c.n_embd);
      }
    });
    return y;
  }

  // -- The forward pass --

  static bool wanted(const Hook& hook, TapId id) { return hook.wants && hook.wants(id); }
  // Every value passes here between the operation that makes it and those that read it.
  Rows tap(const Hook& hook, TapId id, Rows rows) const {
    if (options.round_taps)
      for (double& value : rows.values) value = numbers::to_f32(value);
    if (wanted(hook, id)) hook.show(id, rows.offsets, rows.values);
    return rows;
  }

  // x: the residual stream.
  Rows run_layer(int i, Rows x, LayerCache& cache, Positions positions, const Hook& hook) {
    const Layer& layer = w.layers[i];

    // Attention. [2B4T] section 2: RMSNorm before each branch; Q, K, V and output projections are BitLinear.
    const Rows a = tap(hook, {Tap::attn_norm, i}, rms_norm(x, layer.attn_norm));
    Rows q = tap(hook, {Tap::q_proj, i}, bit_linear(layer.wq, a));
    q = tap(hook, {Tap::q_rope, i}, rope(std::move(q), c.n_head, positions));
    Rows k = tap(hook, {Tap::k_proj, i}, bit_linear(layer.wk, a));
    k = tap(hook, {Tap::k_rope, i}, rope(std::move(k), c.n_head_kv, positions));
    const Rows v = tap(hook, {Tap::v_proj, i}, bit_linear(layer.wv, a));
    append_f16(k, cache.keys);
    append_f16(v, cache.values);

    // softmax(Q K^T / sqrt(hd)) V: each position sees itself and those before it.
    const Rows kq = tap(hook, {Tap::kq, i}, scores(q, cache.keys, positions));
    const Rows probabilities = tap(hook, {Tap::kq_soft_max, i}, soft_max(kq, positions));
    Rows attended = tap(hook, {Tap::attn_ctx, i}, context(probabilities, cache.values, positions));

    // SubLN ([2B4T] section 2 "subln"): a second norm before the output projection.
    if (c.sub_norms) attended = tap(hook, {Tap::attn_sub_norm, i}, rms_norm(attended, layer.attn_sub_norm));
    Rows o = tap(hook, {Tap::attn_out, i}, bit_linear(layer.wo, attended));
    x = tap(hook, {Tap::ffn_inp, i}, add(std::move(o), x));

    // Feed-forward: down(subln(act(gate(x)) * up(x))).
    const Rows b = tap(hook, {Tap::ffn_norm, i}, rms_norm(x, layer.ffn_norm));
    Rows gate = tap(hook, {Tap::ffn_gate, i}, bit_linear(layer.w_gate, b));
    const Rows up = tap(hook, {Tap::ffn_up, i}, bit_linear(layer.w_up, b));
    gate = tap(hook, {Tap::ffn_act, i}, activate(std::move(gate)));
    Rows hidden = tap(hook, {Tap::ffn_par, i}, multiply(std::move(gate), up));
    if (c.sub_norms) hidden = tap(hook, {Tap::ffn_sub_norm, i}, rms_norm(hidden, layer.ffn_sub_norm));
    Rows down = tap(hook, {Tap::ffn_down, i}, bit_linear(layer.w_down, hidden));
    return tap(hook, {Tap::l_out, i}, add(std::move(down), x));
  }

  void forward(std::span<const std::int32_t> tokens, const Hook& hook) {
    // What an evaluation that threw has left in the cache is not of the sequence.
    for (LayerCache& cache : s.layers) {
      cache.keys.resize(s.n_past * c.kv_width());
      cache.values.resize(s.n_past * c.kv_width());
    }
    std::vector<std::int32_t> positions;
    for (std::size_t t = 0; t < tokens.size(); ++t)
      positions.push_back(static_cast<std::int32_t>(s.n_past + t));

    Rows x = tap(hook, {Tap::inp_embd, -1}, embed(tokens));
    for (int i = 0; i < c.n_layer; ++i) x = run_layer(i, std::move(x), s.layers[i], positions, hook);

    // The final norm and the head. They are half of a small model's work, so they wait until someone looks.
    if (wanted(hook, {Tap::result_norm, -1}) || wanted(hook, {Tap::result_output, -1})) {
      x = tap(hook, {Tap::result_norm, -1}, rms_norm(x, w.output_norm));
      if (wanted(hook, {Tap::result_output, -1})) tap(hook, {Tap::result_output, -1}, head(std::move(x)));
    }
    s.n_past += std::ssize(tokens);
  }

  // One layer of `forward` on given inputs.
  void evaluate_layer(const bitnet::LayerInputs& in, const Hook& hook) {
    const std::int64_t past = in.positions[0] * c.kv_width();
    LayerCache cache{rounded_f16(in.keys, past), rounded_f16(in.values, past)};
    Rows x(std::ssize(in.positions), c.n_embd);
    std::copy_n(in.input, std::ssize(x.values), x.values.begin());
    run_layer(in.layer, std::move(x), cache, in.positions, hook);
  }

  // One operation of `forward` on given inputs.
  Rows evaluate(const bitnet::Operation& op) {
    const bitnet::OperationInputs inputs = bitnet::inputs_of(c, op.output);
    const Positions p = op.positions;
    const auto rows_of = [&](const std::optional<TapId>& id, const float* data) {
      Rows rows;
      if (!id) return rows;
      for (std::int32_t position : p)
        rows.offsets.push_back(rows.offsets.back() + bitnet::tap_width(c, id->tap, position));
      rows.values.assign(data, data + rows.offsets.back());
      return rows;
    };
    Rows a = rows_of(inputs.a, op.a);
    const Rows b = rows_of(inputs.b, op.b);
    std::vector<float> history;  // as the cache would hold it
    if (inputs.history) history = rounded_f16(op.history, (p.back() + 1) * c.kv_width());

    static const Layer kNone;
    const Layer& layer = op.output.layer >= 0 ? w.layers[op.output.layer] : kNone;
    // clang-format off
    switch (op.output.tap) {
      case Tap::inp_embd: return embed(op.tokens);
      case Tap::attn_norm: return rms_norm(a, layer.attn_norm);
      case Tap::q_proj: return bit_linear(layer.wq, a);
      case Tap::q_rope: return rope(std::move(a), c.n_head, p);
      case Tap::k_proj: return bit_linear(layer.wk, a);
      case Tap::k_rope: return rope(std::move(a), c.n_head_kv, p);
      case Tap::v_proj: return bit_linear(layer.wv, a);
      case Tap::kq: return scores(a, history, p);
      case Tap::kq_soft_max: return soft_max(a, p);
      case Tap::attn_ctx: return context(a, history, p);
      case Tap::attn_sub_norm: return rms_norm(a, layer.attn_sub_norm);
      case Tap::attn_out: return bit_linear(layer.wo, a);
      case Tap::ffn_inp: return add(std::move(a), b);
      case Tap::ffn_norm: return rms_norm(a, layer.ffn_norm);
      case Tap::ffn_gate: return bit_linear(layer.w_gate, a);
      case Tap::ffn_up: return bit_linear(layer.w_up, a);
      case Tap::ffn_act: return activate(std::move(a));
      case Tap::ffn_par: return multiply(std::move(a), b);
      case Tap::ffn_sub_norm: return rms_norm(a, layer.ffn_sub_norm);
      case Tap::ffn_down: return bit_linear(layer.w_down, a);
      case Tap::l_out: return add(std::move(a), b);
      case Tap::result_norm: return rms_norm(a, w.output_norm);
      case Tap::result_output: return head(std::move(a));
    }
    // clang-format on
    return {};
  }

  // -- What the operations share --

  // One row of the embedding or head, exactly.
  void decode_row(const Matrix& m, std::int64_t r, float* row) const {
    switch (m.type) {
      case TensorType::f16:
        for (std::int64_t k = 0; k < m.cols; ++k) row[k] = w.f16_values[word(m.data + (r * m.cols + k) * 2)];
        break;
      case TensorType::bf16:  // the upper half of a binary32 number
        for (std::int64_t k = 0; k < m.cols; ++k)
          row[k] = std::bit_cast<float>(std::uint32_t{word(m.data + (r * m.cols + k) * 2)} << 16);
        break;
      case TensorType::q8_0:
        decode_q8_0(m.data + r * m.cols / 32 * 34, m.cols, row);
        break;
      case TensorType::q6_k:
        decode_q6_k(m.data + r * m.cols / 256 * 210, m.cols, row);
        break;
      case TensorType::q5_0:
        decode_q5_0(m.data + r * m.cols / 32 * 22, m.cols, row);
        break;
      case TensorType::q4_k:
        decode_q4_k(m.data + r * m.cols / 256 * 144, m.cols, row);
        break;
      case TensorType::q4_0:
        decode_q4_0(m.data + r * m.cols / 32 * 18, m.cols, row);
        break;
      case TensorType::i2_s: {
        std::vector<std::int16_t> weights(m.cols);
        decode_ternary(m.data + r * m.cols / 4, m.cols, weights.data());
        for (std::int64_t k = 0; k < m.cols; ++k) row[k] = static_cast<float>(m.scale * weights[k]);
        break;
      }
      default:
        std::memcpy(row, m.data + r * m.cols * 4, m.cols * 4);
    }
  }

  // (T, H*(p+1)), head by head cells 0 .. p.
  Rows score_rows(Positions positions) const {
    Rows y;
    for (std::int64_t position : positions) y.offsets.push_back(y.offsets.back() + c.n_head * (position + 1));
    y.values.resize(y.offsets.back());
    return y;
  }

  template <class F>
  void for_each_head(std::int64_t tokens, F&& f) {
    pool.parallel_for(tokens * c.n_head, 1, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t i = begin; i < end; ++i) f(i / c.n_head, i % c.n_head);
    });
  }

  void check_tokens(std::span<const std::int32_t> tokens) const {
    for (std::int32_t token : tokens)
      if (token < 0 || token >= c.n_vocab)
        throw bitnet::InputError("token " + std::to_string(token) + " is not of the vocabulary (" +
                                 std::to_string(c.n_vocab) + " tokens)");
  }
};

Oracle::Oracle(const bitnet::gguf::File& file, const Options& options)
    : impl_(std::make_unique<Impl>(file, options)) {}
Oracle::Oracle(Oracle&&) noexcept = default;
Oracle& Oracle::operator=(Oracle&&) noexcept = default;
Oracle::~Oracle() = default;

const Config& Oracle::config() const {
  return impl_->c;
}
int Oracle::threads() const {
  return impl_->pool.threads();
}
std::int64_t Oracle::position() const {
  return impl_->s.n_past;
}
void Oracle::reset() {
  impl_->s.n_past = 0;
}

void Oracle::forward(std::span<const std::int32_t> tokens, const Hook& hook) {
  impl_->check_tokens(tokens);
  if (position() + std::ssize(tokens) > config().n_ctx)
    throw bitnet::InputError("the model's context holds " + std::to_string(config().n_ctx) + " tokens, not " +
                             std::to_string(position() + std::ssize(tokens)));
  if (!tokens.empty()) impl_->forward(tokens, hook);
}

std::vector<double> Oracle::evaluate(const bitnet::Operation& operation) {
  bitnet::check(config(), operation);
  if (operation.positions.empty()) return {};
  return impl_->evaluate(operation).values;
}

void Oracle::evaluate_layer(const bitnet::LayerInputs& inputs, const Hook& hook) {
  bitnet::check(config(), inputs);
  if (!inputs.positions.empty()) impl_->evaluate_layer(inputs, hook);
}

}  // namespace crossval
