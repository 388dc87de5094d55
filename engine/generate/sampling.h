#pragma once
// From logits to the next token.

#include <cstdint>
#include <span>
#include <vector>

#include "engine/generate/random.h"
#include "engine/tokenizer/tokenizer.h"

namespace bitnet {

/// Applied in bitnet.cpp's order: repetition penalty, top-k, top-p, min-p, temperature. So top-p and min-p
/// look at the probabilities at temperature 1.
struct SamplingParams {
  float temperature = 0;         // 0 or below: greedy, the rest but the penalty is then without effect
  int top_k = 0;                 // the k most probable; 0 or below: all
  float top_p = 1;               // the fewest most probable that reach p of the probability; 1 or above: all
  float min_p = 0;               // at least p times as probable as the most probable; 0 or below: all
  float repetition_penalty = 1;  // divides positive logits and multiplies others of tokens in the window; > 0
  int repetition_window = 64;    // the last tokens that are penalised; 0: none, below 0: all
  std::uint64_t seed = 0;

  /// Whether the next token is the arg max of the logits as they are.
  bool greedy() const { return temperature <= 0 && repetition_penalty == 1.0f; }
};

/// Draws tokens. The same parameters, seed and logits give the same tokens on every platform. Not
/// thread-safe: one per sequence. Allocates only when it sees more logits than before.
class Sampler {
 public:
  /// Throws InputError for parameters that are NaN or infinite, and for a penalty that is not above 0.
  explicit Sampler(const SamplingParams& params);

  /// `logits`: one per token, n_vocab. `history`: what stands before, prompt and answer, the newest last. NaN
  /// is never chosen; of equal logits the lowest id ranks first. Throws SystemError where no logit is above
  /// minus infinity.
  Token sample(std::span<const float> logits, std::span<const Token> history);

  const SamplingParams& params() const { return params_; }

 private:
  struct Candidate {
    float logit;
    Token id;
  };

  std::span<const float> penalise(std::span<const float> logits, std::span<const Token> history);
  float measure_blocks(std::span<const float> logits);
  void collect_top(std::span<const float> logits, std::size_t k);
  void sort_candidates();
  double weigh_all(std::span<const float> logits, float best, double temperature);
  void select_top_p(std::span<const float> logits, float best);
  Token draw_candidate(float best);
  Token draw_any(std::span<const float> logits, float best);

  SamplingParams params_;
  Random random_;
  std::vector<float> penalised_;
  std::vector<float> maxima_;          // of each block of logits
  std::vector<float> ordered_;         // the same for choosing one of them
  std::vector<Candidate> candidates_;  // sorted, the best first, once they have been chosen
  std::vector<double> weights_;
};

}  // namespace bitnet
