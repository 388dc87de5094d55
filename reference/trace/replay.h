#pragma once
// A recorded trace as a participant: it shows what it holds, and refuses everything else.

#include <memory>

#include "engine/model/config.h"
#include "reference/participant.h"
#include "reference/trace/trace_reader.h"

namespace crossval {

/// Throws Incomparable when the widths of the trace's taps are not those of the model.
std::unique_ptr<Participant> make_replay(std::shared_ptr<const Trace> trace, const bitnet::Config& config);

}  // namespace crossval
