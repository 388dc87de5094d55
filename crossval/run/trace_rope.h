#pragma once
// RoPE tables in traces: which one a participant turns by, and the one a trace holds.

#include <cstdint>
#include <optional>

#include "crossval/participants/spec.h"
#include "engine/model/context.h"
#include "engine/model/rope_table.h"
#include "reference/trace/trace_reader.h"

namespace crossval {

/// Whose sines and cosines a participant uses; none for the oracle, which has no table in binary32.
std::optional<bitnet::RopeMath> rope_math_of(const ParticipantSpec& spec);

/// The first rows of the table, computed here by the recurrence that all participants follow.
bitnet::RecordedRope rope_rows(const bitnet::Model& model, bitnet::RopeMath math, std::int64_t positions);

/// The values of the trace's table that this host's libm gives otherwise. Throws InputError when the trace
/// has no table, Incomparable when it is of a model of other dimensions.
std::int64_t rope_values_differing(const Trace& trace, const bitnet::Model& model);

}  // namespace crossval
