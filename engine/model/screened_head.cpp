#include "engine/model/screened_head.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "engine/model/grow.h"

namespace bitnet {
namespace {

constexpr std::int64_t kMaxCols = 65536;  // wide activations keep 8 bits there, 12 at 2560
constexpr std::int64_t kBlock = 64;       // rows of the head whose bounds are looked at while they are near
constexpr std::int64_t kNear = 16;        // of them whose greatest bound is asked first
// With fewer rows of activations, memory takes longer than either kind of products.
constexpr std::int64_t kNarrowRows = 8;
// Above this part of the head, exact products take longer than the narrow codes save.
constexpr std::int64_t kNarrowPart = 32;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Lanes side by side, as vector units have them.
float greatest_of(const float* v, std::int64_t n) {
  float lanes[4] = {-kInfinity, -kInfinity, -kInfinity, -kInfinity};
  std::int64_t i = 0;
  for (; i + 4 <= n; i += 4) {
    for (int l = 0; l < 4; ++l) lanes[l] = v[i + l] > lanes[l] ? v[i + l] : lanes[l];
  }
  for (; i < n; ++i) lanes[0] = std::max(lanes[0], v[i]);
  return std::max(std::max(lanes[0], lanes[1]), std::max(lanes[2], lanes[3]));
}

/// Into the second cache: the head's rows that survive lie anywhere, so that no prefetcher finds them.
void ask_for(const f16* row, std::int64_t bytes) {
  for (std::int64_t at = 0; at < bytes; at += 64)
    __builtin_prefetch(reinterpret_cast<const std::byte*>(row) + at, 0, 2);
}

std::size_t index(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

}  // namespace

bool ScreenedHead::possible(const FloatMatrix& head) {
  return head.half() != nullptr && head.rows > 0 && head.cols > 0 && head.cols <= kMaxCols;
}

double ScreenedHead::rounding(std::int64_t n) {
  const double additions = static_cast<double>(n / 64 + 8) * 0x1p-24;
  return additions / (1 - additions);
}

ScreenedHead::ScreenedHead(const FloatMatrix& head, const Kernels& kernels, ThreadPool& pool)
    : head_(head),
      kernels_(kernels),
      pool_(pool),
      memory_(allocate_huge_pages(head.rows * head.cols)),
      codes_(reinterpret_cast<std::int8_t*>(memory_.get())),
      scales_(index(head.rows)),
      errors_(index(head.rows)),
      sizes_(index(head.rows)),
      found_(index(pool.threads())) {
  const auto screen_row = kernels_.take(&Kernels::screen_row);
  pool_.parallel_for(head_.rows, kBlock, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t m = begin; m < end; ++m) {
      const std::size_t i = index(m);
      screen_row(head_.half() + m * head_.cols, head_.cols, codes_ + m * head_.cols, &scales_[i], &errors_[i],
                 &sizes_[i]);
    }
  });
}

template <class Code>
bool ScreenedHead::quantize(const f16* x, std::int64_t rows, Activations<Code>& a) {
  const std::int64_t n = head_.cols;
  // Every sum of products of codes fits int32 in any order.
  const auto limit = static_cast<double>(std::min<std::int64_t>(
      std::numeric_limits<Code>::max(), std::numeric_limits<std::int32_t>::max() / (127 * n)));
  const double lost = rounding(n);
  a.codes = grow_aligned(a.memory, rows * n);
  grow(a.scales, rows);
  grow(a.norms, rows);
  grow(a.slacks, rows);
  pool_.parallel_for(rows, 1, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t t = begin; t < end; ++t) {
      const f16* row = x + t * n;
      Code* codes = a.codes + t * n;
      f16 greatest = 0;
      for (std::int64_t k = 0; k < n; ++k) greatest = std::max(greatest, static_cast<f16>(row[k] & 0x7fffu));
      if (greatest >= 0x7c00) {
        a.slacks[index(t)] = std::numeric_limits<double>::infinity();
        continue;
      }
      // In binary32, so that scale * code and what it leaves of the activation are exact in double.
      const double top = static_cast<double>(f16_to_f32(greatest));
      const double scale = static_cast<double>(static_cast<float>(top / limit));
      const double inverse = greatest == 0 ? 0 : limit / top;
      double squares = 0;
      double losses = 0;
      for (std::int64_t k = 0; k < n; ++k) {
        const double value = static_cast<double>(f16_to_f32(row[k]));
        // The nearest integer (ties to even) by the bits of a double; |value * inverse| may exceed the limit
        // by a rounding, never by a half.
        const double code = (value * inverse + 0x1.8p52) - 0x1.8p52;
        codes[k] = static_cast<Code>(code);
        const double loss = value - scale * code;
        squares += value * value;
        losses += loss * loss;
      }
      // Above zero, so that an infinite error times it is infinite.
      const double norm = std::sqrt(squares) * kScreenUp + 0x1p-40;
      a.scales[index(t)] = scale;
      a.norms[index(t)] = norm;
      a.slacks[index(t)] = (std::sqrt(losses) + lost * norm) * kScreenUp;
    }
  });
  return std::all_of(a.slacks.begin(), a.slacks.begin() + rows, [](double s) { return std::isfinite(s); });
}

template <class Code>
ScreenedHead::BoundsKernel<Code> ScreenedHead::bounds_kernel() {
  if constexpr (std::is_same_v<Code, std::int8_t>) {
    return kernels_.take(&Kernels::screen_bounds_int8);
  } else {
    return kernels_.take(&Kernels::screen_bounds);
  }
}

ScreenMatrix ScreenedHead::rows_from(std::int64_t m) const {
  return {codes_ + m * head_.cols, &scales_[index(m)], &errors_[index(m)], &sizes_[index(m)], head_.cols};
}

template <class Code>
void ScreenedHead::screen_block(BoundsKernel<Code> kernel, std::int64_t m, std::int64_t count,
                                const ScreenRows<Code>& x, std::size_t limit, Found& found) const {
  float* const lower = found.bounds.data();
  float* const upper = lower + x.rows * kBlock;
  kernel(rows_from(m), 0, count, x, lower, upper, kBlock);
  for (std::int64_t t = 0; t < x.rows; ++t) {
    float& greatest = found.greatest[index(t)];
    greatest = std::max(greatest, greatest_of(lower + t * kBlock, count));
    const float* const high = upper + t * kBlock;
    for (std::int64_t i = 0; i < count; i += kNear) {
      const std::int64_t end = std::min(i + kNear, count);
      if (greatest_of(high + i, end - i) < greatest) continue;
      for (std::int64_t j = i; j < end; ++j) {
        if (high[j] >= greatest)
          found.candidates.push_back(
              {static_cast<std::int32_t>(t), static_cast<std::int32_t>(m + j), high[j]});
      }
    }
  }
  // What was found before the greatest bound may be out by now.
  if (found.candidates.size() <= 2 * limit) return;
  std::erase_if(found.candidates, [&](const Candidate& c) { return c.value < found.greatest[index(c.t)]; });
  found.overflow = found.candidates.size() > limit;
}

bool ScreenedHead::merge(std::int64_t rows, std::int64_t limit) {
  std::vector<float>& thresholds = found_[0].greatest;
  bool overflow = false;
  for (const Found& found : found_) {
    for (std::int64_t t = 0; t < rows; ++t)
      thresholds[index(t)] = std::max(thresholds[index(t)], found.greatest[index(t)]);
    overflow = overflow || found.overflow;
  }
  candidates_.clear();
  survivors_ = 0;
  for (const Found& found : found_) {
    for (const Candidate& c : found.candidates) {
      if (c.value < thresholds[index(c.t)]) continue;
      if (++survivors_ <= limit) candidates_.push_back(c);
    }
  }
  return !overflow && survivors_ <= limit;
}

template <class Code>
bool ScreenedHead::screen(const f16* x, std::int64_t rows, std::int64_t limit, Activations<Code>& a,
                          Profile* profile) {
  const Timed timed(profile, Work::screen,
                    {.bytes = bytes(), .int_operations = 2 * rows * head_.rows * head_.cols});
  bytes_read_ += bytes();
  survivors_ = 0;
  if (!quantize(x, rows, a)) return false;
  for (Found& found : found_) {
    found.greatest.assign(index(rows), -kInfinity);
    grow(found.bounds, 2 * rows * kBlock);
    // Reserved for the most there can be, so that no later token allocates; untouched memory costs nothing.
    found.candidates.reserve(index(2 * limit + rows * kBlock));
    found.candidates.clear();
    found.overflow = false;
  }
  candidates_.reserve(index(limit));
  const ScreenRows<Code> codes = a.view(rows);
  const auto kernel = bounds_kernel<Code>();
  pool_.parallel_for(head_.rows, kBlock, [&](std::int64_t begin, std::int64_t end, int worker) {
    Found& found = found_[index(worker)];
    for (std::int64_t m = begin; m < end && !found.overflow; m += kBlock)
      screen_block(kernel, m, std::min(kBlock, end - m), codes, index(limit), found);
  });
  return merge(rows, limit);
}

bool ScreenedHead::bounds(const f16* x, std::int64_t rows, Codes codes, float* lower, float* upper) {
  const auto all = [&]<class Code>(Activations<Code>& a) {
    if (!quantize(x, rows, a)) return false;
    bounds_kernel<Code>()(rows_from(0), 0, head_.rows, a.view(rows), lower, upper, head_.rows);
    return true;
  };
  return codes == Codes::narrow ? all(narrow_) : all(wide_);
}

bool ScreenedHead::pick(const f16* x, std::span<Pick> picks, Profile* profile) {
  const auto rows = static_cast<std::int64_t>(picks.size());
  bytes_read_ = 0;
  bool few = false;
  if (rows >= kNarrowRows && narrow_pays_.ready()) {
    few = screen(x, rows, rows * ((head_.rows + kNarrowPart - 1) / kNarrowPart), narrow_, profile);
    few ? narrow_pays_.succeeded() : narrow_pays_.failed();
  }
  if (!few && !screen(x, rows, rows * max_survivors(), wide_, profile)) return false;

  const std::int64_t n = head_.cols;
  const auto row_bytes = n * static_cast<std::int64_t>(sizeof(f16));
  bytes_read_ += survivors_ * row_bytes;
  const Timed timed(profile, Work::exact_rows,
                    {.bytes = survivors_ * row_bytes, .float_operations = 2 * survivors_ * n});
  const auto multiply = kernels_.take(&Kernels::matmul_f16);
  pool_.parallel_for(survivors_, 8, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t i = begin; i < end; ++i) {
      Candidate& c = candidates_[index(i)];
      if (i + 1 < end) ask_for(head_.half() + candidates_[index(i + 1)].m * n, row_bytes);
      multiply(head_.half() + c.m * n, n, 0, 1, x + c.t * n, 1, n, &c.value, 1);
    }
  });

  // As Kernels::argmax: of the greatest the first, NaN never, row 0 where all are NaN (all survive then).
  std::fill(picks.begin(), picks.end(), Pick{0, std::numeric_limits<float>::quiet_NaN()});
  for (const Candidate& c : candidates_) {
    Pick& best = picks[index(c.t)];
    const bool better = c.value > best.logit || (c.value == best.logit && c.m < best.token);
    if (better || (best.logit != best.logit && c.value == c.value)) best = {c.m, c.value};
  }
  return true;
}

}  // namespace bitnet
