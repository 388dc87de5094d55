#pragma once
// Which operations a participant rounds the input of in another way than we do, and what that explains of a
// local error.

#include <optional>
#include <vector>

#include "crossval/compare/input_rounding.h"
#include "engine/model/operation.h"
#include "engine/model/weights.h"
#include "reference/participant.h"

namespace crossval {

/// How a participant rounds what its matrices are multiplied with, where engine, emulator and oracle do it
/// otherwise.
struct ForeignRounding {
  std::optional<InputRounding> products;  // of the layers' ternary matrices
  std::optional<InputRounding> head;
  InputRounding own_head;  // ours, for the type of the head

  /// That of an operation; nothing where both sides round alike, or nothing is known.
  const InputRounding* of(TapId output) const;
  const InputRounding& own_of(TapId output) const;
};

/// From what the participant says of itself, `product_input` and `head_input` (PROTOCOL.md), and the type of
/// the head that it has.
ForeignRounding foreign_rounding(const Identity& identity, const bitnet::Weights& weights);

/// Figures for each row of one operation: `own` and `foreign` are what we and the participant made of the
/// same inputs. None where both round alike.
std::vector<RoundingFigures> explain_rounding(const ForeignRounding& rounding,
                                              const bitnet::Operation& operation, std::int64_t input_width,
                                              const Tensor& own, const Tensor& foreign,
                                              const bitnet::Weights& weights);

}  // namespace crossval
