// Dense products: binary16 rows (reference-semantics 6.3), binary32 rows (6.5), and rows that are decoded to
// binary32 and multiplied as such.

#include <cmath>

#include "engine/kernels/declare.h"
#include "engine/kernels/scalar/half.h"
#include "engine/kernels/scalar/lanes.h"

namespace bitnet::scalar {
namespace {

/// One weight of each type as a binary32 number.
float weight_at(const float* w, std::int64_t k) {
  return w[k];
}
float weight_at(const bf16* w, std::int64_t k) {
  return bf16_to_f32(w[k]);
}
float weight_at(const q8_0::Block* w, std::int64_t k) {
  const q8_0::Block& block = w[k / q8_0::Block::kElements];
  return f16_to_f32(block.d) * static_cast<float>(block.codes[k % q8_0::Block::kElements]);
}
float weight_at(const q5_0::Block* w, std::int64_t k) {
  const q5_0::Block& block = w[k / q5_0::Block::kElements];
  return f16_to_f32(block.d) * static_cast<float>(q5_0::value_at(block, k % q5_0::Block::kElements));
}
float weight_at(const q4_0::Block* w, std::int64_t k) {
  const q4_0::Block& block = w[k / q4_0::Block::kElements];
  return f16_to_f32(block.d) * static_cast<float>(q4_0::value_at(block, k % q4_0::Block::kElements));
}
float weight_at(const q4_k::Block* w, std::int64_t k) {
  const q4_k::Block& block = w[k / q4_k::Block::kElements];
  const std::int64_t e = k % q4_k::Block::kElements;
  const q4_k::Part part = q4_k::part_at(block, e / 32);
  return f16_to_f32(block.d) * static_cast<float>(part.scale * q4_k::code_at(block, e)) -
         f16_to_f32(block.m) * static_cast<float>(part.offset);
}

template <class T>
float dot_f32(const T* w, const float* x, std::int64_t n) {
  Accumulators a;
  std::int64_t k = 0;
  for (; k + kStep <= n; k += kStep) {
    for (int i = 0; i < kStep; ++i) a.acc[i] = std::fma(weight_at(w, k + i), x[k + i], a.acc[i]);
  }
  float sum = a.sum();
  for (; k < n; ++k) sum = std::fma(weight_at(w, k), x[k], sum);
  return sum;
}

template <class T>
void matmul(const T* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end, const float* x,
            std::int64_t rows, std::int64_t x_stride, float* y, std::int64_t y_stride) {
  for (std::int64_t m = row_begin; m < row_end; ++m) {
    for (std::int64_t t = 0; t < rows; ++t)
      y[t * y_stride + m] = dot_f32(w + m * (n / elements_in<T>), x + t * x_stride, n);
  }
}

template <class T>
void decode(const T* row, std::int64_t n, float* y) {
  for (std::int64_t k = 0; k < n; ++k) y[k] = weight_at(row, k);
}

}  // namespace

void matmul_f16(const f16* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end, const f16* x,
                std::int64_t rows, std::int64_t x_stride, float* y, std::int64_t y_stride) {
  for (std::int64_t m = row_begin; m < row_end; ++m) {
    for (std::int64_t t = 0; t < rows; ++t) y[t * y_stride + m] = dot_f16(w + m * n, x + t * x_stride, n);
  }
}

void matmul_f32(const float* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end, const float* x,
                std::int64_t rows, std::int64_t x_stride, float* y, std::int64_t y_stride) {
  matmul(w, n, row_begin, row_end, x, rows, x_stride, y, y_stride);
}

void matmul_bf16(const bf16* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end, const float* x,
                 std::int64_t rows, std::int64_t x_stride, float* y, std::int64_t y_stride) {
  matmul(w, n, row_begin, row_end, x, rows, x_stride, y, y_stride);
}

void matmul_q8_0(const q8_0::Block* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end,
                 const float* x, std::int64_t rows, std::int64_t x_stride, float* y, std::int64_t y_stride) {
  matmul(w, n, row_begin, row_end, x, rows, x_stride, y, y_stride);
}

void matmul_q5_0(const q5_0::Block* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end,
                 const float* x, std::int64_t rows, std::int64_t x_stride, float* y, std::int64_t y_stride) {
  matmul(w, n, row_begin, row_end, x, rows, x_stride, y, y_stride);
}

void matmul_q4_k(const q4_k::Block* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end,
                 const float* x, std::int64_t rows, std::int64_t x_stride, float* y, std::int64_t y_stride) {
  matmul(w, n, row_begin, row_end, x, rows, x_stride, y, y_stride);
}

void matmul_q4_0(const q4_0::Block* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end,
                 const float* x, std::int64_t rows, std::int64_t x_stride, float* y, std::int64_t y_stride) {
  matmul(w, n, row_begin, row_end, x, rows, x_stride, y, y_stride);
}

void decode_bf16(const bf16* row, std::int64_t n, float* y) {
  decode(row, n, y);
}

void decode_q8_0(const q8_0::Block* row, std::int64_t n, float* y) {
  decode(row, n, y);
}

void decode_q5_0(const q5_0::Block* row, std::int64_t n, float* y) {
  decode(row, n, y);
}

void decode_q4_k(const q4_k::Block* row, std::int64_t n, float* y) {
  decode(row, n, y);
}

void decode_q4_0(const q4_0::Block* row, std::int64_t n, float* y) {
  decode(row, n, y);
}

}  // namespace bitnet::scalar
