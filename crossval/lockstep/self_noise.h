#pragma once
// How far a reference is from itself (design.md 1).

#include <functional>

#include "crossval/lockstep/lockstep.h"

namespace crossval {

/// Compares one tap of one evaluation, computed in two ways, row by row. Throws Incomparable when their
/// shapes differ; `again` may have the last rows only.
void compare_ways(const Tensor& reference, const Tensor& again,
                  const std::function<void(const RowMetrics&)>& row);

/// Takes one tap of one evaluation, computed in the reference's two ways, into the figures; throws as
/// `compare_ways` does.
void note_noise(SelfNoise& noise, const Tensor& reference, const Tensor& again);

}  // namespace crossval
