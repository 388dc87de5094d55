#pragma once
// A canary: a copy of one tensor that was streamed anyway is spoiled and goes through the same metrics and
// gates. A run whose gates do not catch it has shown nothing.

#include <optional>
#include <string>
#include <vector>

#include "crossval/compare/gates.h"
#include "crossval/lockstep/lockstep.h"
#include "crossval/run/plan.h"

namespace crossval {

struct Canary {
  std::string case_id;  // at its first step, or that of the first case after it that gets so far
  CanaryProbe probe;
  std::string seed;  // the hash that all this follows from
};

/// One that a gate in force must catch: case, tap and way of spoiling follow from the seed, which is the hash
/// of the run's model, suite and shard. Nothing where no gate covers any tap of the plan.
std::optional<Canary> choose_canary(const LockstepPlan& plan, const GateSet& gates,
                                    const std::vector<PlannedCase>& cases, const std::string& seed);

}  // namespace crossval
