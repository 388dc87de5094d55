#include "engine/model/rope_table.h"

#include <algorithm>
#include <cmath>

#include "engine/kernels/rounded_math.h"

namespace bitnet {

RopeTable::RopeTable(const Config& config, std::span<const float> freqs, RopeMath math)
    : half_(config.n_rot / 2),
      step_(0),
      freq_scale_(config.rope_freq_scale),
      math_(math),
      freqs_(freqs.begin(), freqs.end()) {
  const float exponent = -2.0f / static_cast<float>(config.n_rot);
  step_ = math == RopeMath::own ? rounded_pow(config.rope_freq_base, exponent)
                                : ::powf(config.rope_freq_base, exponent);
  // Reserved once, so that a generated token allocates nothing; untouched pages cost no memory.
  cos_.reserve(static_cast<std::size_t>(config.n_ctx * half_));
  sin_.reserve(static_cast<std::size_t>(config.n_ctx * half_));
}

RopeTable::RopeTable(const Config& config, std::span<const float> freqs, std::vector<float> cos,
                     std::vector<float> sin)
    : RopeTable(config, freqs, RopeMath::own) {
  const std::size_t rows = std::min(cos.size(), sin.size()) / static_cast<std::size_t>(half_);
  cos_.assign(cos.begin(), cos.begin() + static_cast<std::ptrdiff_t>(rows * static_cast<std::size_t>(half_)));
  sin_.assign(sin.begin(), sin.begin() + static_cast<std::ptrdiff_t>(rows * static_cast<std::size_t>(half_)));
  ready_ = static_cast<std::int64_t>(rows);
}

void RopeTable::prepare(std::int64_t positions) {
  for (; ready_ < positions; ++ready_) {
    // The recurrence in binary32 is the reference's; a closed form would round elsewhere.
    float theta = static_cast<float>(ready_);
    for (std::int64_t i = 0; i < half_; ++i) {
      const float divided = freqs_.empty() ? theta : theta / freqs_[static_cast<std::size_t>(i)];
      const float angle = freq_scale_ * divided;
      cos_.push_back(math_ == RopeMath::own ? rounded_cos(angle) : ::cosf(angle));
      sin_.push_back(math_ == RopeMath::own ? rounded_sin(angle) : ::sinf(angle));
      theta = theta * step_;
    }
  }
}

RopeTable::Row RopeTable::row(std::int64_t position) const {
  return {cos_.data() + position * half_, sin_.data() + position * half_};
}

}  // namespace bitnet
