#pragma once
// Two participants driven through the same tokens, compared tap by tap as the tensors stream.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "crossval/compare/gates.h"
#include "crossval/lockstep/local.h"
#include "crossval/lockstep/stream.h"
#include "engine/model/model.h"
#include "reference/participant.h"

namespace crossval {

/// One tap of one step, all rows of the step: the worst row stands for it.
struct Comparison {
  TapId tap;
  Mode mode{};
  std::int64_t rows = 0;
  std::int64_t row = 0;    // the worst, counted within the step
  std::int64_t count = 0;  // values compared, all rows
  std::int64_t bits = 0;   // values that differ in any bit, all rows
  Measured worst;
  std::optional<LogitMetrics> logits;  // of the worst row of result_output, free mode
  Judgement judgement;
};

/// How far the reference is from itself: per tap name the largest of any row.
struct SelfNoise {
  std::array<Noise, bitnet::kTapCount> taps{};
  double logit = 0;  // largest absolute difference of one logit
  bool measured = false;
  void merge(const SelfNoise& other);
};

/// What is compared.
struct LockstepPlan {
  std::vector<TapId> taps;  // shown by both, in canonical order; result_output is always shown, and compared
                            // unless left out here
  std::set<TapId> extra_inputs;  // taps that only local evaluation reads
  bool local = false;            // whether local comparisons are made (needs one side that can evaluate)
  std::int64_t evaluation_tokens = 1;  // tokens per evaluation that the reference is given
  const GateSet* gates = nullptr;
};

class Lockstep {
 public:
  struct Sides {
    Participant& candidate;
    Participant& reference;
    Participant* noise = nullptr;          // the reference once more, in its other way of computing
    const bitnet::Model& candidate_model;  // weight scales of either side, to recover integer products
    const bitnet::Model& reference_model;
  };
  Lockstep(const Sides& sides, const LockstepPlan& plan);

  /// Begins a case: all sides forget their tokens, and its self-noise is measured anew. `gates`, where given,
  /// replace those of the plan for this case.
  void reset(const GateSet* gates = nullptr);

  struct Step {
    std::vector<Comparison> comparisons;  // canonical order; per tap: local, then free
    std::vector<float> candidate_logits;  // last row
    std::vector<float> reference_logits;  // last row
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
    double local = 0;
  };
  const Seconds& seconds() const { return seconds_; }
  /// Taps that were zero in every value on both sides in everything seen so far.
  std::vector<TapId> always_zero() const;

 private:
  void evaluate(std::span<const Token> tokens, std::int64_t first_row, Step& out);
  void compare(Comparison& into, const Tensor& got, const Tensor& expected, std::int64_t first_row,
               const std::vector<std::vector<std::int64_t>>* got_integers,
               const std::vector<std::vector<std::int64_t>>* expected_integers);
  void compare_local(const Tensor& fed, std::int64_t first_row, Comparison& into);
  void note_noise(const Tensor& reference, const Tensor& again);

  Sides sides_;
  const LockstepPlan& plan_;
  const GateSet* gates_;
  bool candidate_evaluates_;
  std::int64_t step_ = 0;
  LocalInputs local_;
  SelfNoise noise_;
  Seconds seconds_;
  std::map<TapId, std::size_t> index_;  // tap -> its first comparison in Step::comparisons
  std::map<TapId, bool> nonzero_;
};

}  // namespace crossval
