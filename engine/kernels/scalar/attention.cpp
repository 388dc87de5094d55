// Attention over the paged KV cache: scores, softmax (reference-semantics 5.3, 6.3, 6.6), context.

#include <limits>

#include "engine/kernels/declare.h"
#include "engine/kernels/each_query.h"
#include "engine/kernels/scalar/exp.h"
#include "engine/kernels/scalar/half.h"
#include "engine/kernels/scalar/lanes.h"

namespace bitnet::scalar {
namespace {

static_assert(kPageCells == kStep, "attn_context takes one page per step of the sum");

/// The scores of one query.
void scores_of(const f16* q, const f16* const* pages, std::int64_t cell_stride, std::int64_t offset,
               std::int64_t head_dim, std::int64_t cells, float* scores) {
  for (std::int64_t c = 0; c < cells; ++c) {
    const f16* key = pages[c / kPageCells] + c % kPageCells * cell_stride + offset;
    scores[c] = dot_f16(key, q, head_dim);
  }
}

/// The context of one query.
void context_of(const float* p, const f16* const* pages, std::int64_t offset, std::int64_t head_dim,
                std::int64_t cells, float* out) {
  // The row counts as `padded` long; a remainder of 32 is the tail. Cells from `cells` on add +0 to sums that
  // are never -0, so they are left out.
  const std::int64_t padded = (cells + 31) / 32 * 32;
  const std::int64_t stepped = padded / kStep * kStep;
  constexpr std::int64_t kChannels = 16;  // taken together, so that p is rounded once for all of them
  for (std::int64_t first = 0; first < head_dim; first += kChannels) {
    const std::int64_t channels = head_dim - first < kChannels ? head_dim - first : kChannels;
    Accumulators a[kChannels];
    for (std::int64_t c = 0; c < stepped; c += kStep) {
      const std::int64_t valid = cells - c < kStep ? cells - c : kStep;
      float rounded[kStep] = {};
      for (std::int64_t i = 0; i < valid; ++i) rounded[i] = f16_to_f32(f32_to_f16(p[c + i]));
      for (std::int64_t d = 0; d < channels; ++d) {
        float values[kStep];
        widen_step(pages[c / kPageCells] + (offset + first + d) * kPageCells, values);
        for (std::int64_t i = 0; i < valid; ++i) a[d].acc[i] += rounded[i] * values[i];
      }
    }
    for (std::int64_t d = 0; d < channels; ++d) {
      double sum = static_cast<double>(a[d].sum());
      for (std::int64_t c = stepped; c < cells; ++c) {
        const f16 value = pages[c / kPageCells][(offset + first + d) * kPageCells + c % kPageCells];
        sum += static_cast<double>(f16_to_f32(f32_to_f16(p[c])) * f16_to_f32(value));
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
  float greatest = -std::numeric_limits<float>::infinity();
  for (std::int64_t k = 0; k < n; ++k) {
    x[k] *= scale;
    greatest = x[k] > greatest ? x[k] : greatest;
  }
  double sum = 0;
  for (std::int64_t k = 0; k < n; k += kLanes) {
    float chunk[kLanes] = {};
    for (std::int64_t l = 0; l < kLanes && k + l < n; ++l) {
      chunk[l] = polynomial_exp(x[k + l] - greatest);
      x[k + l] = chunk[l];
    }
    sum += static_cast<double>(fold(chunk));
  }
  const float inverse = static_cast<float>(1.0 / sum);
  for (std::int64_t k = 0; k < n; ++k) x[k] *= inverse;
}

void attn_context(const QueryGroup& group, float* p, std::int64_t p_stride, const f16* const* pages,
                  std::int64_t offset, std::int64_t head_dim, float* out, std::int64_t out_stride) {
  for_each_query(group, [&](std::int64_t t, std::int64_t h, std::int64_t row, std::int64_t cells) {
    context_of(p + row * p_stride, pages, offset, head_dim, cells, out + t * out_stride + h * head_dim);
  });
}

}  // namespace bitnet::scalar
