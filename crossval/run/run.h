#pragma once
// The main job: a suite in lockstep, judged, recorded and rendered.

#include <string>

#include "crossval/errors.h"
#include "crossval/run/options.h"
#include "crossval/verdict.h"

namespace crossval {

struct RunResult {
  Verdict verdict = Verdict::invalid;
  std::string claim;     // what the run supports
  std::string headline;  // verdict and counts in one line
};

/// Throws InputError (exit 2) and Incomparable (exit 3) before anything is run; SystemError (exit 4) when
/// results cannot be written, with everything written before intact.
RunResult run(const RunOptions& options);

}  // namespace crossval
