#pragma once
// Rows of a trace that are known by their SHA-256 alone: equal in every bit, or different by an unknown
// amount.

#include "crossval/compare/gates.h"
#include "reference/participant.h"

namespace crossval {

/// Whether row i of both is the same in every bit, where one side at least knows it by its hash alone.
bool same_by_hash(const Tensor& a, const Tensor& b, std::int64_t i);

/// The figures of such a row: those of equal rows, or one differing value (there is one at least) and nothing
/// else, which no gate lets pass.
Measured measured_by_hash(bool same);

/// No threshold can excuse a difference of unknown size: whatever gate covers the tap fails.
void judge_by_hash(bool same, Judgement& judgement);

/// Throws Invalid when a row that comes with both has values of another hash.
void check_hashes(const Tensor& tensor);

}  // namespace crossval
