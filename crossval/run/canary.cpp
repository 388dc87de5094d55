#include "crossval/run/canary.h"

#include <algorithm>
#include <cstdint>

namespace crossval {
namespace {

// Numbers that follow from a text (FNV-1a, then an LCG): the same on every platform.
class Draw {
 public:
  explicit Draw(const std::string& seed) {
    for (const char c : seed) state_ = (state_ ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  }
  std::size_t below(std::size_t n) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::size_t>((state_ >> 33) % n);
  }

 private:
  std::uint64_t state_ = 0xcbf29ce484222325u;
};

// What breaks each metric for sure.
std::vector<Spoil> spoils_of(Metric metric) {
  switch (metric) {
    case Metric::norm_ratio_error:
      return {Spoil::doubled, Spoil::not_a_number};
    case Metric::cosine:
    case Metric::kl:
      return {Spoil::negated, Spoil::not_a_number};
    case Metric::integers_differing:  // an integer is behind values that are numbers,
    case Metric::share_of_bound:      // and a bound behind an operation
      return {};
    case Metric::nmse:
    case Metric::bits:
      break;
  }
  return {Spoil::negated, Spoil::doubled, Spoil::not_a_number};
}

}  // namespace

std::optional<Canary> choose_canary(const LockstepPlan& plan, const GateSet& gates,
                                    const std::vector<PlannedCase>& cases, const std::string& seed) {
  if (cases.empty()) return std::nullopt;
  Draw draw(seed);
  const Case& chosen = cases[draw.below(cases.size())].spec;
  std::vector<CanaryProbe> probes;
  for (const Gate& gate : (chosen.gates ? *chosen.gates : gates).gates)
    for (const TapId tap : plan.taps) {
      const bool planned =
          gate.mode == Mode::free ||
          std::ranges::any_of(plan.local, [&](const LocalPlan& local) { return local.taps.contains(tap); });
      if (!planned || !gate.covers(gate.mode, tap, 0)) continue;
      for (const Spoil spoil : spoils_of(gate.metric))
        probes.push_back({.tap = tap, .mode = gate.mode, .spoil = spoil});
    }
  if (probes.empty()) return std::nullopt;
  return Canary{.case_id = chosen.id, .probe = probes[draw.below(probes.size())], .seed = seed};
}

}  // namespace crossval
