#pragma once
// The bounds of compare/bounds.h for one operation of the model with its inputs.

#include <span>
#include <vector>

#include "crossval/compare/bounds.h"
#include "engine/model/model.h"
#include "engine/model/operation.h"
#include "reference/participant.h"

namespace crossval {

/// For each row of the operation: how far `got` is from `expected`, measured by what rounding may do. Rows
/// that are equal in every bit cost nothing and have a share of 0. None for the head.
std::vector<BoundFigures> hold_to_bounds(const bitnet::Model& model, const bitnet::Operation& operation,
                                         const Tensor& got, const Tensor& expected);

}  // namespace crossval
