#pragma once
// Fixed-point numbers of 320 bits, for the one argument in millions whose rounding double precision cannot
// decide. Plain integer loops: slow and the same everywhere.

#include <array>
#include <cstdint>

namespace bitnet::rounding {

/// A number in [0, 2^32): 32 bits before the point, 288 after it. Results are truncated.
class Wide {
 public:
  static constexpr int kLimbs = 10;  // of 32 bits, least significant first
  static constexpr int kFractionBits = 32 * (kLimbs - 1);

  constexpr Wide() = default;
  constexpr explicit Wide(std::uint32_t integer) { limbs_[kLimbs - 1] = integer; }

  std::uint32_t& limb(int i) { return limbs_[static_cast<std::size_t>(i)]; }
  std::uint32_t limb(int i) const { return limbs_[static_cast<std::size_t>(i)]; }

  bool bit(int i) const { return i >= 0 && i < 32 * kLimbs && ((limb(i / 32) >> (i % 32)) & 1u) != 0; }

  /// Position of the highest bit set, -1 for zero.
  int top_bit() const {
    int i = 32 * kLimbs - 1;
    while (i >= 0 && !bit(i)) --i;
    return i;
  }

  bool is_zero() const { return limbs_ == std::array<std::uint32_t, kLimbs>{}; }

  friend bool operator<(const Wide& a, const Wide& b) {
    for (int i = kLimbs - 1; i >= 0; --i) {
      if (a.limb(i) != b.limb(i)) return a.limb(i) < b.limb(i);
    }
    return false;
  }

  /// Modulo 2^32.
  friend Wide operator+(const Wide& a, const Wide& b) {
    Wide r;
    std::uint64_t carry = 0;
    for (int i = 0; i < kLimbs; ++i) {
      carry += std::uint64_t{a.limb(i)} + b.limb(i);
      r.limb(i) = static_cast<std::uint32_t>(carry);
      carry >>= 32;
    }
    return r;
  }

  /// Modulo 2^32.
  friend Wide operator-(const Wide& a, const Wide& b) {
    Wide r;
    std::uint64_t borrow = 0;
    for (int i = 0; i < kLimbs; ++i) {
      const std::uint64_t difference = std::uint64_t{a.limb(i)} - b.limb(i) - borrow;
      r.limb(i) = static_cast<std::uint32_t>(difference);
      borrow = difference >> 63;
    }
    return r;
  }

  friend Wide operator*(const Wide& a, const Wide& b) {
    std::array<std::uint32_t, 2 * kLimbs> product = {};
    for (std::size_t i = 0; i < kLimbs; ++i) {
      std::uint64_t carry = 0;
      for (std::size_t j = 0; j < kLimbs; ++j) {
        carry += std::uint64_t{a.limbs_[i]} * b.limbs_[j] + product[i + j];
        product[i + j] = static_cast<std::uint32_t>(carry);
        carry >>= 32;
      }
      product[i + kLimbs] = static_cast<std::uint32_t>(carry);
    }
    Wide r;
    for (std::size_t i = 0; i < kLimbs; ++i) r.limbs_[i] = product[i + kLimbs - 1];
    return r;
  }

  friend Wide operator*(const Wide& a, std::uint32_t factor) {
    Wide r;
    std::uint64_t carry = 0;
    for (int i = 0; i < kLimbs; ++i) {
      carry += std::uint64_t{a.limb(i)} * factor;
      r.limb(i) = static_cast<std::uint32_t>(carry);
      carry >>= 32;
    }
    return r;
  }

  friend Wide operator/(const Wide& a, std::uint32_t divisor) {
    Wide r;
    std::uint64_t remainder = 0;
    for (int i = kLimbs - 1; i >= 0; --i) {
      const std::uint64_t value = (remainder << 32) | a.limb(i);
      r.limb(i) = static_cast<std::uint32_t>(value / divisor);
      remainder = value % divisor;
    }
    return r;
  }

  /// Times 2^places; places may be negative.
  Wide shifted(int places) const {
    Wide r;
    for (int i = 0; i < 32 * kLimbs; ++i) {
      if (bit(i - places)) r.limb(i / 32) |= 1u << (i % 32);
    }
    return r;
  }

 private:
  std::array<std::uint32_t, kLimbs> limbs_ = {};
};

/// arctan(1 / n), or artanh(1 / n) where `hyperbolic`; n >= 2.
inline Wide arctangent_of_inverse(std::uint32_t n, bool hyperbolic) {
  Wide power = Wide(1) / n;
  Wide sum;
  for (std::uint32_t k = 0; !power.is_zero(); ++k) {
    const Wide term = power / (2 * k + 1);
    sum = hyperbolic || k % 2 == 0 ? sum + term : sum - term;
    power = power / n / n;
  }
  return sum;
}

inline Wide wide_ln2() {
  return arctangent_of_inverse(3, true) * 2u;
}

/// pi / 2, by Machin's formula.
inline Wide wide_half_pi() {
  return (arctangent_of_inverse(5, false) * 4u - arctangent_of_inverse(239, false)) * 2u;
}

/// ln(1 + t) for 0 <= t <= 1, t = numerator / 2^23.
inline Wide wide_log1p(std::uint32_t numerator) {
  // 2 artanh(s), s = t / (2 + t) <= 1/3.
  const Wide s = Wide(numerator) / ((1u << 24) + numerator);
  const Wide s2 = s * s;
  Wide power = s;
  Wide sum;
  for (std::uint32_t k = 1; !power.is_zero(); k += 2) {
    sum = sum + power / k;
    power = power * s2;
  }
  return sum * 2u;
}

/// e^r for 0 <= r < 1.
inline Wide wide_exp(const Wide& r) {
  Wide term(1);
  Wide sum;
  for (std::uint32_t k = 1; !term.is_zero(); ++k) {
    sum = sum + term;
    term = term * r / k;
  }
  return sum;
}

/// sin(r) for 0 <= r < 1, or cos(r).
inline Wide wide_sine(const Wide& r, bool cosine) {
  const Wide r2 = r * r;
  Wide term = cosine ? Wide(1) : r;
  Wide plus;
  Wide minus;
  for (std::uint32_t k = cosine ? 1 : 2; !term.is_zero(); k += 2) {
    plus = plus + term;
    term = term * r2 / k / (k + 1);
    minus = minus + term;
    k += 2;
    term = term * r2 / k / (k + 1);
  }
  return plus - minus;
}

/// The binary32 nearest to value * 2^exponent, value > 0 known to far better than 2^-230. Nearer than that to
/// the middle between two numbers counts as the middle (ties to even): powers can lie there exactly, and of
/// fewer than 2^64 arguments none comes nearer than some 2^-90 without lying on it.
inline float round_to_binary32(const Wide& value, int exponent) {
  const int top = value.top_bit();
  const int leading = top - Wide::kFractionBits + exponent;  // weight of the first bit
  if (leading > 127) return __builtin_inff();
  const int precision =
      leading >= -126 ? 24 : 24 - (-126 - leading);  // bits kept; 0 at half the least number
  if (precision < 0) return 0.0f;
  const int last = top + 1 - precision;  // position of the last bit kept
  std::uint32_t kept = 0;
  for (int i = top; i >= last; --i) kept = 2 * kept + (value.bit(i) ? 1u : 0u);

  // Compares what is cut off with a half, a bit below `tolerance` counting for nothing.
  constexpr int kTolerance = Wide::kFractionBits - 230;
  Wide rest = value;
  for (int i = last; i < 32 * Wide::kLimbs; ++i) rest.limb(i / 32) &= ~(1u << (i % 32));
  const Wide half = [&] {
    Wide h;
    h.limb((last - 1) / 32) = 1u << ((last - 1) % 32);
    return h;
  }();
  const bool above = !(rest < half);
  const Wide distance = above ? rest - half : half - rest;
  const bool tie = distance.top_bit() < kTolerance;
  if (tie ? kept % 2 == 1 : above) ++kept;

  // kept <= 2^24 is exact, and so is its scaling: in double every binary32 is normal.
  double scaled = static_cast<double>(kept);
  for (int e = last - Wide::kFractionBits + exponent; e != 0; e += e > 0 ? -1 : 1)
    scaled *= e > 0 ? 2.0 : 0.5;
  return static_cast<float>(scaled);
}

}  // namespace bitnet::rounding
