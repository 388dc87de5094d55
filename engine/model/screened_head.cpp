#include "engine/model/screened_head.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/model/grow.h"

namespace bitnet {
namespace {

constexpr std::int64_t kMaxCols = 65536;  // activations keep 8 bits there, 12 at 2560
constexpr std::int64_t kGrain = 64;       // rows of the head in a chunk

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
      sizes_(index(head.rows)) {
  pool_.parallel_for(head_.rows, kGrain, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t m = begin; m < end; ++m) {
      const std::size_t i = index(m);
      kernels_.screen_row(head_.half() + m * head_.cols, head_.cols, codes_ + m * head_.cols, &scales_[i],
                          &errors_[i], &sizes_[i]);
    }
  });
}

bool ScreenedHead::quantize(const f16* x, std::int64_t rows) {
  const std::int64_t n = head_.cols;
  // Every sum of products of codes fits int32 in any order.
  const double limit = static_cast<double>(
      std::min<std::int64_t>(32767, std::numeric_limits<std::int32_t>::max() / (127 * n)));
  const double lost = rounding(n);
  x_codes_.resize(index(rows * n));
  x_scales_.resize(index(rows));
  x_norms_.resize(index(rows));
  x_slacks_.resize(index(rows));
  for (std::int64_t t = 0; t < rows; ++t) {
    const f16* row = x + t * n;
    std::int16_t* codes = x_codes_.data() + t * n;
    f16 greatest = 0;
    for (std::int64_t k = 0; k < n; ++k) greatest = std::max(greatest, static_cast<f16>(row[k] & 0x7fffu));
    if (greatest >= 0x7c00) return false;
    // In binary32, so that scale * code and what it leaves of the activation are exact in double.
    const double top = static_cast<double>(f16_to_f32(greatest));
    const double scale = static_cast<double>(static_cast<float>(top / limit));
    const double inverse = greatest == 0 ? 0 : limit / top;
    double squares = 0;
    double losses = 0;
    for (std::int64_t k = 0; k < n; ++k) {
      const double value = static_cast<double>(f16_to_f32(row[k]));
      // The nearest integer (ties to even) by the bits of a double; |value * inverse| may exceed the limit by
      // a rounding, never by a half.
      const double code = (value * inverse + 0x1.8p52) - 0x1.8p52;
      codes[k] = static_cast<std::int16_t>(code);
      const double loss = value - scale * code;
      squares += value * value;
      losses += loss * loss;
    }
    // Above zero, so that an infinite error times it is infinite.
    const double norm = std::sqrt(squares) * kScreenUp + 0x1p-40;
    x_scales_[index(t)] = scale;
    x_norms_[index(t)] = norm;
    x_slacks_[index(t)] = (std::sqrt(losses) + lost * norm) * kScreenUp;
  }
  return true;
}

bool ScreenedHead::bounds(const f16* x, std::int64_t rows) {
  if (!quantize(x, rows)) return false;
  const std::int64_t n_rows = head_.rows;
  lower_.resize(index(rows * n_rows));
  upper_.resize(index(rows * n_rows));
  greatest_.assign(index(pool_.threads() * rows), -std::numeric_limits<float>::infinity());
  const ScreenMatrix w = {codes_, scales_.data(), errors_.data(), sizes_.data(), head_.cols};
  const ScreenRows q = {x_codes_.data(), x_scales_.data(), x_norms_.data(), x_slacks_.data(), rows};
  pool_.parallel_for(n_rows, kGrain, [&](std::int64_t begin, std::int64_t end, int worker) {
    kernels_.screen_bounds(w, begin, end, q, lower_.data(), upper_.data(), n_rows);
    for (std::int64_t t = 0; t < rows; ++t) {
      float& greatest = greatest_[index(worker * rows + t)];
      const float* low = lower_.data() + t * n_rows;
      for (std::int64_t m = begin; m < end; ++m) greatest = low[m] > greatest ? low[m] : greatest;
    }
  });
  return true;
}

bool ScreenedHead::find_survivors(const f16* x, std::int64_t rows) {
  survivors_ = 0;
  if (!bounds(x, rows)) return false;
  const std::int64_t limit = max_survivors() * rows;
  // Reserved for the most there can be, so that no later token allocates; untouched memory costs nothing.
  candidates_.reserve(index(limit));
  candidates_.clear();
  for (std::int64_t t = 0; t < rows; ++t) {
    float threshold = -std::numeric_limits<float>::infinity();
    for (int worker = 0; worker < pool_.threads(); ++worker)
      threshold = std::max(threshold, greatest_[index(worker * rows + t)]);
    const float* high = upper_.data() + t * head_.rows;
    for (std::int64_t m = 0; m < head_.rows; ++m) {
      if (high[m] < threshold) continue;
      if (++survivors_ <= limit) candidates_.push_back({t, m});
    }
  }
  return survivors_ <= limit;
}

bool ScreenedHead::pick(const f16* x, std::span<Pick> picks, Profile* profile) {
  const auto rows = static_cast<std::int64_t>(picks.size());
  {
    const Timed timed(profile, Work::screen,
                      {.bytes = bytes(), .int_operations = 2 * rows * head_.rows * head_.cols});
    if (!find_survivors(x, rows)) return false;
  }
  const Timed timed(profile, Work::exact_rows,
                    {.bytes = survivors_ * head_.cols * static_cast<std::int64_t>(sizeof(f16)),
                     .float_operations = 2 * survivors_ * head_.cols});

  // matmul_f16 puts the result for row m at y[m]; the bounds have done their work, so lower_ takes it.
  pool_.parallel_for(survivors_, 8, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t i = begin; i < end; ++i) {
      const auto [t, m] = candidates_[index(i)];
      kernels_.matmul_f16(head_.half(), head_.cols, m, m + 1, x + t * head_.cols, 1, head_.cols,
                          lower_.data() + t * head_.rows, head_.rows);
    }
  });
  for (std::size_t i = 0; i < candidates_.size();) {
    const std::int64_t t = candidates_[i].row;
    Pick& best = picks[index(t)];
    // As Kernels::argmax: the first of the greatest, NaN never, row 0 where all are NaN (all survive then).
    best = {0, std::numeric_limits<float>::quiet_NaN()};
    for (bool none = true; i < candidates_.size() && candidates_[i].row == t; ++i) {
      const std::int64_t m = candidates_[i].m;
      const float logit = lower_[index(t * head_.rows + m)];
      if (none ? logit != logit : !(logit > best.logit)) continue;
      best = {static_cast<std::int32_t>(m), logit};
      none = false;
    }
  }
  return true;
}

}  // namespace bitnet
