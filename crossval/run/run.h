#pragma once
// The main job: a suite in lockstep, judged, recorded and rendered.

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "crossval/errors.h"
#include "crossval/locate/locate.h"
#include "crossval/run/options.h"
#include "crossval/verdict.h"

namespace crossval {

struct RunResult {
  Verdict verdict = Verdict::invalid;
  std::string claim;                 // what the run supports
  std::string headline;              // verdict and counts in one line
  nlohmann::json located;            // where the sides part, as the summary has it; null where nothing did
  std::optional<Location> location;  // the same with all figures, where operations were evaluated for it
};

/// Throws InputError (exit 2) and Incomparable (exit 3) before anything is run; SystemError (exit 4) when
/// results cannot be written, with everything written before intact.
RunResult run(const RunOptions& options);

}  // namespace crossval
