#pragma once
// `crossval record`: every tap and the logits of one participant over a suite, saved as a trace.

#include "crossval/run/options.h"

namespace crossval {

/// options.reference is recorded, alone; it drives itself greedily (or the suite's continuation does).
/// options.out is the file. Throws as `run` does.
void record(const RunOptions& options);

}  // namespace crossval
