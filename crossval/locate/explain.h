#pragma once
// Which known mistake turns the inputs of an operation into the values that a participant showed.

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "crossval/mistakes/mistake.h"
#include "reference/participant.h"

namespace crossval {

struct Explanation {
  std::string mistake;      // its name
  std::string as_if;        // "the gate went through SiLU instead of ReLU²"
  std::int64_t bits = 0;    // values that still differ in any bit ...
  std::int64_t values = 0;  // ... of so many
  double nmse = 0;          // what is left
};

/// The mistake that leaves the fewest values differing from `shown`: one that leaves none, or nothing beyond
/// rounding (NMSE <= 1e-10 over all rows, where the sound values are at least 1e4 times further away).
/// Nothing where none does.
std::optional<Explanation> explain(const Workbench& bench, const bitnet::Operation& operation,
                                   const Tensor& shown, std::span<const float> sound,
                                   const LocalInputs& pass);

}  // namespace crossval
