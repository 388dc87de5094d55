// Attention over the paged KV cache.

#include "engine/kernels/avx2/exp.h"
#include "engine/kernels/avx2/simd.h"
#include "engine/kernels/declare.h"
#include "engine/kernels/each_query.h"

namespace bitnet::avx2 {
namespace {

static_assert(kPageCells == kStep, "attn_context takes one page per step of the sum");

// ---- scores ----

constexpr std::int64_t kQueryBlock = 256;  // of a query that are widened at a time

inline const f16* key_of(const f16* const* pages, std::int64_t cell, std::int64_t cell_stride,
                         std::int64_t offset) {
  return pages[cell / kPageCells] + cell % kPageCells * cell_stride + offset;
}

/// The steps of one dot product: sixteen lanes folded to eight. q is widened, n a multiple of 64.
inline __m256 stepped_dot(const f16* key, const float* q, std::int64_t n) {
  __m256 acc[8];
  for (int i = 0; i < 8; ++i) acc[i] = _mm256_setzero_ps();
  for (std::int64_t k = 0; k < n; k += kStep) {
    for (int i = 0; i < 8; ++i) {
      acc[i] = _mm256_fmadd_ps(load_f16(key + k + 8 * i), _mm256_loadu_ps(q + k + 8 * i), acc[i]);
    }
  }
  return add_accumulators(acc);
}

inline void transpose(__m256 (&v)[8]) {
  __m256 a[8];
  for (int i = 0; i < 4; ++i) {
    a[2 * i] = _mm256_unpacklo_ps(v[2 * i], v[2 * i + 1]);
    a[2 * i + 1] = _mm256_unpackhi_ps(v[2 * i], v[2 * i + 1]);
  }
  __m256 b[8];
  for (int i = 0; i < 2; ++i) {
    b[4 * i] = _mm256_shuffle_ps(a[4 * i], a[4 * i + 2], 0x44);
    b[4 * i + 1] = _mm256_shuffle_ps(a[4 * i], a[4 * i + 2], 0xee);
    b[4 * i + 2] = _mm256_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0x44);
    b[4 * i + 3] = _mm256_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    v[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
    v[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
  }
}

/// Eight double sums, one a row.
struct Sums {
  __m256d low;
  __m256d high;
};

inline Sums widen(__m256 v) {
  return {_mm256_cvtps_pd(_mm256_castps256_ps128(v)), _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1))};
}

inline __m256 narrow(const Sums& sums) {
  return _mm256_set_m128(_mm256_cvtpd_ps(sums.high), _mm256_cvtpd_ps(sums.low));
}

/// Adds the tails of eight dot products with q, each in its order, the rows side by side.
inline void add_tails(Sums& sums, const f16* const (&rows)[8], const float* q, std::int64_t n) {
  std::int64_t k = 0;
  for (; k + 8 <= n; k += 8) {
    const __m256 query = _mm256_loadu_ps(q + k);
    __m256 products[8];
    for (int i = 0; i < 8; ++i) products[i] = _mm256_mul_ps(load_f16(rows[i] + k), query);
    transpose(products);
    for (int i = 0; i < 8; ++i) {
      const Sums wide = widen(products[i]);
      sums.low = _mm256_add_pd(sums.low, wide.low);
      sums.high = _mm256_add_pd(sums.high, wide.high);
    }
  }
  for (; k < n; ++k) {
    const __m256i halves = _mm256_setr_epi32(rows[0][k], rows[1][k], rows[2][k], rows[3][k], rows[4][k],
                                             rows[5][k], rows[6][k], rows[7][k]);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(halves, halves), 0x08);
    const __m256 column = _mm256_cvtph_ps(_mm256_castsi256_si128(packed));
    const Sums wide = widen(_mm256_mul_ps(column, _mm256_set1_ps(q[k])));
    sums.low = _mm256_add_pd(sums.low, wide.low);
    sums.high = _mm256_add_pd(sums.high, wide.high);
  }
}

/// For any head_dim, one cell at a time.
float score_of_one(const f16* key, const f16* q, std::int64_t head_dim) {
  __m256 acc[8];
  for (int i = 0; i < 8; ++i) acc[i] = _mm256_setzero_ps();
  std::int64_t k = 0;
  for (; k + kStep <= head_dim; k += kStep) {
    for (int i = 0; i < 8; ++i) {
      acc[i] = _mm256_fmadd_ps(load_f16(key + k + 8 * i), load_f16(q + k + 8 * i), acc[i]);
    }
  }
  double sum = static_cast<double>(fold(add_accumulators(acc)));
  for (; k < head_dim; ++k) sum += static_cast<double>(to_f32_one(key[k]) * to_f32_one(q[k]));
  return static_cast<float>(sum);
}

/// The scores of one query.
void scores_of(const f16* q, const f16* const* pages, std::int64_t cell_stride, std::int64_t offset,
               std::int64_t head_dim, std::int64_t cells, float* scores) {
  std::int64_t c = 0;
  if (head_dim <= kQueryBlock) {
    float query[kQueryBlock];
    for (std::int64_t k = 0; k < head_dim; ++k) query[k] = to_f32_one(q[k]);
    const std::int64_t stepped = head_dim / kStep * kStep;
    for (; c + 8 <= cells; c += 8) {
      const f16* keys[8];
      __m256 lanes[8];
      for (int i = 0; i < 8; ++i) {
        keys[i] = key_of(pages, c + i, cell_stride, offset);
        lanes[i] = stepped_dot(keys[i], query, stepped);
      }
      __m256 result = fold_eight(lanes);
      if (stepped < head_dim) {
        Sums sums = widen(result);
        const f16* tails[8];
        for (int i = 0; i < 8; ++i) tails[i] = keys[i] + stepped;
        add_tails(sums, tails, query + stepped, head_dim - stepped);
        result = narrow(sums);
      }
      _mm256_storeu_ps(scores + c, result);
    }
  }
  for (; c < cells; ++c) scores[c] = score_of_one(key_of(pages, c, cell_stride, offset), q, head_dim);
}

// ---- context ----

constexpr std::int64_t kContextPages = 16;     // pages of probabilities rounded at a time
constexpr std::int64_t kContextChannels = 16;  // channels whose sums wait meanwhile

/// p[0..count) rounded to binary16, zeros from there to the end of the step.
inline void round_step(const float* p, std::int64_t count, float* rounded) {
  for (std::int64_t i = 0; i < kStep; i += 8) {
    const __m256 v = count - i >= 8  ? _mm256_loadu_ps(p + i)
                     : count - i > 0 ? _mm256_maskload_ps(p + i, first_lanes(count - i))
                                     : _mm256_setzero_ps();
    _mm256_storeu_ps(rounded + i, _mm256_cvtph_ps(_mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT)));
  }
}

/// The first `count` of eight binary16 numbers, zeros for the others.
inline __m256 load_f16_some(const f16* p, std::int64_t count) {
  const __m256 mask = _mm256_castsi256_ps(first_lanes(count < 0 ? 0 : count));
  return _mm256_and_ps(load_f16(p), mask);
}

/// The context of one query.
void context_of(const float* p, const f16* const* pages, std::int64_t offset, std::int64_t head_dim,
                std::int64_t cells, float* out) {
  // As in scalar: whole steps of 64 cells, and a tail when the row, rounded up to 32, leaves one.
  const std::int64_t padded = (cells + 31) / 32 * 32;
  const std::int64_t steps = padded / kStep;
  const std::int64_t tail = steps * kStep < cells ? cells - steps * kStep : 0;
  float tail_p[32];
  for (std::int64_t i = 0; i < tail; ++i) tail_p[i] = to_f32_one(to_f16_one(p[steps * kStep + i]));

  for (std::int64_t first = 0; first < head_dim; first += kContextChannels) {
    const std::int64_t channels = smaller(kContextChannels, head_dim - first);
    __m256 waiting[kContextChannels][8];
    for (std::int64_t begin = 0; begin < steps; begin += kContextPages) {
      const std::int64_t end = smaller(begin + kContextPages, steps);
      float rounded[kContextPages * kStep];
      for (std::int64_t s = begin; s < end; ++s) {
        round_step(p + s * kStep, cells - s * kStep, rounded + (s - begin) * kStep);
      }
      // Stored values past the last cell may be anything, NaN too: that step, the last, is masked.
      const std::int64_t whole = cells < end * kStep ? end - 1 : end;
      for (std::int64_t d = 0; d < channels; ++d) {
        const std::int64_t row = (offset + first + d) * kPageCells;
        __m256 acc[8];
        for (int i = 0; i < 8; ++i) acc[i] = begin == 0 ? _mm256_setzero_ps() : waiting[d][i];
        const float* weights = rounded;
        for (std::int64_t s = begin; s < whole; ++s, weights += kStep) {
          const f16* values = pages[s] + row;
          for (int i = 0; i < 8; ++i) {
            acc[i] = _mm256_fmadd_ps(_mm256_loadu_ps(weights + 8 * i), load_f16(values + 8 * i), acc[i]);
          }
        }
        if (whole < end) {
          const f16* values = pages[whole] + row;
          for (int i = 0; i < 8; ++i) {
            const __m256 value = load_f16_some(values + 8 * i, cells - whole * kStep - 8 * i);
            acc[i] = _mm256_fmadd_ps(_mm256_loadu_ps(weights + 8 * i), value, acc[i]);
          }
        }
        for (int i = 0; i < 8; ++i) waiting[d][i] = acc[i];
      }
    }
    if (steps == 0) {
      for (std::int64_t d = 0; d < channels; ++d) {
        for (int i = 0; i < 8; ++i) waiting[d][i] = _mm256_setzero_ps();
      }
    }
    std::int64_t d = 0;
    for (; d + 8 <= channels; d += 8) {
      __m256 lanes[8];
      for (int i = 0; i < 8; ++i) lanes[i] = add_accumulators(waiting[d + i]);
      __m256 result = fold_eight(lanes);
      if (tail > 0) {
        Sums sums = widen(result);
        const f16* rows[8];
        for (int i = 0; i < 8; ++i) rows[i] = pages[steps] + (offset + first + d + i) * kPageCells;
        add_tails(sums, rows, tail_p, tail);
        result = narrow(sums);
      }
      _mm256_storeu_ps(out + first + d, result);
    }
    for (; d < channels; ++d) {
      double sum = static_cast<double>(fold(add_accumulators(waiting[d])));
      for (std::int64_t i = 0; i < tail; ++i) {
        const f16 value = pages[steps][(offset + first + d) * kPageCells + i];
        sum += static_cast<double>(tail_p[i] * to_f32_one(value));
      }
      out[first + d] = static_cast<float>(sum);
    }
  }
}

}  // namespace

void attn_scores(const QueryGroup& group, const f16* q, std::int64_t q_stride, const f16* const* pages,
                 std::int64_t cell_stride, std::int64_t offset, std::int64_t head_dim, float* scores,
                 std::int64_t scores_stride) {
  for_each_query(group, [&](std::int64_t t, std::int64_t h, std::int64_t row, std::int64_t cells) {
    scores_of(q + t * q_stride + h * head_dim, pages, cell_stride, offset, head_dim, cells,
              scores + row * scores_stride);
  });
}

void softmax(float* x, std::int64_t n, float scale) {
  const __m256 vscale = _mm256_set1_ps(scale);
  const __m256 least = _mm256_set1_ps(-__builtin_inff());
  __m256 greatest = least;
  std::int64_t k = 0;
  for (; k + 8 <= n; k += 8) {
    const __m256 w = _mm256_mul_ps(_mm256_loadu_ps(x + k), vscale);
    _mm256_storeu_ps(x + k, w);
    greatest = _mm256_max_ps(w, greatest);  // the second operand wins over a NaN in the first
  }
  if (k < n) {
    const __m256i mask = first_lanes(n - k);
    const __m256 w = _mm256_mul_ps(_mm256_maskload_ps(x + k, mask), vscale);
    _mm256_maskstore_ps(x + k, mask, w);
    greatest = _mm256_max_ps(_mm256_blendv_ps(least, w, _mm256_castsi256_ps(mask)), greatest);
  }
  greatest = _mm256_max_ps(greatest, _mm256_permute2f128_ps(greatest, greatest, 1));
  greatest = _mm256_max_ps(greatest, _mm256_shuffle_ps(greatest, greatest, 0x4e));
  greatest = _mm256_max_ps(greatest, _mm256_shuffle_ps(greatest, greatest, 0xb1));

  // Chunks of sixteen, eight of them folded together, their sums added one after another.
  double sum = 0;
  for (k = 0; k < n;) {
    __m256 chunks[8];
    for (int i = 0; i < 8; ++i, k += 16) {
      if (k + 16 <= n) {
        const __m256 low = polynomial_exp(_mm256_sub_ps(_mm256_loadu_ps(x + k), greatest));
        const __m256 high = polynomial_exp(_mm256_sub_ps(_mm256_loadu_ps(x + k + 8), greatest));
        _mm256_storeu_ps(x + k, low);
        _mm256_storeu_ps(x + k + 8, high);
        chunks[i] = _mm256_add_ps(low, high);
        continue;
      }
      __m256 halves[2];
      for (int h = 0; h < 2; ++h) {
        const std::int64_t left = n - k - 8 * h;
        halves[h] = _mm256_setzero_ps();
        if (left <= 0) continue;
        const __m256i mask = first_lanes(left);
        const __m256 e = polynomial_exp(_mm256_sub_ps(_mm256_maskload_ps(x + k + 8 * h, mask), greatest));
        halves[h] = _mm256_and_ps(e, _mm256_castsi256_ps(mask));
        _mm256_maskstore_ps(x + k + 8 * h, mask, halves[h]);
      }
      chunks[i] = _mm256_add_ps(halves[0], halves[1]);
    }
    float sums[8];
    _mm256_storeu_ps(sums, fold_eight(chunks));
    for (int i = 0; i < 8; ++i) sum += static_cast<double>(sums[i]);  // chunks past the end add +0
  }

  const float inverse = static_cast<float>(1.0 / sum);
  const __m256 vinverse = _mm256_set1_ps(inverse);
  for (k = 0; k + 8 <= n; k += 8) _mm256_storeu_ps(x + k, _mm256_mul_ps(_mm256_loadu_ps(x + k), vinverse));
  for (; k < n; ++k) x[k] *= inverse;
}

void attn_context(const QueryGroup& group, float* p, std::int64_t p_stride, const f16* const* pages,
                  std::int64_t offset, std::int64_t head_dim, float* out, std::int64_t out_stride) {
  for_each_query(group, [&](std::int64_t t, std::int64_t h, std::int64_t row, std::int64_t cells) {
    context_of(p + row * p_stride, pages, offset, head_dim, cells, out + t * out_stride + h * head_dim);
  });
}

}  // namespace bitnet::avx2
