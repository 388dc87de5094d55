#pragma once
// How far a reference is from itself (design.md 1).

#include "crossval/lockstep/lockstep.h"

namespace crossval {

/// Takes one tap of one evaluation, computed in the reference's two ways, into the figures. Throws
/// Incomparable when their shapes differ; `again` may have the last rows only.
void note_noise(SelfNoise& noise, const Tensor& reference, const Tensor& again);

}  // namespace crossval
