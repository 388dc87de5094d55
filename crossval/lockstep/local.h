#pragma once
// Local errors: each operation evaluated by one side on the other side's own inputs.

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "engine/model/model.h"
#include "engine/model/operation.h"
#include "reference/participant.h"

namespace crossval {

/// Keeps what the operations still to come will read of the feeding side's tensors: those of the layer at
/// hand, and the keys and values of all positions so far.
class LocalInputs {
 public:
  explicit LocalInputs(const bitnet::Config& config) : config_(config) {}

  void reset();
  /// Begins an evaluation of `tokens` appended to the sequence.
  void begin(std::span<const Token> tokens);
  /// Remembers a tensor of the feeding side.
  void add(const Tensor& tensor);
  /// The operation that made `output`, with its inputs; nothing when an input was not shown. Pointers are
  /// valid until the next `add` or `begin`.
  std::optional<bitnet::Operation> operation(TapId output) const;
  /// The values of a tap that is still remembered, keys and values those of all positions so far; else empty.
  std::span<const float> values(TapId id) const;

 private:
  const bitnet::Config& config_;
  std::int64_t position_ = 0;  // tokens before this evaluation
  std::vector<Token> tokens_;  // of this evaluation
  std::vector<std::int32_t> positions_;
  std::map<TapId, std::vector<float>> inputs_;
  std::map<TapId, std::vector<float>> history_;  // Kcur#2 and Vcur: [positions][G*hd]
};

/// The integer products behind a row of a ternary projection: y = fl(fl(I / s) * weight_scale), times the
/// factor and plus the bias where there are such, turned round, with s from formula 3.2 of the input row.
/// Exact while |I| < 2^22, where there is a factor or a bias 2^20 (of the bias, in units of I, too); a value
/// that no integer explains becomes INT64_MIN.
std::vector<std::int64_t> integer_products(std::span<const float> output, std::span<const float> input,
                                           const bitnet::Projection& projection);

/// What is behind a projection's tap. Throws std::logic_error for another tap.
const bitnet::Projection& projection_of(const bitnet::Weights& weights, TapId tap);

}  // namespace crossval
