#pragma once
// A run that compared less than its gates ask for has shown nothing.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "crossval/run/totals.h"
#include "crossval/verdict.h"

namespace crossval {

struct LockstepPlan;

/// How much each gate compares in so many steps; those none of whose taps is compared (--taps) are left out.
std::vector<GateCoverage> coverage_of(const LockstepPlan& plan, std::int64_t steps);

/// What is wrong with a run's coverage, each with what it makes of the run. Of a shard (`part`) a gate need
/// not compare as much as of the whole run: that is judged when the shards are joined.
std::vector<std::pair<Verdict, std::string>> coverage_complaints(const Totals& totals, bool part);

}  // namespace crossval
