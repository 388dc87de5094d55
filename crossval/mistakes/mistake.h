#pragma once
// Known mistakes of ternary engines, as functions of one operation: what it would have made if it were
// mistaken in this way. Planted into a forward pass they are faults; held against a wrong result they are
// explanations.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "crossval/lockstep/local.h"
#include "engine/kernels/kernels.h"
#include "engine/model/model.h"
#include "engine/model/operation.h"

namespace crossval {

/// What a mistake is made with.
struct Workbench {
  const bitnet::Model& model;
  std::filesystem::path path;  // of the model
  const bitnet::Kernels& kernels;
  /// The sound operation. Not called from several threads at once.
  std::function<std::vector<float>(const bitnet::Operation&)> evaluate;
};

/// One operation while it is made.
struct Making {
  const bitnet::Operation& operation;
  std::span<const std::int64_t> offsets;  // row i of `values` is values[offsets[i] .. offsets[i + 1])
  const LocalInputs* pass = nullptr;      // what the forward pass made before; null for a lone operation

  std::size_t rows() const { return offsets.size() - 1; }
  std::span<float> row(std::span<float> values, std::size_t i) const {
    const auto at = static_cast<std::size_t>(offsets[i]);
    return values.subspan(at, static_cast<std::size_t>(offsets[i + 1]) - at);
  }
  /// Row i of the first input, `width` values.
  std::span<const float> input(std::size_t i, std::int64_t width) const {
    return {operation.a + static_cast<std::int64_t>(i) * width, static_cast<std::size_t>(width)};
  }
};

/// Turns the sound values of an operation into the mistaken ones, in place.
using Remake = std::function<void(const Making&, std::span<float> values)>;

struct Mistake {
  std::string_view name;   // "silu-for-relu2"
  std::string_view as_if;  // goes after "differs as if": "the gate went through SiLU instead of ReLU²"
  std::vector<bitnet::Tap> taps;
  /// Nothing where this model leaves no room for the mistake.
  std::function<Remake(const Workbench&)> make;
  /// Whether it shows in a forward pass only, since one operation alone has no past to confuse.
  bool of_the_pass = false;
  /// Whether it is for planting alone: where exactly it sits would be different elsewhere.
  bool planted_only = false;
};

/// All of them; the order is that in which explanations are tried.
const std::vector<Mistake>& mistakes();
/// Throws InputError that lists the names.
const Mistake& mistake_named(std::string_view name);

// Where they are written.
std::vector<Mistake> projection_mistakes();
std::vector<Mistake> variant_mistakes();
std::vector<Mistake> attention_mistakes();
std::vector<Mistake> rope_mistakes();
std::vector<Mistake> norm_mistakes();
std::vector<Mistake> elementwise_mistakes();
std::vector<Mistake> embedding_mistakes();
std::vector<Mistake> number_mistakes();

/// The remake that evaluates another operation than it should: `changed` makes it from the right one.
Remake evaluates_instead(const Workbench& bench,
                         std::function<bitnet::Operation(const bitnet::Operation&)> changed);

}  // namespace crossval
