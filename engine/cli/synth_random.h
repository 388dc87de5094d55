#pragma once
// Random numbers for synthetic models: the same stream on every platform, made with integers and single
// multiplications only.

#include <cstdint>
#include <string_view>

#include "engine/generate/random.h"

namespace bitnet {

class SynthRandom {
 public:
  /// A stream of its own for each name, whatever else is drawn.
  SynthRandom(std::uint64_t seed, std::string_view name) : random_(seed ^ hash(name)) {}

  std::uint64_t next() { return random_.next(); }

  /// Uniform between low and high.
  float uniform(float low, float high) {
    return low + (high - low) * (static_cast<float>(next() >> 40) * 0x1p-24f);
  }

  /// Mean 0, variance 1, bell-shaped, at most 2 * sqrt(3) away: the sum of four uniform numbers, drawn at
  /// once.
  float bell() {
    const std::uint64_t bits = next();
    const auto sum = static_cast<std::int32_t>((bits & 0xffff) + (bits >> 16 & 0xffff) +
                                               (bits >> 32 & 0xffff) + (bits >> 48));
    // The sum has mean 2 * 65535 and standard deviation sqrt(4 * (2^32 - 1) / 12) = 37837.2.
    return static_cast<float>(sum - 2 * 65535) * (1.0f / 37837.2f);
  }

 private:
  static std::uint64_t hash(std::string_view name) {  // FNV-1a
    std::uint64_t h = 0xcbf29ce484222325u;
    for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    return h;
  }

  Random random_;
};

}  // namespace bitnet
