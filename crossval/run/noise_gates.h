#pragma once
// `crossval record --noise`: how far a reference is from itself, measured, as a gates file.

#include <vector>

#include "crossval/run/options.h"

namespace crossval {

/// Runs options.reference and each of `builds` in every way that may not matter (tokens per evaluation,
/// threads, builds), all fed the first one's tokens, and writes gates of twice the greatest distance per tap
/// to options.out. Throws as `record` does, and InputError where nothing can be varied.
void record_noise(const RunOptions& options, const std::vector<std::string>& builds);

}  // namespace crossval
