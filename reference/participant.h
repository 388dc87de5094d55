#pragma once
// A participant: anything that can load a model, take token ids and show logits and activations (design.md
// 1).

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "engine/kernels/counted_kernels.h"
#include "engine/model/config.h"
#include "engine/model/operation.h"
#include "engine/model/taps.h"
#include "engine/tokenizer/tokenizer.h"

namespace crossval {

using bitnet::TapId;
using bitnet::Token;

using Sha256 = std::array<std::uint8_t, 32>;

/// A tap with its own memory, as it travels from a participant to the comparison.
struct Tensor {
  TapId id;
  std::vector<std::int64_t> offsets;  // rows + 1
  std::vector<float> values;
  /// None, or one per row: the SHA-256 of its little-endian bytes, from a trace that keeps the values of few
  /// rows. A row without values is then one that is known by its hash alone.
  std::vector<Sha256> hashes = {};
  /// Whether row i has values that can be compared.
  bool known(std::int64_t i) const { return hashes.empty() || !row(i).empty(); }
  std::int64_t rows() const { return static_cast<std::int64_t>(offsets.size()) - 1; }
  std::span<const float> row(std::int64_t i) const {
    const auto at = static_cast<std::size_t>(i);
    return {values.data() + offsets[at], static_cast<std::size_t>(offsets[at + 1] - offsets[at])};
  }
};

/// Receives tensors as they are produced.
using TensorSink = std::function<void(Tensor&&)>;

/// Changes what operations make, before the next operation or the KV cache reads it: how faults are planted.
struct Injection {
  std::function<bool(TapId)> wants;  // shown to `change`, whether or not anybody looks on
  /// Row i is values[offsets[i] .. offsets[i + 1]).
  std::function<void(TapId, std::span<const std::int64_t> offsets, std::span<float> values)> change;
};

struct Identity {
  std::string name;  // "engine", "oracle", ...
  std::string version;
  std::string build;                           // compiler and flags
  std::map<std::string, std::string> details;  // isa, threads, ...
};

/// One participant with one loaded model and one sequence.
class Participant {
 public:
  virtual ~Participant() = default;

  virtual Identity identity() const = 0;
  virtual std::int64_t n_vocab() const = 0;
  /// The taps that it can show; result_output (the logits) among them.
  virtual std::vector<TapId> taps() const = 0;
  virtual std::vector<Token> tokenize(std::string_view text, bool add_special, bool parse_special) = 0;
  /// The bytes of one token; empty for control tokens.
  virtual std::string piece(Token token) = 0;

  /// Names the case whose tokens come next; called before `tokenize` and `reset`. Only a recorded trace needs
  /// it.
  virtual void begin_case(std::string_view /*id*/) {}
  /// Forgets all tokens.
  virtual void reset() = 0;
  /// One evaluation: appends the tokens to the sequence and shows, in the order of production, every tap of
  /// `wanted` (one row per token), logits included.
  virtual void eval(std::span<const Token> tokens, const std::function<bool(TapId)>& wanted,
                    const TensorSink& sink) = 0;

  /// From now on `eval` is changed by it; evaluations of single operations and layers stay sound. Throws
  /// InputError where the participant computes outside this program.
  virtual void inject(const Injection& /*injection*/) {
    throw bitnet::InputError(identity().name +
                             " computes outside this program: no fault can be planted in it");
  }

  /// Whether every row comes with its values. A trace of hashes has them of few rows: it can be compared, but
  /// no operation can be fed with it.
  virtual bool shows_values() const { return true; }

  /// Whether `evaluate` works, and the values of one operation on given inputs: rows one after another.
  /// Called on another thread while `eval` runs.
  virtual bool can_evaluate() const { return false; }
  virtual std::vector<float> evaluate(const bitnet::Operation& operation) = 0;

  /// Whether `evaluate_layer` works. It shows every wanted tap of one layer on given inputs, one row per
  /// position, as `eval` would; the sequence stays what it was. Called on another thread while `eval` runs,
  /// never beside `evaluate`.
  virtual bool can_evaluate_layer() const { return false; }
  virtual void evaluate_layer(const bitnet::LayerInputs& /*inputs*/,
                              const std::function<bool(TapId)>& /*wanted*/, const TensorSink& /*sink*/) {
    throw std::logic_error("this participant does not evaluate single layers");
  }

  /// How often each of the engine's kernels did an operation for it so far, by name; empty where it computes
  /// otherwise.
  virtual bitnet::KernelCounts kernels() const { return {}; }
  /// Executable and libraries of a participant that is a process of its own; else empty.
  virtual std::vector<std::filesystem::path> binaries() const { return {}; }
};

}  // namespace crossval
