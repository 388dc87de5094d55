#pragma once
// What the operations of the forward pass are, so that what holds for one kind is written once.

#include <cstdint>
#include <string_view>

#include "engine/model/taps.h"

namespace crossval {

/// What an operation computes, whichever tap it makes.
enum class OperationKind : std::uint8_t {
  embedding,   // a row of the table
  norm,        // RMS norm, times a weight
  projection,  // ternary product, times the factor, plus the bias
  rope,
  scores,
  softmax,
  context,
  activation,
  product,  // of activated gate and up
  sum,      // of branch and residual
  head,
};
OperationKind operation_kind(bitnet::Tap tap);
/// "projection": the word in a bundle.
std::string_view to_string(OperationKind kind);

}  // namespace crossval
