#pragma once
// Test support: for every operation, one comparison of a kernel with the scalar one on a described case, in
// every bit, between forbidden pages. kernels.inc calls check_<operation>, so an operation without a check
// does not build.

#include <algorithm>
#include <array>
#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "engine/kernels/guarded.h"
#include "engine/kernels/kernels.h"
#include "engine/kernels/test_values.h"

namespace bitnet::testing_support {

/// What a check is given. Each check says what it makes of `size`.
struct Case {
  std::int64_t size[4] = {};  // >= 0
  Values values = Values::ordinary;
  Edge edge = Edge::end;
  std::uint64_t seed = 0;
};

inline std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << "{{" << c.size[0] << ", " << c.size[1] << ", " << c.size[2] << ", " << c.size[3]
             << "}, Values::" << name_of(c.values) << ", Edge::" << name_of(c.edge) << ", " << c.seed << "u}";
}

template <class T>
Guarded<T> random_buffer(std::int64_t n, const Case& c, Random& random) {
  Guarded<T> buffer(n, c.edge);
  fill(buffer.begin(), buffer.end(), c.values, random);
  return buffer;
}

template <class T>
Guarded<T> copy_of(const Guarded<T>& other, Edge edge) {
  Guarded<T> copy(other.size(), edge);
  std::copy(other.begin(), other.end(), copy.begin());
  return copy;
}

/// Values without infinity and NaN, for contracts that leave those out.
inline Values finite(Values values) {
  return values == Values::any ? Values::any_finite : values;
}

/// size: elements.
inline std::string check_quantize_row(decltype(Kernels::quantize_row) kernel,
                                      decltype(Kernels::quantize_row) scalar, Case c) {
  Random random(c.seed);
  c.values = finite(c.values);
  const Guarded<float> x = random_buffer<float>(c.size[0], c, random);
  Guarded<std::int8_t> expected(x.size(), c.edge);
  Guarded<std::int8_t> actual(x.size(), c.edge);
  Guarded<float> scales[2] = {Guarded<float>(1, c.edge), Guarded<float>(1, c.edge)};
  Guarded<std::int32_t> sums[2] = {Guarded<std::int32_t>(1, c.edge), Guarded<std::int32_t>(1, c.edge)};
  scalar(x.data(), x.size(), expected.data(), scales[0].data(), sums[0].data());
  kernel(x.data(), x.size(), actual.data(), scales[1].data(), sums[1].data());
  return difference("codes", expected.data(), actual.data(), x.size()) +
         difference("scale", scales[0].data(), scales[1].data(), 1) +
         difference("sum", sums[0].data(), sums[1].data(), 1);
}

/// size: blocks of 128 columns, weight rows, activation rows, what splits the weight rows and pads the
/// strides.
inline std::string check_ternary_matmul(decltype(Kernels::ternary_matmul) kernel,
                                        decltype(Kernels::ternary_matmul) scalar, const Case& c) {
  Random random(c.seed);
  const std::int64_t cols = 128 * (c.size[0] + 1);
  const std::int64_t rows = c.size[1] + 1;
  const std::int64_t tokens = c.size[2];
  const std::int64_t stride = cols + c.size[3] % 3;  // activations at odd addresses too
  const std::int64_t y_stride = rows + c.size[3] % 2;
  const std::int64_t begin = c.size[3] % rows;
  const std::int64_t end = begin + (c.size[3] / 2) % (rows - begin + 1);
  Guarded<std::uint8_t> codes(rows * cols / 4, c.edge);
  // Saturation: every code and activation at its limit, in one sign or in both. Code 3 counts as weight +2.
  const bool extreme = c.values == Values::huge || c.values == Values::any_finite;
  for (std::uint8_t& byte : codes) {
    byte = static_cast<std::uint8_t>(c.values == Values::huge ? 0xaa : random.bits());
    if (c.values == Values::any) byte = 0xff;
    if (c.values == Values::zero) byte = 0x55;
    if (c.values == Values::ordinary) {
      byte = 0;
      for (int i = 0; i < 4; ++i) byte = static_cast<std::uint8_t>(byte << 2 | random.below(3));
    }
  }
  Guarded<std::int8_t> x(tokens == 0 ? 0 : (tokens - 1) * stride + cols, c.edge);
  Guarded<float> scales(tokens, c.edge);
  Guarded<std::int32_t> sums(tokens, c.edge);
  for (std::int64_t t = 0; t < tokens; ++t) {
    std::int32_t sum = 0;
    const bool negative = random.below(2) != 0;
    for (std::int64_t k = 0; k < cols; ++k) {
      auto q = static_cast<std::int8_t>(random.below(255) - 127);
      if (extreme) q = static_cast<std::int8_t>(negative ? -128 : 127);
      if (c.values == Values::any) q = static_cast<std::int8_t>(random.below(8) == 0 ? 127 : -128);
      if (c.values == Values::tiny) q = static_cast<std::int8_t>(random.below(3) - 1);
      x[t * stride + k] = q;
      sum += q;
    }
    scales[t] = 0.5f + std::abs(random.unit()) * (c.values == Values::zero ? 1.27e7f : 100.0f);
    sums[t] = sum;
  }
  const TernaryMatrix w = {codes.data(), rows, cols, 1.0f + random.unit()};
  const QuantizedRows q = {x.data(), scales.data(), sums.data(), tokens, stride};
  Guarded<float> expected(tokens * y_stride, c.edge);
  Guarded<float> actual(tokens * y_stride,
                        c.edge);  // both filled alike: what must not be written is compared too
  scalar(w, begin, end, q, expected.data(), y_stride);
  kernel(w, begin, end, q, actual.data(), y_stride);
  return difference("y", expected.data(), actual.data(), expected.size());
}

/// size: columns (or blocks of them), weight rows, activation rows, what splits the weight rows and pads the
/// strides. W: type of the weights, T: of the activations.
template <class W, class T, class Kernel>
std::string check_matmul(Kernel kernel, Kernel scalar, const Case& c) {
  Random random(c.seed);
  const std::int64_t n = c.size[0] * elements_in<W>;
  const std::int64_t rows = c.size[1] + 1;
  const std::int64_t tokens = c.size[2];
  const std::int64_t x_stride = n + c.size[3] % 3;
  const std::int64_t y_stride = rows + c.size[3] % 2;
  const std::int64_t begin = c.size[3] % rows;
  const std::int64_t end = begin + (c.size[3] / 2) % (rows - begin + 1);
  const Guarded<W> w = random_buffer<W>(rows * c.size[0], c, random);
  const Guarded<T> x = random_buffer<T>(tokens == 0 ? 0 : (tokens - 1) * x_stride + n, c, random);
  Guarded<float> expected(tokens * y_stride, c.edge);
  Guarded<float> actual(tokens * y_stride, c.edge);
  scalar(w.data(), n, begin, end, x.data(), tokens, x_stride, expected.data(), y_stride);
  kernel(w.data(), n, begin, end, x.data(), tokens, x_stride, actual.data(), y_stride);
  return difference("y", expected.data(), actual.data(), expected.size());
}

inline std::string check_matmul_f16(decltype(Kernels::matmul_f16) kernel,
                                    decltype(Kernels::matmul_f16) scalar, const Case& c) {
  return check_matmul<f16, f16>(kernel, scalar, c);
}

inline std::string check_matmul_f32(decltype(Kernels::matmul_f32) kernel,
                                    decltype(Kernels::matmul_f32) scalar, const Case& c) {
  return check_matmul<float, float>(kernel, scalar, c);
}

inline std::string check_matmul_bf16(decltype(Kernels::matmul_bf16) kernel,
                                     decltype(Kernels::matmul_bf16) scalar, const Case& c) {
  return check_matmul<bf16, float>(kernel, scalar, c);
}

inline std::string check_matmul_q8_0(decltype(Kernels::matmul_q8_0) kernel,
                                     decltype(Kernels::matmul_q8_0) scalar, const Case& c) {
  return check_matmul<q8_0::Block, float>(kernel, scalar, c);
}

inline std::string check_matmul_q5_0(decltype(Kernels::matmul_q5_0) kernel,
                                     decltype(Kernels::matmul_q5_0) scalar, const Case& c) {
  return check_matmul<q5_0::Block, float>(kernel, scalar, c);
}

inline std::string check_matmul_q4_k(decltype(Kernels::matmul_q4_k) kernel,
                                     decltype(Kernels::matmul_q4_k) scalar, const Case& c) {
  return check_matmul<q4_k::Block, float>(kernel, scalar, c);
}

inline std::string check_matmul_q4_0(decltype(Kernels::matmul_q4_0) kernel,
                                     decltype(Kernels::matmul_q4_0) scalar, const Case& c) {
  return check_matmul<q4_0::Block, float>(kernel, scalar, c);
}

/// size: blocks.
inline std::string check_quantize_blocks(decltype(Kernels::quantize_blocks) kernel,
                                         decltype(Kernels::quantize_blocks) scalar, Case c) {
  Random random(c.seed);
  c.values = finite(c.values);
  const Guarded<float> x = random_buffer<float>(c.size[0] * q6_k::Block::kElements, c, random);
  Guarded<ActivationBlock> expected(c.size[0], c.edge);
  Guarded<ActivationBlock> actual(c.size[0], c.edge);
  scalar(x.data(), x.size(), expected.data());
  kernel(x.data(), x.size(), actual.data());
  std::string text;
  for (std::int64_t b = 0; b < c.size[0]; ++b) {
    const ActivationBlock& e = expected[b];
    const ActivationBlock& a = actual[b];
    text += difference("codes", e.codes, a.codes, std::ssize(e.codes)) +
            difference("offsets", e.offsets, a.offsets, std::ssize(e.offsets)) +
            difference("scale", &e.scale, &a.scale, 1);
  }
  return text;
}

/// size: blocks, weight rows, activation rows, what splits the weight rows and pads the stride.
inline std::string check_matmul_q6_k(decltype(Kernels::matmul_q6_k) kernel,
                                     decltype(Kernels::matmul_q6_k) scalar, const Case& c) {
  Random random(c.seed);
  const std::int64_t n = c.size[0] * q6_k::Block::kElements;
  const std::int64_t rows = c.size[1] + 1;
  const std::int64_t tokens = c.size[2];
  const std::int64_t y_stride = rows + c.size[3] % 2;
  const std::int64_t begin = c.size[3] % rows;
  const std::int64_t end = begin + (c.size[3] / 2) % (rows - begin + 1);
  const Guarded<q6_k::Block> w = random_buffer<q6_k::Block>(rows * c.size[0], c, random);
  Guarded<ActivationBlock> x(tokens * c.size[0], c.edge);
  // Saturation: with all weights at one limit too, every lane's sum is as great as it gets.
  const bool extreme = c.values == Values::huge;
  for (ActivationBlock& block : x) {
    for (std::int8_t& q : block.codes) q = static_cast<std::int8_t>(extreme ? -127 : random.below(255) - 127);
    for (int k = 0; k < std::ssize(block.codes); k += 4) {
      const std::int8_t* q = block.codes + k;
      block.offsets[k / 2] = static_cast<std::int16_t>(-32 * (q[0] + q[1] + q[2] + q[3]));
      block.offsets[k / 2 + 1] = 0;
    }
    block.scale = draw_f32(c.values, random);
  }
  Guarded<float> expected(tokens * y_stride, c.edge);
  Guarded<float> actual(tokens * y_stride, c.edge);
  scalar(w.data(), n, begin, end, x.data(), tokens, expected.data(), y_stride);
  kernel(w.data(), n, begin, end, x.data(), tokens, actual.data(), y_stride);
  return difference("y", expected.data(), actual.data(), expected.size());
}

/// size: columns, or blocks of them.
template <class T, class Kernel>
std::string check_decode(Kernel kernel, Kernel scalar, const Case& c) {
  Random random(c.seed);
  const std::int64_t n = c.size[0] * elements_in<T>;
  const Guarded<T> row = random_buffer<T>(c.size[0], c, random);
  Guarded<float> expected(n, c.edge);
  Guarded<float> actual(n, c.edge);
  scalar(row.data(), n, expected.data());
  kernel(row.data(), n, actual.data());
  return difference("y", expected.data(), actual.data(), n);
}

inline std::string check_decode_bf16(decltype(Kernels::decode_bf16) kernel,
                                     decltype(Kernels::decode_bf16) scalar, const Case& c) {
  return check_decode<bf16>(kernel, scalar, c);
}

inline std::string check_decode_q8_0(decltype(Kernels::decode_q8_0) kernel,
                                     decltype(Kernels::decode_q8_0) scalar, const Case& c) {
  return check_decode<q8_0::Block>(kernel, scalar, c);
}

inline std::string check_decode_q5_0(decltype(Kernels::decode_q5_0) kernel,
                                     decltype(Kernels::decode_q5_0) scalar, const Case& c) {
  return check_decode<q5_0::Block>(kernel, scalar, c);
}

inline std::string check_decode_q4_k(decltype(Kernels::decode_q4_k) kernel,
                                     decltype(Kernels::decode_q4_k) scalar, const Case& c) {
  return check_decode<q4_k::Block>(kernel, scalar, c);
}

inline std::string check_decode_q4_0(decltype(Kernels::decode_q4_0) kernel,
                                     decltype(Kernels::decode_q4_0) scalar, const Case& c) {
  return check_decode<q4_0::Block>(kernel, scalar, c);
}

inline std::string check_decode_q6_k(decltype(Kernels::decode_q6_k) kernel,
                                     decltype(Kernels::decode_q6_k) scalar, const Case& c) {
  return check_decode<q6_k::Block>(kernel, scalar, c);
}

/// size: columns, rows, padding of the strides, in place when odd.
inline std::string check_rms_norm(decltype(Kernels::rms_norm) kernel, decltype(Kernels::rms_norm) scalar,
                                  const Case& c) {
  Random random(c.seed);
  const std::int64_t n = c.size[0] + 1;
  const std::int64_t rows = c.size[1];
  const std::int64_t x_stride = n + c.size[2] % 3;
  const std::int64_t elements = rows == 0 ? 0 : (rows - 1) * x_stride + n;
  Guarded<float> x = random_buffer<float>(elements, c, random);
  Guarded<float> weight(n, c.edge);
  fill(weight.begin(), weight.end(), Values::ordinary, random);
  const float eps = random.below(2) == 0 ? 1e-5f : 0.0f;
  if (c.size[3] % 2 == 1) {
    Guarded<float> copy = copy_of(x, c.edge);
    scalar(copy.data(), rows, x_stride, weight.data(), n, eps, copy.data(), x_stride);
    kernel(x.data(), rows, x_stride, weight.data(), n, eps, x.data(), x_stride);
    return difference("y in place", copy.data(), x.data(), elements);
  }
  const std::int64_t y_stride = n + c.size[2] % 2;
  const std::int64_t y_elements = rows == 0 ? 0 : (rows - 1) * y_stride + n;
  Guarded<float> expected(y_elements, c.edge);
  Guarded<float> actual(y_elements, c.edge);
  scalar(x.data(), rows, x_stride, weight.data(), n, eps, expected.data(), y_stride);
  kernel(x.data(), rows, x_stride, weight.data(), n, eps, actual.data(), y_stride);
  return difference("y", expected.data(), actual.data(), y_elements);
}

/// size: pairs, heads, elements that are not rotated, pairing.
inline std::string check_rope(decltype(Kernels::rope) kernel, decltype(Kernels::rope) scalar, const Case& c) {
  Random random(c.seed);
  const std::int64_t pairs = c.size[0];
  const std::int64_t heads = c.size[1];
  const std::int64_t head_dim = 2 * pairs + c.size[2] % 5;
  const RopePairing pairing = c.size[3] % 2 == 0 ? RopePairing::neox : RopePairing::adjacent;
  Guarded<float> actual = random_buffer<float>(heads * head_dim, c, random);
  Guarded<float> expected = copy_of(actual, c.edge);
  const Guarded<float> cos = random_buffer<float>(pairs, c, random);
  const Guarded<float> sin = random_buffer<float>(pairs, c, random);
  scalar(expected.data(), heads, head_dim, 2 * pairs, pairing, cos.data(), sin.data());
  kernel(actual.data(), heads, head_dim, 2 * pairs, pairing, cos.data(), sin.data());
  return difference("x", expected.data(), actual.data(), actual.size());
}

/// The group of a check of attention.
inline QueryGroup group_of(std::int64_t tokens, std::int64_t heads, std::int64_t cells) {
  return {1 + tokens % 20, 1 + heads % 6, cells};
}

/// size: head size, cells of the first token, padding of the strides and tokens, offset and heads.
inline std::string check_attn_scores(decltype(Kernels::attn_scores) kernel,
                                     decltype(Kernels::attn_scores) scalar, const Case& c) {
  Random random(c.seed);
  const std::int64_t head_dim = c.size[0];
  const std::int64_t padding = c.size[2] % 3;
  const QueryGroup group = group_of(c.size[2] / 3, c.size[3] / 7, c.size[1]);
  const std::int64_t cells = group.cells + group.tokens - 1;
  const std::int64_t offset = c.size[3] % 7;
  const std::int64_t stride = offset + head_dim + padding;
  const std::int64_t q_stride = group.heads * head_dim + padding;
  const Guarded<f16> q =
      random_buffer<f16>((group.tokens - 1) * q_stride + group.heads * head_dim, c, random);
  // The last page holds the cells in use and no more.
  std::vector<Guarded<f16>> storage;
  Guarded<const f16*> pages((cells + kPageCells - 1) / kPageCells, c.edge);
  for (std::int64_t first = 0; first < cells; first += kPageCells) {
    const std::int64_t here = std::min(kPageCells, cells - first);
    storage.push_back(random_buffer<f16>((here - 1) * stride + offset + head_dim, c, random));
    pages[first / kPageCells] = storage.back().data();
  }
  const std::int64_t rows = group.tokens * group.heads;
  const std::int64_t s_stride = cells + padding;
  Guarded<float> expected((rows - 1) * s_stride + cells, c.edge);
  Guarded<float> actual(expected.size(), c.edge);
  scalar(group, q.data(), q_stride, pages.data(), stride, offset, head_dim, expected.data(), s_stride);
  kernel(group, q.data(), q_stride, pages.data(), stride, offset, head_dim, actual.data(), s_stride);
  return difference("scores", expected.data(), actual.data(), expected.size());
}

/// size: cells, binary exponent of the scale (plus 8).
inline std::string check_softmax(decltype(Kernels::softmax) kernel, decltype(Kernels::softmax) scalar,
                                 const Case& c) {
  Random random(c.seed);
  Guarded<float> actual = random_buffer<float>(c.size[0] + 1, c, random);
  Guarded<float> expected = copy_of(actual, c.edge);
  const float scale = std::ldexp(1.0f + std::abs(random.unit()), static_cast<int>(c.size[1] % 16) - 8);
  scalar(expected.data(), expected.size(), scale);
  kernel(actual.data(), actual.size(), scale);
  return difference("p", expected.data(), actual.data(), actual.size());
}

/// size: channels, cells of the first token, offset and tokens, heads.
inline std::string check_attn_context(decltype(Kernels::attn_context) kernel,
                                      decltype(Kernels::attn_context) scalar, const Case& c) {
  Random random(c.seed);
  const std::int64_t head_dim = c.size[0];
  const QueryGroup group = group_of(c.size[2] / 5, c.size[3], c.size[1]);
  const std::int64_t cells = group.cells + group.tokens - 1;
  const std::int64_t offset = c.size[2] % 5;
  const std::int64_t p_stride = cells + offset % 2;
  // Probabilities are at most 1, and rounding them to binary16 reaches its subnormals and zero.
  Guarded<float> p((group.tokens * group.heads - 1) * p_stride + cells, c.edge);
  for (float& value : p) {
    value = std::abs(random.unit());
    if (c.values != Values::ordinary) value = std::ldexp(value, -static_cast<int>(random.below(30)));
    if (c.values == Values::any) value = draw_f32(Values::any, random);
  }
  std::vector<Guarded<f16>> storage;
  Guarded<const f16*> pages((cells + kPageCells - 1) / kPageCells, c.edge);
  for (std::int64_t first = 0; first < cells; first += kPageCells) {
    storage.push_back(random_buffer<f16>((offset + head_dim) * kPageCells, c, random));
    pages[first / kPageCells] = storage.back().data();
    for (std::int64_t d = 0; d < offset + head_dim; ++d) {
      for (std::int64_t i = cells - first; i < kPageCells; ++i)
        storage.back()[d * kPageCells + i] = 0x7fff;  // NaN
    }
  }
  const std::int64_t out_stride = group.heads * head_dim + offset % 3;
  Guarded<float> expected((group.tokens - 1) * out_stride + group.heads * head_dim, c.edge);
  Guarded<float> actual(expected.size(), c.edge);
  Guarded<float> p_copy = copy_of(p, c.edge);  // a kernel may round it
  scalar(group, p_copy.data(), p_stride, pages.data(), offset, head_dim, expected.data(), out_stride);
  kernel(group, p.data(), p_stride, pages.data(), offset, head_dim, actual.data(), out_stride);
  return difference("out", expected.data(), actual.data(), expected.size());
}

/// size: elements.
template <class In, class Out, class Kernel>
std::string check_unary(Kernel kernel, Kernel scalar, const Case& c) {
  Random random(c.seed);
  const Guarded<In> x = random_buffer<In>(c.size[0], c, random);
  Guarded<Out> expected(x.size(), c.edge);
  Guarded<Out> actual(x.size(), c.edge);
  scalar(x.data(), x.size(), expected.data());
  kernel(x.data(), x.size(), actual.data());
  return difference("y", expected.data(), actual.data(), x.size());
}

/// size: elements.
template <class Kernel>
std::string check_binary(Kernel kernel, Kernel scalar, const Case& c) {
  Random random(c.seed);
  const Guarded<float> a = random_buffer<float>(c.size[0], c, random);
  const Guarded<float> b = random_buffer<float>(c.size[0], c, random);
  Guarded<float> expected(a.size(), c.edge);
  Guarded<float> actual(a.size(), c.edge);
  scalar(a.data(), b.data(), a.size(), expected.data());
  kernel(a.data(), b.data(), a.size(), actual.data());
  return difference("y", expected.data(), actual.data(), a.size());
}

inline std::string check_add(decltype(Kernels::add) kernel, decltype(Kernels::add) scalar, const Case& c) {
  return check_binary(kernel, scalar, c);
}

inline std::string check_mul(decltype(Kernels::mul) kernel, decltype(Kernels::mul) scalar, const Case& c) {
  return check_binary(kernel, scalar, c);
}

inline std::string check_relu_squared(decltype(Kernels::relu_squared) kernel,
                                      decltype(Kernels::relu_squared) scalar, const Case& c) {
  return check_unary<float, float>(kernel, scalar, c);
}

inline std::string check_silu(decltype(Kernels::silu) kernel, decltype(Kernels::silu) scalar, const Case& c) {
  return check_unary<float, float>(kernel, scalar, c);
}

inline std::string check_to_f16(decltype(Kernels::to_f16) kernel, decltype(Kernels::to_f16) scalar,
                                const Case& c) {
  return check_unary<float, f16>(kernel, scalar, c);
}

inline std::string check_to_f32(decltype(Kernels::to_f32) kernel, decltype(Kernels::to_f32) scalar,
                                const Case& c) {
  return check_unary<f16, float>(kernel, scalar, c);
}

/// size: elements.
inline std::string check_screen_row(decltype(Kernels::screen_row) kernel,
                                    decltype(Kernels::screen_row) scalar, const Case& c) {
  Random random(c.seed);
  const Guarded<f16> w = random_buffer<f16>(c.size[0], c, random);
  Guarded<std::int8_t> expected(w.size(), c.edge);
  Guarded<std::int8_t> actual(w.size(), c.edge);
  const auto of_row = [&](decltype(scalar) row, Guarded<std::int8_t>& codes) {
    Guarded<float> scale(1, c.edge), error(1, c.edge), size(1, c.edge);
    row(w.data(), w.size(), codes.data(), scale.data(), error.data(), size.data());
    return std::array{scale[0], error[0], size[0]};
  };
  const std::array expected_floats = of_row(scalar, expected);
  const std::array actual_floats = of_row(kernel, actual);
  return difference("codes", expected.data(), actual.data(), w.size()) +
         difference("scale, error, size", expected_floats.data(), actual_floats.data(), 3);
}

/// size: columns, weight rows, activation rows, what splits the weight rows and pads the stride.
template <class Kernel, class Code>
std::string check_bounds(Kernel kernel, Kernel scalar, Code greatest, const Case& c) {
  Random random(c.seed);
  const std::int64_t n = c.size[0];
  const std::int64_t rows = c.size[1] + 1;
  const std::int64_t tokens = c.size[2];
  const std::int64_t stride = rows + c.size[3] % 2;
  const std::int64_t begin = c.size[3] % rows;
  const std::int64_t end = begin + (c.size[3] / 2) % (rows - begin + 1);
  const std::int64_t limit = n == 0 ? greatest : std::min<std::int64_t>(greatest, 0x7fffffff / (127 * n));
  Guarded<std::int8_t> codes(rows * n, c.edge);
  Guarded<Code> x(tokens * n, c.edge);
  // Saturation: every code and activation at its limit.
  const bool extreme = c.values == Values::huge;
  for (std::int8_t& code : codes) code = static_cast<std::int8_t>(extreme ? -127 : random.below(255) - 127);
  for (Code& q : x) q = static_cast<Code>(extreme ? limit : random.below(2 * limit + 1) - limit);
  Guarded<float> floats[3] = {Guarded<float>(rows, c.edge), Guarded<float>(rows, c.edge),
                              Guarded<float>(rows, c.edge)};
  Guarded<double> doubles[3] = {Guarded<double>(tokens, c.edge), Guarded<double>(tokens, c.edge),
                                Guarded<double>(tokens, c.edge)};
  for (Guarded<float>& each : floats)
    for (float& value : each)
      value = std::abs(f16_to_f32(draw_f16(c.values == Values::any ? Values::any_finite : c.values, random)));
  if (c.values == Values::any) floats[1][random.below(rows)] = INFINITY;
  for (Guarded<double>& each : doubles)
    for (double& value : each) value = std::abs(static_cast<double>(random.unit())) + 0x1p-40;
  const ScreenMatrix w = {codes.data(), floats[0].data(), floats[1].data(), floats[2].data(), n};
  const ScreenRows<Code> rows_x = {x.data(), doubles[0].data(), doubles[1].data(), doubles[2].data(), tokens};
  Guarded<float> expected(2 * tokens * stride, c.edge);
  Guarded<float> actual(2 * tokens * stride, c.edge);
  scalar(w, begin, end, rows_x, expected.data(), expected.data() + tokens * stride, stride);
  kernel(w, begin, end, rows_x, actual.data(), actual.data() + tokens * stride, stride);
  return difference("bounds", expected.data(), actual.data(), expected.size());
}

inline std::string check_screen_bounds(decltype(Kernels::screen_bounds) kernel,
                                       decltype(Kernels::screen_bounds) scalar, const Case& c) {
  return check_bounds(kernel, scalar, std::int16_t{32767}, c);
}

inline std::string check_screen_bounds_int8(decltype(Kernels::screen_bounds_int8) kernel,
                                            decltype(Kernels::screen_bounds_int8) scalar, const Case& c) {
  return check_bounds(kernel, scalar, std::int8_t{127}, c);
}

/// size: elements.
inline std::string check_argmax(decltype(Kernels::argmax) kernel, decltype(Kernels::argmax) scalar,
                                const Case& c) {
  Random random(c.seed);
  const Guarded<float> x = random_buffer<float>(c.size[0], c, random);
  const std::int64_t expected = scalar(x.data(), x.size());
  const std::int64_t actual = kernel(x.data(), x.size());
  return difference("index", &expected, &actual, 1);
}

}  // namespace bitnet::testing_support
