// Dense products of weights that are decoded to binary32 (reference-semantics 6.5): bfloat16, Q8_0, Q5_0,
// Q4_0 and Q4_K.

#include "engine/kernels/avx2/simd.h"
#include "engine/kernels/declare.h"
#include "engine/kernels/multiply_decoded.h"

namespace bitnet::avx2 {
namespace {

/// How a step of 64 weights is decoded, or what is left of the row after the last: its weights k to n.
struct BFloat16 {
  using Number = bf16;
  static __m256 eight(const bf16* w) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(w));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  static void step(const bf16* row, std::int64_t k, __m256 (&w)[8]) {
    for (int i = 0; i < 8; ++i) w[i] = eight(row + k + 8 * i);
  }
  static void rest(const bf16* row, std::int64_t k, std::int64_t n, float* w) {
    for (; k + 8 <= n; k += 8, w += 8) _mm256_storeu_ps(w, eight(row + k));
    for (; k < n; ++k, ++w)
      *w = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(static_cast<int>(row[k].bits) << 16)));
  }
};

/// The types whose blocks hold 32 weights. Type::block decodes one.
template <class Type, class Block>
struct Blocks32 {
  using Number = Block;
  static void step(const Block* row, std::int64_t k, __m256 (&w)[8]) {
    const Block* b = row + k / Block::kElements;
    Type::block(b[0], w, 0);
    Type::block(b[1], w, 4);
  }
  static void rest(const Block* row, std::int64_t k, std::int64_t n, float* w) {
    for (; k < n; k += Block::kElements, w += Block::kElements) {
      __m256 decoded[8];
      Type::block(row[k / Block::kElements], decoded, 0);
      for (int i = 0; i < 4; ++i) _mm256_storeu_ps(w + 8 * i, decoded[i]);
    }
  }
};

/// Eight int8 as floats.
__m256 floats(__m128i codes) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes));
}

/// d times 32 codes, the first sixteen in `low`.
void scaled(float d, __m128i low, __m128i high, __m256 (&w)[8], int at) {
  const __m256 scale = _mm256_set1_ps(d);
  w[at] = _mm256_mul_ps(scale, floats(low));
  w[at + 1] = _mm256_mul_ps(scale, floats(_mm_unpackhi_epi64(low, low)));
  w[at + 2] = _mm256_mul_ps(scale, floats(high));
  w[at + 3] = _mm256_mul_ps(scale, floats(_mm_unpackhi_epi64(high, high)));
}

__m128i load16(const void* p) {
  return _mm_loadu_si128(static_cast<const __m128i*>(p));
}

__m128i low_nibbles(__m128i bytes) {
  return _mm_and_si128(bytes, _mm_set1_epi8(15));
}
__m128i high_nibbles(__m128i bytes) {
  return low_nibbles(_mm_srli_epi16(bytes, 4));
}

struct Q8 : Blocks32<Q8, q8_0::Block> {
  static void block(const q8_0::Block& b, __m256 (&w)[8], int at) {
    scaled(to_f32_one(b.d), load16(b.codes), load16(b.codes + 16), w, at);
  }
};

struct Q4 : Blocks32<Q4, q4_0::Block> {
  static void block(const q4_0::Block& b, __m256 (&w)[8], int at) {
    const __m128i bytes = load16(b.codes);
    const __m128i middle = _mm_set1_epi8(8);
    scaled(to_f32_one(b.d), _mm_sub_epi8(low_nibbles(bytes), middle),
           _mm_sub_epi8(high_nibbles(bytes), middle), w, at);
  }
};

struct Q5 : Blocks32<Q5, q5_0::Block> {
  static void block(const q5_0::Block& b, __m256 (&w)[8], int at) {
    const __m128i bytes = load16(b.low);
    scaled(to_f32_one(b.d), _mm_sub_epi8(low_nibbles(bytes), lacking(b.high)),
           _mm_sub_epi8(high_nibbles(bytes), lacking(b.high + 2)), w, at);
  }
  // 16 where the bit of an element is zero, else 0, for sixteen elements.
  static __m128i lacking(const std::uint8_t* bits) {
    const __m128i two = _mm_set1_epi16(static_cast<short>(bits[0] | bits[1] << 8));
    const __m128i spread = _mm_shuffle_epi8(two, _mm_set_epi64x(0x0101010101010101, 0));
    const __m128i one_each = _mm_set1_epi64x(static_cast<long long>(0x8040201008040201));
    const __m128i zero = _mm_cmpeq_epi8(_mm_and_si128(spread, one_each), _mm_setzero_si128());
    return _mm_and_si128(zero, _mm_set1_epi8(16));
  }
};

struct Q4K {
  using Number = q4_k::Block;
  // A step is the two parts that share 32 bytes of codes.
  static void step(const q4_k::Block* row, std::int64_t k, __m256 (&w)[8]) {
    const q4_k::Block& b = row[k / q4_k::Block::kElements];
    const std::int64_t j = k % q4_k::Block::kElements / 32;
    const std::uint8_t* codes = b.codes + 16 * j;
    const __m128i bytes[] = {load16(codes), load16(codes + 16)};
    part(b, q4_k::part_at(b, j), low_nibbles(bytes[0]), low_nibbles(bytes[1]), w, 0);
    part(b, q4_k::part_at(b, j + 1), high_nibbles(bytes[0]), high_nibbles(bytes[1]), w, 4);
  }
  // d * scale * code is exact whatever is multiplied first.
  static void part(const q4_k::Block& b, q4_k::Part p, __m128i low, __m128i high, __m256 (&w)[8], int at) {
    scaled(to_f32_one(b.d) * static_cast<float>(p.scale), low, high, w, at);
    const __m256 offset = _mm256_set1_ps(to_f32_one(b.m) * static_cast<float>(p.offset));
    for (int i = 0; i < 4; ++i) w[at + i] = _mm256_sub_ps(w[at + i], offset);
  }
  static void rest(const q4_k::Block*, std::int64_t, std::int64_t, float*) {}  // whole steps only
};

template <class Type>
void decode(const typename Type::Number* row, std::int64_t n, float* y) {
  const std::int64_t stepped = n / kStep * kStep;
  for (std::int64_t k = 0; k < stepped; k += kStep) {
    __m256 w[8];
    Type::step(row, k, w);
    for (int i = 0; i < 8; ++i) _mm256_storeu_ps(y + k + 8 * i, w[i]);
  }
  Type::rest(row, stepped, n, y + stepped);
}

template <class Type>
float dot(const typename Type::Number* row, const float* x, std::int64_t n) {
  const std::int64_t stepped = n / kStep * kStep;
  __m256 acc[8];
  for (int i = 0; i < 8; ++i) acc[i] = _mm256_setzero_ps();
  for (std::int64_t k = 0; k < stepped; k += kStep) {
    __m256 w[8];
    Type::step(row, k, w);
    for (int i = 0; i < 8; ++i)
      acc[i] = in_place(_mm256_fmadd_ps(w[i], _mm256_loadu_ps(x + k + 8 * i), acc[i]));
  }
  float sum = fold(add_accumulators(acc));
  if (stepped < n) {
    float rest[kStep];
    Type::rest(row, stepped, n, rest);
    for (std::int64_t k = stepped; k < n; ++k) sum = fma_one(rest[k - stepped], x[k], sum);
  }
  return sum;
}

template <class Type, class Number>
void matmul(const Number* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end, const float* x,
            std::int64_t rows, std::int64_t x_stride, float* y, std::int64_t y_stride) {
  if (pays_to_decode(n, rows)) {
    multiply_decoded<decode<Type>, matmul_f32>(w, n, row_begin, row_end, x, rows, x_stride, y, y_stride);
  } else {
    multiply_rows<dot<Type>>(w, n, row_begin, row_end, x, rows, x_stride, y, y_stride);
  }
}

}  // namespace

void matmul_bf16(const bf16* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end, const float* x,
                 std::int64_t rows, std::int64_t x_stride, float* y, std::int64_t y_stride) {
  matmul<BFloat16>(w, n, row_begin, row_end, x, rows, x_stride, y, y_stride);
}

void matmul_q8_0(const q8_0::Block* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end,
                 const float* x, std::int64_t rows, std::int64_t x_stride, float* y, std::int64_t y_stride) {
  matmul<Q8>(w, n, row_begin, row_end, x, rows, x_stride, y, y_stride);
}

void matmul_q5_0(const q5_0::Block* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end,
                 const float* x, std::int64_t rows, std::int64_t x_stride, float* y, std::int64_t y_stride) {
  matmul<Q5>(w, n, row_begin, row_end, x, rows, x_stride, y, y_stride);
}

void matmul_q4_k(const q4_k::Block* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end,
                 const float* x, std::int64_t rows, std::int64_t x_stride, float* y, std::int64_t y_stride) {
  matmul<Q4K>(w, n, row_begin, row_end, x, rows, x_stride, y, y_stride);
}

void matmul_q4_0(const q4_0::Block* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end,
                 const float* x, std::int64_t rows, std::int64_t x_stride, float* y, std::int64_t y_stride) {
  matmul<Q4>(w, n, row_begin, row_end, x, rows, x_stride, y, y_stride);
}

void decode_bf16(const bf16* row, std::int64_t n, float* y) {
  decode<BFloat16>(row, n, y);
}

void decode_q8_0(const q8_0::Block* row, std::int64_t n, float* y) {
  decode<Q8>(row, n, y);
}

void decode_q5_0(const q5_0::Block* row, std::int64_t n, float* y) {
  decode<Q5>(row, n, y);
}

void decode_q4_k(const q4_k::Block* row, std::int64_t n, float* y) {
  decode<Q4K>(row, n, y);
}

void decode_q4_0(const q4_0::Block* row, std::int64_t n, float* y) {
  decode<Q4>(row, n, y);
}

}  // namespace bitnet::avx2
