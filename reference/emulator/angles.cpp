#include "reference/emulator/angles.h"

#include <cmath>

#include "reference/oracle/numbers.h"

namespace crossval::emulation {

Angles::Angles(const bitnet::Config& c, std::span<const float> divisors, Rope rope, const RopeTable& table)
    : pairs_(c.n_rot / 2),
      frequency_scale_(c.rope_freq_scale),
      libm_(rope == Rope::libm),
      divisors_(divisors.begin(), divisors.end()) {
  const float exponent = -2.0f / static_cast<float>(c.n_rot);
  step_ = libm_ ? ::powf(c.rope_freq_base, exponent)
                : static_cast<float>(
                      numbers::pow(static_cast<double>(c.rope_freq_base), static_cast<double>(exponent)));
  if (rope == Rope::table) table_ = table;
}

void Angles::prepare(std::int64_t n) {
  for (auto ready = std::ssize(table_.cosines) / pairs_; ready < n; ++ready) {
    // By recurrence in binary32, as the reference does: the rounding of every step is part of the result.
    auto theta = static_cast<float>(ready);
    for (std::int64_t i = 0; i < pairs_; ++i) {
      const float divided = divisors_.empty() ? theta : theta / divisors_[static_cast<std::size_t>(i)];
      const float angle = frequency_scale_ * divided;
      if (libm_) {
        table_.cosines.push_back(::cosf(angle));
        table_.sines.push_back(::sinf(angle));
      } else {
        const auto [sine, cosine] = numbers::sine_cosine(static_cast<double>(angle));
        table_.cosines.push_back(static_cast<float>(cosine));
        table_.sines.push_back(static_cast<float>(sine));
      }
      theta *= step_;
    }
  }
}

}  // namespace crossval::emulation
