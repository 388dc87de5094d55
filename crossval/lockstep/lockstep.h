#pragma once
// Two participants driven through the same tokens, compared tap by tap as the tensors stream.

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "crossval/compare/gates.h"
#include "crossval/lockstep/local.h"
#include "crossval/lockstep/local_rounding.h"
#include "crossval/lockstep/stream.h"
#include "engine/model/model.h"
#include "reference/participant.h"

namespace crossval {

enum class Side : std::uint8_t { candidate, reference };
std::string_view to_string(Side side);

/// Who is wrong where a local gate failed (design.md 8): the side that the arbiter, given the same inputs,
/// does not bear out.
enum class Blame : std::uint8_t { candidate, reference, unclear };
/// "candidate wrong", "reference wrong", "cannot tell": the words of the records.
std::string_view to_string(Blame blame);

/// What the arbiter said about the worst row of a local comparison.
struct Opinion {
  Blame blame{};
  bool bears_out_got = false;           // whether the arbiter makes what was compared, ...
  bool bears_out_expected = false;      // ... and what it was compared with
  std::optional<RowMetrics> candidate;  // its row against the arbiter's
  std::optional<RowMetrics> reference;
};

/// One tap of one step, all rows of the step: the worst row stands for it.
struct Comparison {
  TapId tap;
  Mode mode{};
  /// Local, where neither side can evaluate operations: whose tensors are held to the third party's. That
  /// side's figures are then `got`.
  std::optional<Side> side;
  std::int64_t rows = 0;
  std::int64_t row = 0;    // the worst, counted within the step
  std::int64_t count = 0;  // values compared, all rows
  std::int64_t bits = 0;   // values that differ in any bit, all rows
  Measured worst;
  std::optional<LogitMetrics> logits;  // of the worst row of result_output, free mode
  Judgement judgement;
  std::optional<Opinion> opinion;  // local, failed, and the arbiter was asked
};

/// How far the reference is from itself: per tap name the largest of any row.
struct SelfNoise {
  std::array<Noise, bitnet::kTapCount> taps{};
  double logit = 0;  // largest absolute difference of one logit
  bool measured = false;
  void merge(const SelfNoise& other);
};

/// Local comparisons: operations evaluated on one side's own inputs, and held against what that side made.
struct LocalPlan {
  Side fed{};              // whose inputs
  std::set<TapId> taps;    // of LockstepPlan::taps
  std::set<TapId> inputs;  // what the fed side shows for them
};

/// A local comparison that failed, while its operation is at hand.
struct LocalFailure {
  Side side{};  // whose inputs and output these are
  const bitnet::Operation& operation;
  const Tensor& shown;         // of the side whose inputs these are
  const Tensor& evaluated;     // what the evaluator makes of them
  const LocalInputs& inputs;   // all that this side showed of the pass and still counts
  std::int64_t first_row = 0;  // of the evaluation, counted within the step
};

/// How a copy of a tensor is spoiled: its first row's signs turned, doubled, or its first value no number.
enum class Spoil : std::uint8_t { negated, doubled, not_a_number };
std::string_view to_string(Spoil spoil);

/// A spoiled copy of a tensor, to be held against the tensor itself.
struct CanaryProbe {
  TapId tap;
  Mode mode{};
  Spoil spoil{};
};

/// What is compared.
struct LockstepPlan {
  std::vector<TapId> taps;  // shown by both, in canonical order; result_output is always shown, and compared
                            // unless left out here
  std::vector<LocalPlan> local;  // none; one, where the other side evaluates; both, where a third does
  std::map<Side, ForeignRounding> rounding;  // of a side that rounds otherwise than we do
  std::int64_t evaluation_tokens = 1;        // tokens per evaluation that the reference is given
  const GateSet* gates = nullptr;
  std::optional<SelfNoise> recorded_noise;  // of a trace as the reference: nothing is measured anew
};

class Lockstep {
 public:
  struct Sides {
    Participant& candidate;
    Participant& reference;
    Participant* noise = nullptr;          // the reference once more, in its other way of computing
    const bitnet::Model& candidate_model;  // weight scales of either side, to recover integer products
    const bitnet::Model& reference_model;
    /// Evaluates operations of the reference's model where neither side can; else null.
    Participant* evaluator = nullptr;
    /// The arbiter, over the reference's model, made when it is first asked; null or returning null: nobody
    /// is.
    std::function<Participant*()> arbiter;
    /// Told of each evaluation in which a local comparison fails.
    std::function<void(const LocalFailure&)> on_local_failure = {};
  };
  Lockstep(const Sides& sides, const LockstepPlan& plan);

  /// Begins a case: all sides forget their tokens, and its self-noise is measured anew. `gates`, where given,
  /// replace those of the plan for this case.
  void reset(const GateSet* gates = nullptr);
  /// In the next step, a copy of this tensor is spoiled and compared with the tensor itself.
  void release(const CanaryProbe& canary) { canary_ = canary; }

  struct Step {
    std::vector<Comparison> comparisons;  // canonical order; per tap: local ones, then free
    std::vector<float> candidate_logits;  // last row
    std::vector<float> reference_logits;  // last row
    std::optional<Comparison> canary;     // the one released before
  };
  /// Feeds the tokens to all sides and compares. `step` counts from 0 within the case. Throws what
  /// participants throw.
  Step step(std::span<const Token> tokens, std::int64_t step);

  /// Comparisons that one step makes.
  std::int64_t comparisons_per_step() const;
  /// Since the last `reset`.
  const SelfNoise& noise() const { return noise_; }
  struct Seconds {
    double candidate = 0;
    double reference = 0;
    double noise = 0;
    double local = 0;  // the arbiter's included
  };
  const Seconds& seconds() const { return seconds_; }
  /// Taps that were zero in every value on both sides since the last `reset`.
  std::vector<TapId> always_zero() const;

 private:
  // The integer products behind the rows of a ternary projection; empty for any other operation.
  using Integers = std::vector<std::vector<std::int64_t>>;
  // One side's tensors while an evaluation runs.
  struct Fed {
    LocalInputs inputs;
    std::set<TapId> seen;  // in this evaluation
  };

  void evaluate(std::span<const Token> tokens, std::int64_t first_row, Step& out);
  // What is known of the rows of a local comparison beyond their values.
  struct Known {
    const Integers& got;
    const Integers& expected;
    const std::vector<RoundingFigures>& rounding;
    const std::vector<BoundFigures>& bounds;
  };
  // Whether every row passed.
  bool compare(Comparison& into, const Tensor& got, const Tensor& expected, std::int64_t first_row,
               const Known* known = nullptr);
  Comparison compare_canary(const Tensor& tensor);
  void compare_local(std::size_t which, const Tensor& fed, std::int64_t first_row, Comparison& into);
  Integers integers(const Tensor& output, const bitnet::Operation& operation,
                    const bitnet::Model& model) const;
  bool rounds_otherwise(TapId tap) const;
  // What the other rounding of `side` explains of the difference between its tensor and one of ours; nothing
  // where it rounds as we do.
  std::vector<RoundingFigures> rounding(Side side, const bitnet::Operation& operation, const Tensor& own,
                                        const Tensor& foreign) const;
  // What one party to a local comparison shows.
  struct Shown {
    const Tensor& tensor;
    std::optional<Side> side;  // none: the third evaluator
    Integers integers;
  };
  std::optional<Opinion> ask(const bitnet::Operation& operation, const Shown& got, const Shown& expected,
                             std::int64_t row);

  Sides sides_;
  const LockstepPlan& plan_;
  const GateSet* gates_;
  GateSet arbiter_gates_;  // the default ones: a stricter file may ask for what no third opinion can hold
  int asked_ = 0;          // of the arbiter, in this case
  std::int64_t step_ = 0;
  std::optional<CanaryProbe> canary_;
  std::vector<Fed> fed_;  // as plan_.local
  SelfNoise noise_;
  Seconds seconds_;
  std::map<TapId, std::size_t> index_;  // tap -> its first comparison in Step::comparisons
  std::map<TapId, bool> nonzero_;
};

}  // namespace crossval
