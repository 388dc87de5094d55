#pragma once
// The forward pass as data: which operation makes each tap from which others. Whoever can evaluate one
// operation on given inputs (engine, oracle, emulator) is asked through these types; that is how a local
// error is measured.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/model/config.h"
#include "engine/model/taps.h"

namespace bitnet {

/// What the operation that makes a tap reads.
struct OperationInputs {
  std::optional<TapId> a;        // first input; none for inp_embd, which reads token ids
  std::optional<TapId> b;        // second input: the residual of ffn_inp and l_out, ffn_up of ffn_par
  std::optional<TapId> history;  // rows of all positions so far: Kcur#2 for kq, Vcur for attn_ctx
  bool integer_product = false;  // a ternary matrix product: int8 codes of `a` times codes of a weight
  /// Those of a, b and history that there are.
  std::vector<TapId> taps() const;
};
OperationInputs inputs_of(const Config& config, TapId output);

/// One operation with its inputs. Row i stands at positions[i]; rows are consecutive positions of one
/// sequence.
struct Operation {
  TapId output;
  std::span<const std::int32_t> positions;
  std::span<const std::int32_t> tokens;  // inp_embd: one id per row
  const float* a = nullptr;              // rows one after another, each tap_width(config, tap, position) long
  const float* b = nullptr;
  const float* history = nullptr;  // [positions.back() + 1][G*hd]
};

/// One layer with its inputs. Row i stands at positions[i]; rows are consecutive positions of one sequence.
struct LayerInputs {
  int layer = 0;
  std::span<const std::int32_t> positions;  // (T)
  const float* input = nullptr;             // [T][n_embd]: inp_embd, or l_out of the layer before
  const float* keys = nullptr;              // [positions[0]][G*hd]: Kcur#2 of the positions before
  const float* values = nullptr;            // [positions[0]][G*hd]: Vcur of the positions before
};

/// Throw InputError when the model has no such operation or layer, when an input is missing, when rows are
/// not consecutive positions or when a token is outside the vocabulary.
void check(const Config& config, const Operation& operation);
void check(const Config& config, const LayerInputs& inputs);

}  // namespace bitnet
