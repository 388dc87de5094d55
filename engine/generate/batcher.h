#pragma once
// Continuous batching: requests join and leave a running batch, and each gets what it would get alone.

#include <cstdint>
#include <deque>
#include <exception>
#include <optional>
#include <vector>

#include "engine/generate/generate.h"
#include "engine/model/context.h"

namespace bitnet {

/// Receives the logits of tokens that were evaluated, [tokens][n_vocab]: all of prompt and answer in turn,
/// but the token that ends it.
using OnLogits = std::function<void(std::span<const float> logits)>;

struct Request {
  std::vector<Token> prompt;
  GenerateOptions options;
  OnText on_text = {};
  OnLogits on_logits = {};
};

struct Finished {
  int id = 0;
  Generation generation;
  std::exception_ptr error = nullptr;  // instead: what generating it alone would have thrown
};

struct BatcherOptions {
  int running = 32;        // requests evaluated side by side, at most
  std::int64_t rows = 64;  // of a batch: decoded tokens first, then as much of new prompts as is left
};

/// Requests are served in the order in which they came. One begins when the pool has pages for it and for all
/// that run, to their limits; so none that has begun must wait. A prompt that begins like what a running
/// request has evaluated shares those pages. Takes sequences of its own from the context, which may have
/// others; it must outlive the batcher.
class Batcher {
 public:
  explicit Batcher(Context& context, const BatcherOptions& options = {});
  ~Batcher();
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  /// At any time. The limit of tokens is cut to what the context has room for. Throws InputError for a
  /// request that can never be served: what generate() refuses, a token outside the vocabulary, a prompt that
  /// fills the context, or more than the whole pool.
  int submit(Request request);
  /// Ends a request that has not finished, whether it runs or waits; it finishes with what it has so far.
  /// False where there is none of this id. Not to be called from within what a request calls.
  bool cancel(int id);

  /// Evaluates one batch. Throws InputError, with nothing evaluated, where others have taken the pages that
  /// its requests need.
  void step();
  bool idle() const { return waiting_.empty() && running_.empty(); }
  int running() const { return static_cast<int>(running_.size()); }
  /// What has finished since the last call, in that order.
  std::vector<Finished> take_finished();
  /// Tokens of prompts that were not evaluated, since a running request had them already.
  std::int64_t shared_tokens() const { return shared_tokens_; }

 private:
  struct Job {
    int id;
    Sampler sampler;
    Decoding decoding;
    OnLogits on_logits;
    std::int64_t pages;  // at its limit
    int sequence = -1;
    bool ended = false;
  };
  /// Whose logits a step shows.
  struct Shown {
    Job* job;
    std::size_t first;  // of its rows with logits
    std::size_t rows;
    bool draws;  // the last of them is followed by a new token
  };
  void admit();
  bool begin(Job& job);
  std::int64_t promised_pages() const;
  void add_rows(Job& job, std::int64_t most);
  void evaluate();
  void take(const Shown& shown, std::span<const float> logits);
  void end(Job& job, std::exception_ptr error);
  std::span<const Token> pending(const Job& job) const;

  Context& context_;
  BatcherOptions options_;
  int next_id_ = 0;
  std::int64_t shared_tokens_ = 0;
  std::deque<Job> waiting_;
  std::vector<Job> running_;
  std::vector<Finished> finished_;
  std::vector<BatchRow> rows_;  // of a step
  std::vector<Shown> shown_;
  std::size_t rows_with_logits_ = 0;
};

}  // namespace bitnet
