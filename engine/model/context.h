#pragma once
// The forward pass of one model over a KV cache.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/model/kv_cache.h"
#include "engine/model/model.h"
#include "engine/model/operation.h"
#include "engine/model/operations.h"
#include "engine/model/taps.h"

namespace bitnet {

/// One token to evaluate: it is appended to its sequence.
struct BatchRow {
  std::int32_t token = 0;
  int sequence = 0;
  bool logits = true;  // whether this row's logits are wanted
};

/// A recorded RoPE table: [positions][n_rot / 2].
struct RecordedRope {
  std::vector<float> cos;
  std::vector<float> sin;
};

struct ContextOptions {
  std::string isa;         // "" = the best (kernels.h)
  int threads = 0;         // 0 = physical cores
  bool pin = false;        // threads to physical cores; the one that makes the context is thread 0
  std::int64_t n_ctx = 0;  // tokens per sequence; 0 = the model's context length
  int sequences = 1;       // that exist from the start, by the ids 0, 1, ...
  /// Tokens that all sequences together have pages for; 0 = sequences * n_ctx.
  std::int64_t pool_tokens = 0;
  /// Memory of forgotten tokens that is kept for the next ones instead of going back to the system.
  std::size_t idle_bytes = std::size_t{64} << 20;
  std::int64_t batch = 256;  // rows evaluated at once; any value gives the same bits
  RopeMath rope = RopeMath::own;
  std::optional<RecordedRope> recorded_rope;  // instead of computing one
  /// forward_greedy() makes a screen of an F16 head after this many tokens, where that pays (int8, half the
  /// head's size; reads half as much per token); below 0: never.
  std::int64_t screen_after = -1;
  /// Smaller heads stay full: they come from a cache, where the screen saves less than its two passes cost.
  std::int64_t screen_min_bytes = std::int64_t{8} << 20;
};

/// The model must outlive the context. Not for use from several threads at once.
class Context {
 public:
  Context(const Model& model, const ContextOptions& options);

  const Model& model() const { return model_; }
  const Kernels& kernels() const { return operations_.kernels(); }
  int threads() const { return operations_.threads(); }
  std::int64_t n_ctx() const { return cache_.capacity(); }

  /// Evaluates the rows in order and returns the logits of those that want them, [wanted][n_vocab], valid
  /// until the next call. With a hook, every tap it wants is shown for every row. Results do not depend on
  /// how tokens are split over calls, on the other sequences in a call, on threads or instruction set. Throws
  /// InputError when a token is outside the vocabulary, a sequence does not exist, or context or pool have no
  /// room; nothing is evaluated then.
  std::span<const float> forward(std::span<const BatchRow> rows, const TapHook* hook = nullptr);

  /// Evaluates the rows in order and returns the arg max of the logits of those that want them, [wanted],
  /// valid until the next call: the same as Kernels::argmax of what forward() returns, but the head need not
  /// be read in full (ContextOptions::screen_after).
  std::span<const Pick> forward_greedy(std::span<const BatchRow> rows);
  /// How often each kernel was taken so far, by name (counted_kernels.h).
  void add_kernels(KernelCounts& counts) const { operations_.add_kernels(counts); }
  const HeadWork& head_work() const { return operations_.head_work(); }
  /// Records the kinds of work of later calls in `profile`, made for threads() threads; nullptr: no longer.
  void record(Profile* profile) { operations_.record(profile); }

  /// Sequences come and go; those of ContextOptions::sequences are there at first. A sequence that does not
  /// exist is an InputError in all of these.
  bool exists(int sequence) const { return cache_.exists(sequence); }
  std::int64_t length(int sequence) const { return std::ssize(tokens(sequence)); }
  /// Its tokens so far; valid until the sequence changes.
  std::span<const std::int32_t> tokens(int sequence) const;
  /// A new, empty sequence: the lowest id that is not in use. It takes no memory before its first token.
  int acquire() { return cache_.acquire(); }
  void release(int sequence);
  /// A new sequence of the first `length` tokens of another. It shares their memory until either goes on.
  int fork(int sequence, std::int64_t length);
  int fork(int sequence) { return fork(sequence, length(sequence)); }
  /// Forgets the tokens from `length` on.
  void truncate(int sequence, std::int64_t length);
  /// Everything about a sequence as bytes (kv_blob.h), from which any context over the same model with the
  /// same RoPE makes a sequence that goes on in the same bits.
  std::vector<std::byte> save(int sequence) const;
  /// A new sequence. Throws InputError for bytes that are damaged, of another model, or do not fit; nothing
  /// has changed then.
  int restore(std::span<const std::byte> bytes);

  /// Pages of kPageCells tokens, shared ones counted once.
  struct PoolUse {
    std::int64_t pages = 0;
    std::int64_t used = 0;
    std::int64_t real_bytes = 0;  // memory that the system has given, as it says itself
  };
  PoolUse pool_use() const;
  std::int64_t pages() const { return cache_.pool().pages(); }
  std::int64_t free_pages() const { return cache_.pool().free_pages(); }

 private:
  void check(int sequence) const;
  /// Has room for all rows, or throws.
  void check(std::span<const BatchRow> rows);
  /// Leaves the last norm of the rows that want logits (with a hook: of all) in normed_, and says how many.
  std::int64_t forward_layers(std::span<const BatchRow> rows, const TapHook* hook);
  void forward_batch(std::span<const BatchRow> rows, const TapHook* hook, float* logits);
  /// Lays the keys and values of one layer into the cache, and notes in visible_ what each row sees.
  void store(std::span<const BatchRow> rows, std::int64_t layer);
  void attention(std::int64_t layer, std::int64_t rows, const TapHook* hook);
  std::int64_t keep_rows_with_logits(std::span<const BatchRow> rows);

  const Model& model_;
  const Config& config_;
  std::int64_t batch_;
  std::uint64_t fingerprint_;  // of what the cells depend on
  KvCache cache_;
  Operations operations_;

  // Activations of one batch of T rows; each (T, width).
  std::vector<float> x_;                 // (T, n_embd)  residual stream
  std::vector<float> normed_;            // (T, max(n_embd, H*hd))
  std::vector<float> q_;                 // (T, H*hd)
  std::vector<float> k_;                 // (T, G*hd)
  std::vector<float> v_;                 // (T, G*hd)
  std::vector<f16> q_half_;              // (T, H*hd)
  std::vector<f16> k_half_;              // (T, G*hd)
  std::vector<f16> v_half_;              // (T, G*hd)
  std::vector<float> attended_;          // (T, H*hd)
  std::vector<float> branch_;            // (T, n_embd)  output of attention or FFN
  std::vector<float> gate_;              // (T, n_ff)
  std::vector<float> up_;                // (T, n_ff)
  std::vector<float> scores_;            // ragged, only while a hook wants scores
  std::vector<std::int64_t> more_;       // [sequence] rows of a call
  std::vector<std::int32_t> tokens_;     // (T)
  std::vector<std::int32_t> positions_;  // (T)
  std::vector<VisibleCells> visible_;    // (T)
  std::vector<std::int64_t> offsets_;    // (T + 1)
  std::vector<float> logits_;
  std::vector<Pick> picks_;
};

/// Evaluates single operations on given inputs, through the same operations as the forward pass: the same
/// bits as the tap of a forward pass with those inputs. Has its own scratch memory and threads, so it may run
/// beside a Context.
class OperationEvaluator {
 public:
  OperationEvaluator(const Model& model, const ContextOptions& options);
  /// Rows one after another, each tap_width(config, output, position) long.
  std::vector<float> evaluate(const Operation& operation);
  /// One layer, operation after operation: every tap of the layer is shown as in a forward pass. Throws
  /// InputError when an input is missing or the model has no such layer.
  void evaluate_layer(const LayerInputs& inputs, const TapHook& hook);
  /// As that of a Context.
  void add_kernels(KernelCounts& counts) const { operations_.add_kernels(counts); }

 private:
  const Model& model_;
  const Config& config_;
  Operations operations_;
};

}  // namespace bitnet
