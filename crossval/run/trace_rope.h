#pragma once
// RoPE tables in traces: which one a participant turns by, and the one a trace holds.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

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

/// The SHA-256 of one large table (BitNet b1.58 2B-4T: 4096 positions, 64 pairs, base 500000; cosines, then
/// sines), to tell libms apart without a model.
std::string rope_table_sha256(bitnet::RopeMath math);
/// What the libm gave on the machine that recorded fixtures/traces: glibc 2.36, x86-64 with FMA.
inline constexpr std::string_view kRecordedRopeSha256 =
    "f0d4e9d06b3f20aeddeaa85d398d06529d20a6c4959177ba91d7e5ac57d0f7c4";

}  // namespace crossval
