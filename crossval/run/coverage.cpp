#include "crossval/run/coverage.h"

#include <algorithm>

#include "crossval/compare/gates.h"
#include "crossval/lockstep/lockstep.h"

namespace crossval {

std::vector<GateCoverage> coverage_of(const LockstepPlan& plan, std::int64_t steps) {
  std::vector<GateCoverage> coverage;
  for (const Gate& gate : plan.gates->gates) {
    std::int64_t covered = 0;  // comparisons per step
    const auto count = [&](const auto& taps) {
      for (const TapId tap : taps) covered += gate.covers(gate.mode, tap, gate.first_step);
    };
    if (gate.mode == Mode::free)
      count(plan.taps);
    else
      for (const LocalPlan& local : plan.local) count(local.taps);
    if (covered > 0) coverage.push_back({gate.name, covered * steps, gate.min_compared});
  }
  return coverage;
}

std::vector<std::pair<Verdict, std::string>> coverage_complaints(const Totals& totals, bool part) {
  std::vector<std::pair<Verdict, std::string>> complaints;
  const auto complain = [&](Verdict verdict, const std::string& what) {
    complaints.emplace_back(verdict, "coverage: " + what);
  };
  const Tally& t = totals.tally;
  if (t.made + t.skipped != t.planned)
    complain(Verdict::invalid, std::to_string(t.planned) + " comparisons were planned, but " +
                                   std::to_string(t.made) + " made and " + std::to_string(t.skipped) +
                                   " skipped");
  if (t.made == 0) {
    // Sides that do not line up in any case are just that.
    complain(totals.verdict == Verdict::incomparable ? Verdict::incomparable : Verdict::invalid,
             "nothing was compared");
    return complaints;
  }
  for (const GateCoverage& gate : totals.coverage)
    if (gate.compared < (part ? std::min<std::int64_t>(gate.min_compared, 1) : gate.min_compared))
      complain(Verdict::invalid, "gate " + gate.gate + " must compare " + std::to_string(gate.min_compared) +
                                     ", but compared " + std::to_string(gate.compared));
  for (const std::string& tap : totals.zero_taps.value_or(std::set<std::string>{}))
    complain(Verdict::fail, "tap " + tap + " was zero everywhere on both sides");
  return complaints;
}

}  // namespace crossval
