#pragma once
// The emulator: bitnet.cpp's arithmetic, bit for bit, written from reference-semantics.md. It shares with the
// engine the GGUF reader, the hyper-parameters, the names of the taps and the threads; weights, sums and
// functions are its own.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "engine/gguf/ternary_tensor.h"
#include "engine/model/config.h"
#include "engine/model/operation.h"
#include "engine/model/taps.h"
#include "reference/emulator/angles.h"
#include "reference/emulator/arithmetic.h"

namespace crossval {

/// Which bitnet.cpp is imitated.
enum class EmulatorGeneration : std::uint8_t {
  second,        // generations 1 and 2
  reported_2026  // what users report of the third: never checked against one, outside every claim of bits
};

/// Which kernels an evaluation takes (reference-semantics 9.1).
enum class EmulatorBatchClass : std::uint8_t {
  by_tokens,  // one token, or several: as bitnet.cpp chooses
  several     // those for several tokens, for a single one too: what its self-noise is measured with
};

struct EmulatorOptions {
  int width = 16;  // binary32 lanes: 16 (AVX-512) or 8 (AVX2)
  emulation::Quantizer quantizer = emulation::Quantizer::product;
  emulation::Sums sums = emulation::Sums::exact;
  bool tinyblas = true;  // the build option LLAMAFILE
  emulation::Rope rope = emulation::Rope::libm;
  emulation::RopeTable rope_table;  // for Rope::table
  EmulatorGeneration generation = EmulatorGeneration::second;
  EmulatorBatchClass batch_class = EmulatorBatchClass::by_tokens;
  bitnet::gguf::TernaryOptions ternary = {};  // how ternary tensors lie where the file does not say it
  int threads = 0;                            // 0: one per physical core. Changes no bit of any result.
};

/// One model, one sequence.
class Emulator {
 public:
  using Options = EmulatorOptions;

  /// Looks on while a forward pass runs. Every tap is shown before the next operation or the KV cache reads
  /// it, and may be changed then. Row i of a tap is values[offsets[i] .. offsets[i + 1]).
  struct Hook {
    std::function<bool(bitnet::TapId)> wants;
    std::function<void(bitnet::TapId, std::span<const std::int64_t> offsets, std::span<float> values)> show;
  };

  /// The file must outlive the emulator: weights that lie as I2_S on x86 stay where they are mapped. Throws
  /// InputError that names the tensor when bitnet.cpp would refuse the file or the emulator does not run it.
  Emulator(const bitnet::gguf::File& file, const Options& options);
  Emulator(Emulator&&) noexcept;
  Emulator& operator=(Emulator&&) noexcept;
  ~Emulator();

  const bitnet::Config& config() const;
  const Options& options() const;
  int threads() const;

  /// Tokens in the sequence so far.
  std::int64_t position() const;
  /// Forgets them.
  void reset();

  /// One evaluation: appends the tokens to the sequence; every row asks for logits, so several tokens have
  /// several rows of logits. How tokens are shared out over evaluations decides bits (reference-semantics
  /// 9.1). Final norm and logits are computed only when they are wanted. Throws InputError, before anything
  /// changes, when a token is not of the vocabulary or the context is full. If the hook throws, the sequence
  /// is what it was before.
  void forward(std::span<const std::int32_t> tokens, const Hook& hook);

  /// The values of one operation on given inputs, rows one after another, each as if its token had been
  /// evaluated alone; no part of the sequence. Throws InputError when the tap is not one of this model or an
  /// input is missing.
  std::vector<float> evaluate(const bitnet::Operation& operation);

  /// One layer on given inputs: its taps are shown as `forward` shows them for these rows in one evaluation,
  /// so that their number decides the kernels. No part of the sequence. Throws InputError when an input is
  /// missing or the model has no such layer.
  void evaluate_layer(const bitnet::LayerInputs& inputs, const Hook& hook);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace crossval
