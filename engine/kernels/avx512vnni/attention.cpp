// Attention over the paged KV cache. The queries of a group are taken together: keys, values and
// probabilities are widened once for many of them.

#include "engine/kernels/avx512vnni/exp.h"
#include "engine/kernels/avx512vnni/simd.h"
#include "engine/kernels/declare.h"

namespace bitnet::avx512vnni {
namespace {

static_assert(kPageCells == kStep, "attn_context takes one page per step of the sum");

constexpr std::int64_t kRowBlock = 64;  // queries taken together; row t * heads + h is head h of token t

/// How many cells row `row` sees.
inline std::int64_t cells_of(const QueryGroup& group, std::int64_t row) {
  return group.cells + row / group.heads;
}

// ---- scores ----

constexpr std::int64_t kWidestHead = 256;  // for which queries are widened beforehand

inline const f16* key_of(const f16* const* pages, std::int64_t cell, std::int64_t cell_stride,
                         std::int64_t offset) {
  return pages[cell / kPageCells] + cell % kPageCells * cell_stride + offset;
}

/// p[0..n) widened; zeros follow up to a multiple of sixteen.
inline void widen_row(const f16* p, std::int64_t n, float* y) {
  for (std::int64_t k = 0; k < n; k += kLanes) _mm512_store_ps(y + k, load_f16(p + k, first_lanes(n - k)));
}

/// One query, widened, and the cells that it sees.
struct Query {
  alignas(64) float x[kWidestHead];
  float* scores;
  std::int64_t cells;
};

/// The keys of sixteen cells from `first`, widened.
struct Keys {
  std::int64_t first;
  alignas(64) float x[kLanes][kWidestHead];
  alignas(64) double tails[kStep][kLanes];  // element by element: what follows the last step of 64
};

void widen_keys(const f16* const* pages, std::int64_t count, std::int64_t cell_stride, std::int64_t offset,
                std::int64_t head_dim, Keys& keys) {
  for (std::int64_t i = 0; i < kLanes; ++i) {
    // Cells that fill up the sixteen repeat the first; their scores are not stored.
    widen_row(key_of(pages, keys.first + (i < count ? i : 0), cell_stride, offset), head_dim, keys.x[i]);
  }
  const std::int64_t stepped = head_dim / kStep * kStep;
  for (std::int64_t begin = stepped; begin < head_dim; begin += kLanes) {
    __m512 v[kLanes];
    for (int i = 0; i < kLanes; ++i) v[i] = _mm512_load_ps(keys.x[i] + begin);
    transpose(v);
    for (int i = 0; i < kLanes; ++i) {
      const Sums column = widen(v[i]);
      _mm512_store_pd(keys.tails[begin - stepped + i], column.low);
      _mm512_store_pd(keys.tails[begin - stepped + i] + 8, column.high);
    }
  }
}

/// Sixteen sums, plus the tails of the dot products in their order.
inline __m512 add_tails(__m512 sum, const Keys& keys, const float* query, std::int64_t n) {
  Sums sums = widen(sum);
  for (std::int64_t k = 0; k < n; ++k) {
    // The product of two binary16 numbers is exact, so that this rounds once, as an addition does.
    const __m512d q = _mm512_set1_pd(static_cast<double>(query[k]));
    sums.low = _mm512_fmadd_pd(_mm512_load_pd(keys.tails[k]), q, sums.low);
    sums.high = _mm512_fmadd_pd(_mm512_load_pd(keys.tails[k] + 8), q, sums.high);
  }
  return narrow(sums);
}

/// The steps of the dot products of kRows queries with sixteen keys, before the fold. Queries of kSteps steps
/// stay in registers; 0 stands for any number.
template <int kRows, int kSteps>
inline void multiply(const Keys& keys, const Query* queries, std::int64_t steps,
                     __m512 (&lanes)[kRows][kLanes]) {
  __m512 held[kRows][kSteps + 1][kAccumulators];
  for (int r = 0; r < kRows; ++r) {
    for (int s = 0; s < kSteps; ++s) {
      for (int j = 0; j < kAccumulators; ++j)
        held[r][s][j] = _mm512_load_ps(queries[r].x + s * kStep + kLanes * j);
    }
  }
  for (int i = 0; i < kLanes; ++i) {
    __m512 acc[kRows][kAccumulators];
    for (int r = 0; r < kRows; ++r) {
      for (int j = 0; j < kAccumulators; ++j) acc[r][j] = _mm512_setzero_ps();
    }
    for (std::int64_t s = 0; s < (kSteps == 0 ? steps : kSteps); ++s) {
      for (int j = 0; j < kAccumulators; ++j) {
        const std::int64_t at = s * kStep + kLanes * j;
        const __m512 key = in_place(_mm512_load_ps(keys.x[i] + at));
        for (int r = 0; r < kRows; ++r) {
          const __m512 query = kSteps == 0 ? _mm512_load_ps(queries[r].x + at) : held[r][s][j];
          acc[r][j] = _mm512_fmadd_ps(key, query, acc[r][j]);
        }
      }
    }
    for (int r = 0; r < kRows; ++r) lanes[r][i] = add_accumulators(acc[r]);
  }
}

/// Scores of kRows queries for sixteen cells.
template <int kRows>
void score_tile(const Keys& keys, std::int64_t head_dim, const Query* queries) {
  const std::int64_t steps = head_dim / kStep;
  const std::int64_t tail = head_dim % kStep;
  __m512 lanes[kRows][kLanes];
  if (steps == 2) {
    multiply<kRows, 2>(keys, queries, steps, lanes);
  } else if (steps == 1) {
    multiply<kRows, 1>(keys, queries, steps, lanes);
  } else {
    multiply<kRows, 0>(keys, queries, steps, lanes);
  }
  for (int r = 0; r < kRows; ++r) {
    const Query& query = queries[r];
    __m512 result = fold_sixteen(lanes[r]);
    if (tail > 0) result = add_tails(result, keys, query.x + steps * kStep, tail);
    _mm512_mask_storeu_ps(query.scores + keys.first, first_lanes(query.cells - keys.first), result);
  }
}

/// For any head_dim, one cell at a time.
float score_of_one(const f16* key, const f16* q, std::int64_t head_dim) {
  __m512 acc[kAccumulators];
  for (__m512& each : acc) each = _mm512_setzero_ps();
  std::int64_t k = 0;
  for (; k + kStep <= head_dim; k += kStep) {
    for (int j = 0; j < kAccumulators; ++j)
      acc[j] = _mm512_fmadd_ps(load_f16(key + k + kLanes * j), load_f16(q + k + kLanes * j), acc[j]);
  }
  double sum = static_cast<double>(fold(add_accumulators(acc)));
  for (; k < head_dim; ++k) sum += static_cast<double>(to_f32_one(key[k]) * to_f32_one(q[k]));
  return static_cast<float>(sum);
}

// ---- context ----

/// To binary16 and back, where they are.
inline void round_row(float* p, std::int64_t n) {
  for (std::int64_t k = 0; k < n; k += kLanes) {
    const __mmask16 mask = first_lanes(n - k);
    const __m256i half = _mm512_cvtps_ph(_mm512_maskz_loadu_ps(mask, p + k), _MM_FROUND_TO_NEAREST_INT);
    _mm512_mask_storeu_ps(p + k, mask, _mm512_cvtph_ps(half));
  }
}

/// Where the context of a row begins.
inline std::int64_t place_of(const QueryGroup& group, std::int64_t row, std::int64_t head_dim,
                             std::int64_t stride) {
  return row / group.heads * stride + row % group.heads * head_dim;
}

/// Of a row of n cells, how many the steps take; the rest is its tail. The row counts as if rounded up to 32
/// cells, and whole pages of that are steps.
inline std::int64_t stepped_cells(std::int64_t n) {
  const std::int64_t steps = (n + 31) / 32 * 32 / kStep * kStep;
  return smaller(n, steps);
}

/// Queries that are multiplied with the same values.
template <int kRows>
struct ContextTile {
  const float* p[kRows];  // rounded to binary16
  std::int64_t whole;     // pages of which the steps of each query take every cell
  std::int64_t end;       // pages of which the steps of any query take some
  // Of the others: those are two at most, so near each other do the queries end.
  __mmask16 taken[2][kAccumulators][kRows];
};

template <int kRows>
ContextTile<kRows> tile_of(const QueryGroup& group, std::int64_t first, const float* p,
                           std::int64_t p_stride) {
  ContextTile<kRows> tile;
  tile.whole = stepped_cells(cells_of(group, first)) / kStep;
  tile.end = (stepped_cells(cells_of(group, first + kRows - 1)) + kStep - 1) / kStep;
  for (int r = 0; r < kRows; ++r) {
    tile.p[r] = p + (first + r) * p_stride;
    const std::int64_t cells = stepped_cells(cells_of(group, first + r));
    for (std::int64_t page = tile.whole; page < tile.end; ++page) {
      for (int j = 0; j < kAccumulators; ++j)
        tile.taken[page - tile.whole][j][r] = first_lanes(cells - page * kStep - kLanes * j);
    }
  }
  return tile;
}

/// One channel of the tile, whose values begin at `at` in each page: the steps before the fold.
template <int kRows>
inline void multiply(const ContextTile<kRows>& tile, const f16* const* pages, std::int64_t at,
                     __m512 (&sums)[kRows]) {
  __m512 acc[kRows][kAccumulators];
  for (int r = 0; r < kRows; ++r) {
    for (int j = 0; j < kAccumulators; ++j) acc[r][j] = _mm512_setzero_ps();
  }
  for (std::int64_t page = 0; page < tile.whole; ++page) {
    for (int j = 0; j < kAccumulators; ++j) {
      const __m512 values = load_f16(pages[page] + at + kLanes * j);
      for (int r = 0; r < kRows; ++r) {
        const __m512 weights = _mm512_loadu_ps(tile.p[r] + page * kStep + kLanes * j);
        acc[r][j] = in_place(_mm512_fmadd_ps(weights, values, acc[r][j]));
      }
    }
  }
  for (std::int64_t page = tile.whole; page < tile.end; ++page) {
    for (int j = 0; j < kAccumulators; ++j) {
      const __m512 values = load_f16(pages[page] + at + kLanes * j);
      for (int r = 0; r < kRows; ++r) {
        // Stored values that the query does not see may be anything, NaN too.
        const __mmask16 mask = tile.taken[page - tile.whole][j][r];
        const __m512 weights = _mm512_maskz_loadu_ps(mask, tile.p[r] + page * kStep + kLanes * j);
        acc[r][j] = in_place(_mm512_mask3_fmadd_ps(weights, values, acc[r][j], mask));
      }
    }
  }
  for (int r = 0; r < kRows; ++r) sums[r] = add_accumulators(acc[r]);
}

/// The steps of the contexts of kRows rows from `first`.
template <int kRows>
void step_context(const QueryGroup& group, std::int64_t first, const float* p, std::int64_t p_stride,
                  const f16* const* pages, std::int64_t offset, std::int64_t head_dim, float* out,
                  std::int64_t out_stride) {
  const ContextTile<kRows> tile = tile_of<kRows>(group, first, p, p_stride);
  for (std::int64_t channel = 0; channel < head_dim; channel += kLanes) {
    const std::int64_t channels = smaller(kLanes, head_dim - channel);
    if (tile.end == 0) {  // few cells, all of them in the tail
      for (int r = 0; r < kRows; ++r) {
        float* y = out + place_of(group, first + r, head_dim, out_stride) + channel;
        _mm512_mask_storeu_ps(y, first_lanes(channels), _mm512_setzero_ps());
      }
      continue;
    }
    __m512 lanes[kRows][kLanes];
    for (std::int64_t d = 0; d < kLanes; ++d) {
      __m512 sums[kRows];
      // Channels that fill up the sixteen repeat the first; their sums are not stored.
      multiply(tile, pages, (offset + channel + (d < channels ? d : 0)) * kPageCells, sums);
      for (int r = 0; r < kRows; ++r) lanes[r][d] = sums[r];
    }
    for (int r = 0; r < kRows; ++r) {
      float* y = out + place_of(group, first + r, head_dim, out_stride) + channel;
      _mm512_mask_storeu_ps(y, first_lanes(channels), fold_sixteen(lanes[r]));
    }
  }
}

constexpr std::int64_t kTail = 32;  // cells of a tail, at most

/// The tail's cells of a page, cell by cell, for sixteen channels.
struct TailValues {
  alignas(64) double values[kTail][kLanes];
};

/// From the values of a page's first channel on, `cells` of them; what fills up sixteen channels is zero.
void widen_tail(const f16* values, std::int64_t channels, std::int64_t cells, TailValues& tail) {
  for (std::int64_t begin = 0; begin < cells; begin += kLanes) {
    __m512 v[kLanes];
    for (int d = 0; d < kLanes; ++d)
      v[d] = d < channels ? load_f16(values + d * kPageCells + begin) : _mm512_setzero_ps();
    transpose(v);
    for (int c = 0; c < kLanes; ++c) {
      const Sums wide = widen(v[c]);
      _mm512_store_pd(tail.values[begin + c], wide.low);
      _mm512_store_pd(tail.values[begin + c] + 8, wide.high);
    }
  }
}

/// Adds a tail of `cells` cells to the contexts of kRows rows, which lie y_stride apart.
template <int kRows>
inline void add_tail(const TailValues& tail, std::int64_t cells, const double (*p)[kTail], float* y,
                     std::int64_t y_stride, __mmask16 mask) {
  Sums sums[kRows];
  for (int r = 0; r < kRows; ++r) sums[r] = widen(_mm512_maskz_loadu_ps(mask, y + r * y_stride));
  for (std::int64_t c = 0; c < cells; ++c) {
    const __m512d low = _mm512_load_pd(tail.values[c]);
    const __m512d high = _mm512_load_pd(tail.values[c] + 8);
    for (int r = 0; r < kRows; ++r) {
      const __m512d weight = _mm512_set1_pd(p[r][c]);  // exact products, as in the scores' tails
      sums[r].low = _mm512_fmadd_pd(low, weight, sums[r].low);
      sums[r].high = _mm512_fmadd_pd(high, weight, sums[r].high);
    }
  }
  for (int r = 0; r < kRows; ++r) _mm512_mask_storeu_ps(y + r * y_stride, mask, narrow(sums[r]));
}

/// Of the rows [first, first + count), count <= kRowBlock: adds the tails to what the steps gave.
void tail_context(const QueryGroup& group, std::int64_t first, std::int64_t count, const float* p,
                  std::int64_t p_stride, const f16* const* pages, std::int64_t offset, std::int64_t head_dim,
                  float* out, std::int64_t out_stride) {
  alignas(64) double wide_p[kRowBlock][kTail];
  bool any = false;
  for (std::int64_t r = 0; r < count; ++r) {
    const std::int64_t cells = cells_of(group, first + r);
    const std::int64_t begin = stepped_cells(cells);
    any = any || begin < cells;
    for (std::int64_t c = begin; c < cells; c += kLanes) {
      const __m512 some = _mm512_maskz_loadu_ps(first_lanes(cells - c), p + (first + r) * p_stride + c);
      const Sums wide = widen(some);
      _mm512_store_pd(wide_p[r] + (c - begin), wide.low);
      _mm512_store_pd(wide_p[r] + (c - begin) + 8, wide.high);
    }
  }
  if (!any) return;
  for (std::int64_t channel = 0; channel < head_dim; channel += kLanes) {
    const std::int64_t channels = smaller(kLanes, head_dim - channel);
    TailValues tail;
    std::int64_t held = -1;  // the page whose values it has
    std::int64_t rows = 0;
    for (std::int64_t r = 0; r < count; r += rows) {
      // The heads of one token: they see the same cells, and their contexts follow one another.
      rows = smaller(count - r, group.heads - (first + r) % group.heads);
      const std::int64_t cells = cells_of(group, first + r);
      const std::int64_t begin = stepped_cells(cells);
      if (begin == cells) continue;
      const std::int64_t page = begin / kPageCells;
      if (page != held) {
        // The last row that has its tail in this page sees most of it.
        const std::int64_t most = smaller(cells_of(group, first + count - 1) - begin, kTail);
        widen_tail(pages[page] + (offset + channel) * kPageCells, channels, most, tail);
      }
      held = page;
      float* y = out + place_of(group, first + r, head_dim, out_stride) + channel;
      const auto add = [&]<int kRows>(std::int64_t h) {
        add_tail<kRows>(tail, cells - begin, wide_p + r + h, y + h * head_dim, head_dim,
                        first_lanes(channels));
      };
      std::int64_t h = 0;
      for (; h + 4 <= rows; h += 4) add.operator()<4>(h);
      for (; h < rows; ++h) add.operator()<1>(h);
    }
  }
}

}  // namespace

void attn_scores(const QueryGroup& group, const f16* q, std::int64_t q_stride, const f16* const* pages,
                 std::int64_t cell_stride, std::int64_t offset, std::int64_t head_dim, float* scores,
                 std::int64_t scores_stride) {
  const std::int64_t rows = group.tokens * group.heads;
  if (rows == 1) {  // keys that serve one query are better not widened beforehand
    avx2::attn_scores(group, q, q_stride, pages, cell_stride, offset, head_dim, scores, scores_stride);
    return;
  }
  const auto query_of = [&](std::int64_t row) {
    return q + row / group.heads * q_stride + row % group.heads * head_dim;
  };
  if (head_dim > kWidestHead) {
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t c = 0; c < cells_of(group, row); ++c) {
        scores[row * scores_stride + c] =
            score_of_one(key_of(pages, c, cell_stride, offset), query_of(row), head_dim);
      }
    }
    return;
  }
  Query queries[kRowBlock];
  Keys keys;
  for (std::int64_t first = 0; first < rows; first += kRowBlock) {
    const std::int64_t count = smaller(kRowBlock, rows - first);
    for (std::int64_t r = 0; r < count; ++r) {
      widen_row(query_of(first + r), head_dim, queries[r].x);
      queries[r].scores = scores + (first + r) * scores_stride;
      queries[r].cells = cells_of(group, first + r);
    }
    const std::int64_t cells = queries[count - 1].cells;
    std::int64_t seeing = 0;  // the first row that sees the cells at hand
    for (keys.first = 0; keys.first < cells; keys.first += kLanes) {
      widen_keys(pages, smaller(kLanes, cells - keys.first), cell_stride, offset, head_dim, keys);
      while (queries[seeing].cells <= keys.first) ++seeing;
      std::int64_t r = seeing;
      for (; r + 2 <= count; r += 2) score_tile<2>(keys, head_dim, queries + r);
      if (r < count) score_tile<1>(keys, head_dim, queries + r);
    }
  }
}

void softmax(float* x, std::int64_t n, float scale) {
  const __m512 vscale = _mm512_set1_ps(scale);
  const __m512 least = _mm512_set1_ps(-__builtin_inff());
  __m512 greatest = least;
  for (std::int64_t k = 0; k < n; k += kLanes) {
    const __mmask16 mask = first_lanes(n - k);
    const __m512 w = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + k), vscale);
    _mm512_mask_storeu_ps(x + k, mask, w);
    // The second operand wins over a NaN in the first.
    greatest = _mm512_mask_max_ps(greatest, mask, w, greatest);
  }
  const __m512 most = _mm512_set1_ps(_mm512_reduce_max_ps(greatest));

  // Chunks of sixteen, sixteen of them folded together, their sums added one after another.
  double sum = 0;
  for (std::int64_t k = 0; k < n;) {
    __m512 chunks[16];
    std::int64_t count = 0;
    for (; count < 16 && k < n; ++count, k += kLanes) {
      const __mmask16 mask = first_lanes(n - k);
      const __m512 e = polynomial_exp(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, x + k), most));
      chunks[count] = _mm512_maskz_mov_ps(mask, e);
      _mm512_mask_storeu_ps(x + k, mask, e);
    }
    for (std::int64_t i = count; i < 16; ++i) chunks[i] = _mm512_setzero_ps();
    alignas(64) float sums[kLanes];
    _mm512_store_ps(sums, fold_sixteen(chunks));
    for (std::int64_t i = 0; i < count; ++i) sum += static_cast<double>(sums[i]);
  }

  const __m512 inverse = _mm512_set1_ps(static_cast<float>(1.0 / sum));
  for (std::int64_t k = 0; k < n; k += kLanes) {
    const __mmask16 mask = first_lanes(n - k);
    _mm512_mask_storeu_ps(x + k, mask, _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + k), inverse));
  }
}

void attn_context(const QueryGroup& group, float* p, std::int64_t p_stride, const f16* const* pages,
                  std::int64_t offset, std::int64_t head_dim, float* out, std::int64_t out_stride) {
  const std::int64_t rows = group.tokens * group.heads;
  for (std::int64_t r = 0; r < rows; ++r) round_row(p + r * p_stride, cells_of(group, r));
  std::int64_t row = 0;
  const auto steps = [&]<int kRows>() {
    for (; row + kRows <= rows; row += kRows)
      step_context<kRows>(group, row, p, p_stride, pages, offset, head_dim, out, out_stride);
  };
  steps.operator()<6>();
  steps.operator()<4>();
  steps.operator()<2>();
  steps.operator()<1>();
  for (std::int64_t first = 0; first < rows; first += kRowBlock) {
    tail_context(group, first, smaller(kRowBlock, rows - first), p, p_stride, pages, offset, head_dim, out,
                 out_stride);
  }
}

}  // namespace bitnet::avx512vnni
