#pragma once
// A failed local comparison, cut down to a bundle: one row, and of it the fewest heads and values that still
// fail.

#include <cstdint>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "crossval/lockstep/lockstep.h"
#include "crossval/replay/bundle.h"

namespace crossval {

/// What a bundle says that the failure itself does not know.
struct BundleSource {
  const bitnet::Model& model;  // whose operation the evaluator computed
  const GateSet& gates;
  std::int64_t step = 0;
  Identity participant;  // of the side that failed
  std::string evaluator;
  std::string arbiter;  // or empty
  std::string model_sha256;
};

/// The bundle, not yet knowing what the run says of it in the end (case_id, who, why, likeness, command).
/// Instead of a bundle the reason why there is none.
std::variant<Bundle, std::string> shrink(const LocalFailure& failure, const BundleSource& source);

/// The reason why the bundle shows otherwise by itself than the run did, or is too large; empty where it can
/// be saved. Sets `reproduced`.
std::string check_replay(Bundle& bundle);

/// The fewest of `units` for which `fails` still holds, as far as halves, quarters and so on, left out in
/// turn, tell (Zeller's ddmin); all of them where it holds for nothing less. `likely` alone is tried first.
std::vector<std::int64_t> fewest(std::vector<std::int64_t> units, std::int64_t likely,
                                 const std::function<bool(const std::vector<std::int64_t>&)>& fails);

}  // namespace crossval
