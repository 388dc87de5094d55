// Attention over the paged KV cache.

#include "engine/kernels/declare.h"
#include "engine/kernels/each_query.h"
#include "engine/kernels/neon/exp.h"
#include "engine/kernels/neon/simd.h"

namespace bitnet::neon {
namespace {

static_assert(kPageCells == kStep, "attn_context takes one page per step of the sum");

constexpr std::int64_t kRows = 8;  // dot products taken side by side

/// Adds the tails of kRows dot products with q to their sums, each in its order. q is widened.
inline void add_tails(double (&sums)[kRows], const f16* const (&rows)[kRows], const float* q,
                      std::int64_t n) {
  std::int64_t k = 0;
  for (; k + 8 <= n; k += 8) {
    const F8 query = load(q + k);
    float products[kRows][8];
    for (int i = 0; i < kRows; ++i) store(products[i], mul(load_f16(rows[i] + k), query));
    for (int j = 0; j < 8; ++j) {
      for (int i = 0; i < kRows; ++i) sums[i] += static_cast<double>(products[i][j]);
    }
  }
  for (; k < n; ++k) {
    for (int i = 0; i < kRows; ++i) sums[i] += static_cast<double>(to_f32_one(rows[i][k]) * q[k]);
  }
}

/// The folded steps of kRows dot products, then their tails.
inline void store_with_tails(float* y, F8 stepped, const f16* const (&tails)[kRows], const float* q,
                             std::int64_t n) {
  store(y, stepped);
  if (n == 0) return;
  double sums[kRows];
  for (int i = 0; i < kRows; ++i) sums[i] = static_cast<double>(y[i]);
  add_tails(sums, tails, q, n);
  for (int i = 0; i < kRows; ++i) y[i] = static_cast<float>(sums[i]);
}

// ---- scores ----

constexpr std::int64_t kQueryBlock = 256;  // longest query that is widened once for all cells

inline const f16* key_of(const f16* const* pages, std::int64_t cell, std::int64_t cell_stride,
                         std::int64_t offset) {
  return pages[cell / kPageCells] + cell % kPageCells * cell_stride + offset;
}

/// The steps of one dot product: sixteen lanes folded to eight. q is widened, n a multiple of 64.
inline F8 stepped_dot(const f16* key, const float* q, std::int64_t n) {
  F8 acc[8];
  for (int i = 0; i < 8; ++i) acc[i] = zero8();
  for (std::int64_t k = 0; k < n; k += kStep) {
    for (int i = 0; i < 8; ++i) acc[i] = fmadd(load_f16(key + k + 8 * i), load(q + k + 8 * i), acc[i]);
  }
  return add_accumulators(acc);
}

/// For any head_dim, one cell at a time.
float score_of_one(const f16* key, const f16* q, std::int64_t head_dim) {
  F8 acc[8];
  for (int i = 0; i < 8; ++i) acc[i] = zero8();
  std::int64_t k = 0;
  for (; k + kStep <= head_dim; k += kStep) {
    for (int i = 0; i < 8; ++i) acc[i] = fmadd(load_f16(key + k + 8 * i), load_f16(q + k + 8 * i), acc[i]);
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
    to_f32(q, head_dim, query);
    const std::int64_t stepped = head_dim / kStep * kStep;
    for (; c + kRows <= cells; c += kRows) {
      const f16* tails[kRows];
      F8 lanes[kRows];
      for (int i = 0; i < kRows; ++i) {
        const f16* key = key_of(pages, c + i, cell_stride, offset);
        lanes[i] = stepped_dot(key, query, stepped);
        tails[i] = key + stepped;
      }
      store_with_tails(scores + c, fold_eight(lanes), tails, query + stepped, head_dim - stepped);
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
    const F8 v = count - i >= 8 ? load(p + i) : load_some(p + i, count - i, 0.0f);
    store(rounded + i, widen(narrow(v)));
  }
}

/// The first `count` of eight binary16 numbers, zeros for the others.
inline F8 load_f16_some(const f16* p, std::int64_t count) {
  f16 some[8];
  for (std::int64_t i = 0; i < 8; ++i) some[i] = i < count ? p[i] : f16{0};
  return load_f16(some);
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
    F8 waiting[kContextChannels][8];
    for (std::int64_t d = 0; d < channels; ++d) {
      for (int i = 0; i < 8; ++i) waiting[d][i] = zero8();
    }
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
        F8 acc[8];
        for (int i = 0; i < 8; ++i) acc[i] = waiting[d][i];
        const float* weights = rounded;
        for (std::int64_t s = begin; s < whole; ++s, weights += kStep) {
          const f16* values = pages[s] + row;
          for (int i = 0; i < 8; ++i) acc[i] = fmadd(load(weights + 8 * i), load_f16(values + 8 * i), acc[i]);
        }
        if (whole < end) {
          const f16* values = pages[whole] + row;
          for (int i = 0; i < 8; ++i) {
            const F8 value = load_f16_some(values + 8 * i, cells - whole * kStep - 8 * i);
            acc[i] = fmadd(load(weights + 8 * i), value, acc[i]);
          }
        }
        for (int i = 0; i < 8; ++i) waiting[d][i] = acc[i];
      }
    }
    std::int64_t d = 0;
    for (; d + kRows <= channels; d += kRows) {
      F8 lanes[kRows];
      const f16* tails[kRows] = {};
      for (int i = 0; i < kRows; ++i) {
        lanes[i] = add_accumulators(waiting[d + i]);
        if (tail > 0) tails[i] = pages[steps] + (offset + first + d + i) * kPageCells;
      }
      store_with_tails(out + first + d, fold_eight(lanes), tails, tail_p, tail);
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
  const float least = -__builtin_inff();
  const F8 vscale = all(scale);
  float32x4_t greatest = vdupq_n_f32(least);
  std::int64_t k = 0;
  for (; k + 8 <= n; k += 8) {
    const F8 w = mul(load(x + k), vscale);
    store(x + k, w);
    greatest = greater(w.low, greatest);
    greatest = greater(w.high, greatest);
  }
  for (; k < n; ++k) {
    x[k] *= scale;
    greatest = greater(vdupq_n_f32(x[k]), greatest);
  }
  const F8 most = all(greatest_lane(greatest));

  // Chunks of sixteen, eight of them folded together, their sums added one after another.
  double sum = 0;
  for (k = 0; k < n;) {
    F8 chunks[8];
    for (int i = 0; i < 8; ++i, k += 16) {
      if (k + 16 <= n) {
        const F8 low = polynomial_exp(sub(load(x + k), most));
        const F8 high = polynomial_exp(sub(load(x + k + 8), most));
        store(x + k, low);
        store(x + k + 8, high);
        chunks[i] = add(low, high);
        continue;
      }
      F8 halves[2] = {zero8(), zero8()};
      for (int h = 0; h < 2; ++h) {
        const std::int64_t left = n - k - 8 * h;
        if (left <= 0) continue;
        float* const rest = x + k + 8 * h;
        const F8 e = polynomial_exp(sub(load_some(rest, left, 0.0f), most));
        store_some(rest, e, left < 8 ? left : 8);
        halves[h] = load_some(rest, left, 0.0f);
      }
      chunks[i] = add(halves[0], halves[1]);
    }
    float sums[8];
    store(sums, fold_eight(chunks));
    for (int i = 0; i < 8; ++i) sum += static_cast<double>(sums[i]);  // chunks past the end add +0
  }

  const float inverse = static_cast<float>(1.0 / sum);
  const F8 vinverse = all(inverse);
  for (k = 0; k + 8 <= n; k += 8) store(x + k, mul(load(x + k), vinverse));
  for (; k < n; ++k) x[k] *= inverse;
}

void attn_context(const QueryGroup& group, float* p, std::int64_t p_stride, const f16* const* pages,
                  std::int64_t offset, std::int64_t head_dim, float* out, std::int64_t out_stride) {
  for_each_query(group, [&](std::int64_t t, std::int64_t h, std::int64_t row, std::int64_t cells) {
    context_of(p + row * p_stride, pages, offset, head_dim, cells, out + t * out_stride + h * head_dim);
  });
}

}  // namespace bitnet::neon
