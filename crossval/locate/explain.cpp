#include "crossval/locate/explain.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "engine/error.h"

namespace crossval {
namespace {

constexpr double kRounding = 1e-10;
constexpr double kNearer = 1e4;

double nmse(std::span<const float> got, std::span<const float> expected) {
  double error = 0, size = 0;
  for (std::size_t k = 0; k < got.size(); ++k) {
    const double difference = static_cast<double>(got[k]) - static_cast<double>(expected[k]);
    error += difference * difference;
    size += static_cast<double>(expected[k]) * static_cast<double>(expected[k]);
  }
  if (error == 0) return 0;
  const double ratio = error / size;
  return ratio >= 0 ? ratio : std::numeric_limits<double>::infinity();  // not a number: nothing is explained
}

std::int64_t differing_bits(std::span<const float> a, std::span<const float> b) {
  std::int64_t n = 0;
  for (std::size_t k = 0; k < a.size(); ++k)
    n += std::bit_cast<std::uint32_t>(a[k]) != std::bit_cast<std::uint32_t>(b[k]);
  return n;
}

}  // namespace

std::optional<Explanation> explain(const Workbench& bench, const bitnet::Operation& operation,
                                   const Tensor& shown, std::span<const float> sound,
                                   const LocalInputs& pass) {
  const double unexplained = nmse(sound, shown.values);
  std::optional<Explanation> best;
  for (const Mistake& mistake : mistakes()) {
    if (mistake.planted_only || std::ranges::find(mistake.taps, operation.output.tap) == mistake.taps.end())
      continue;
    Remake remake;
    try {
      remake = mistake.make(bench);
    } catch (const bitnet::InputError&) {
      continue;  // it needs what this model is not
    }
    if (!remake) continue;
    std::vector<float> values(sound.begin(), sound.end());
    remake({.operation = operation, .offsets = shown.offsets, .pass = &pass}, values);
    if (differing_bits(values, sound) == 0) continue;  // makes no difference here
    const Explanation e{.mistake = std::string(mistake.name),
                        .as_if = std::string(mistake.as_if),
                        .bits = differing_bits(values, shown.values),
                        .values = std::ssize(values),
                        .nmse = nmse(values, shown.values)};
    const bool holds = e.bits == 0 || (e.nmse <= kRounding && e.nmse * kNearer <= unexplained);
    if (holds && (!best || e.bits < best->bits)) best = e;
  }
  return best;
}

}  // namespace crossval
