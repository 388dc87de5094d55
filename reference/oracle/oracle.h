#pragma once
// The oracle: a BitNet b1.58 model as its papers describe it (arXiv 2402.17764, 2504.12285), in double
// precision and plain loops. It shares with the engine the GGUF reader, the hyper-parameters and the names of
// the taps; weights, activations and every formula are its own.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "engine/gguf/ternary_tensor.h"
#include "engine/model/config.h"
#include "engine/model/operation.h"
#include "engine/model/taps.h"

namespace crossval {

struct OracleOptions {
  int threads = 0;                            // 0: one per physical core. Changes no bit of any result.
  bitnet::gguf::TernaryOptions ternary = {};  // how ternary tensors lie where the file does not say it
  bool round_taps = false;  // every tap is rounded to binary32 before it is used: the oracle's self-noise
};

/// One model, one sequence. Neither batches nor threads change any result.
class Oracle {
 public:
  using Options = OracleOptions;

  /// Looks on while a forward pass runs. Every tap is shown before the next operation or the KV cache reads
  /// it, and may be changed then. Row i of a tap is values[offsets[i] .. offsets[i + 1]).
  struct Hook {
    std::function<bool(bitnet::TapId)> wants;
    std::function<void(bitnet::TapId, std::span<const std::int64_t> offsets, std::span<double> values)> show;
  };

  /// The file must outlive the oracle: weights that lie as I2_S on x86 stay where they are mapped. Throws
  /// InputError that names the tensor when one is missing, surplus, misshapen, of another type, or holds what
  /// cannot be a weight.
  Oracle(const bitnet::gguf::File& file, const Options& options);
  Oracle(Oracle&&) noexcept;
  Oracle& operator=(Oracle&&) noexcept;
  ~Oracle();

  const bitnet::Config& config() const;
  int threads() const;

  /// Tokens in the sequence so far.
  std::int64_t position() const;
  /// Forgets them.
  void reset();

  /// One evaluation: appends the tokens to the sequence. Final norm and logits are computed only when they
  /// are wanted. Throws InputError, before anything changes, when a token is not of the vocabulary or the
  /// context is full. If the hook throws, the sequence is what it was before.
  void forward(std::span<const std::int32_t> tokens, const Hook& hook);

  /// The values of one operation on given inputs, rows one after another; the same code as in `forward`, and
  /// no part of the sequence. Throws InputError when the tap is not one of this model or an input is missing.
  std::vector<double> evaluate(const bitnet::Operation& operation);

  /// One layer on given inputs: its taps are shown as `forward` shows them; no part of the sequence. Throws
  /// InputError when an input is missing or the model has no such layer.
  void evaluate_layer(const bitnet::LayerInputs& inputs, const Hook& hook);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace crossval
