#pragma once
// Random numbers with the same stream on every platform: xoshiro256** seeded by splitmix64 (Blackman and
// Vigna).

#include <array>
#include <cstdint>

namespace bitnet {

/// Spreads a 64-bit seed: each call steps `state` and returns the next number.
constexpr std::uint64_t splitmix64(std::uint64_t& state) {
  state += 0x9E3779B97F4A7C15;
  std::uint64_t z = state;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
  z = (z ^ z >> 27) * 0x94D049BB133111EB;
  return z ^ z >> 31;
}

class Random {
 public:
  explicit constexpr Random(std::uint64_t seed) : state_{} {
    for (std::uint64_t& s : state_) s = splitmix64(seed);
  }
  /// From a state that is not all zero.
  explicit constexpr Random(const std::array<std::uint64_t, 4>& state) : state_(state) {}

  constexpr std::uint64_t next() {
    const std::uint64_t result = rotate_left(state_[1] * 5, 7) * 9;
    const std::uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = rotate_left(state_[3], 45);
    return result;
  }

  /// Uniform in [0, 1), a multiple of 2^-53.
  constexpr double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

 private:
  static constexpr std::uint64_t rotate_left(std::uint64_t x, int k) { return x << k | x >> (64 - k); }

  std::array<std::uint64_t, 4> state_;
};

}  // namespace bitnet
