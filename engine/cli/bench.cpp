#include "engine/cli/bench.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>

#include "engine/error.h"

namespace bitnet {
namespace {

using Clock = std::chrono::steady_clock;

// Token ids that repeat in no short cycle, the same in every run.
class Tokens {
 public:
  explicit Tokens(std::int64_t n_vocab) : n_vocab_(static_cast<std::uint64_t>(n_vocab)) {}
  std::int32_t next() {
    state_ += 0x9e3779b97f4a7c15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<std::int32_t>((z ^ (z >> 31)) % n_vocab_);
  }

 private:
  std::uint64_t n_vocab_;
  std::uint64_t state_ = 1;
};

void clear(Context& context, int sequences) {
  for (int s = 0; s < sequences; ++s) context.truncate(s, 0);
}

// Fills sequence s with n tokens; only the last one's logits are wanted, as after a prompt.
void prefill(Context& context, Tokens& tokens, int s, std::int64_t n, std::vector<BatchRow>& rows) {
  rows.clear();
  for (std::int64_t i = 0; i < n; ++i)
    rows.push_back({.token = tokens.next(), .sequence = s, .logits = i + 1 == n});
  context.forward(rows);
}

/// Runs one phase, recorded where there is a profile, and says how long it took.
template <class F>
double timed(Context& context, std::optional<PhaseProfile>& profile, F&& phase) {
  context.record(profile ? &profile->work : nullptr);
  const auto start = Clock::now();
  phase();
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  context.record(nullptr);
  if (profile) profile->seconds += seconds;
  return seconds;
}

std::int64_t layer_bytes(const Model& model) {
  std::int64_t bytes = 0;
  for (const LayerWeights& l : model.weights().layers)
    for (const Projection* p : l.projections()) bytes += p->matrix.rows * p->matrix.cols / 4;
  return bytes;
}

}  // namespace

double BenchResult::survivors_per_token() const {
  return head.screened == 0 ? 0 : static_cast<double>(head.survivors) / static_cast<double>(head.screened);
}

double BenchResult::bytes_per_token(int sequences) const {
  if (head.tokens == 0) return 0;
  return static_cast<double>(body_bytes) / sequences +
         static_cast<double>(head.bytes) / static_cast<double>(head.tokens);
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

BenchResult bench(const Model& model, const BenchOptions& options) {
  const std::int64_t needed = std::max(options.prompt_tokens, options.depth + options.gen_tokens);
  if (needed > model.config().n_ctx)
    throw InputError("bench: " + std::to_string(needed) + " tokens exceed the model's context of " +
                     std::to_string(model.config().n_ctx) + "; ask for fewer");
  const std::vector<int> cpus = options.pin ? pinning_order() : std::vector<int>{};
  Context context(model, {.isa = options.isa,
                          .threads = options.threads,
                          .pin = options.pin,
                          .n_ctx = std::max<std::int64_t>(needed, 1),
                          .sequences = options.sequences,
                          .screen_after = options.full_head ? -1 : 0});
  Tokens tokens(model.config().n_vocab);
  std::vector<BatchRow> rows;
  BenchResult result;
  result.isa = std::string(context.kernels().name);
  result.threads = context.threads();
  result.body_bytes = layer_bytes(model);
  HeadWork warm;
  for (int r = -1; r < options.repetitions; ++r) {
    if (r == 0 && options.profile) {
      if (options.prompt_tokens > 0) result.prefill_profile.emplace(result.threads);
      if (options.gen_tokens > 0) result.decode_profile.emplace(result.threads);
    }
    if (options.prompt_tokens > 0) {
      clear(context, options.sequences);
      const double seconds = timed(context, result.prefill_profile,
                                   [&] { prefill(context, tokens, 0, options.prompt_tokens, rows); });
      if (r >= 0) result.prefill.push_back(static_cast<double>(options.prompt_tokens) / seconds);
    }
    if (options.gen_tokens > 0) {
      clear(context, options.sequences);
      for (int s = 0; s < options.sequences; ++s)
        if (options.depth > 0) prefill(context, tokens, s, options.depth, rows);
      rows.clear();
      for (int s = 0; s < options.sequences; ++s) rows.push_back({.token = tokens.next(), .sequence = s});
      const double seconds = timed(context, result.decode_profile, [&] {
        for (std::int64_t i = 0; i < options.gen_tokens; ++i) {
          // Greedy, so that the head's result is really used.
          const auto picks = context.forward_greedy(rows);
          for (std::size_t s = 0; s < rows.size(); ++s) rows[s].token = picks[s].token;
        }
      });
      if (r >= 0)
        result.decode.push_back(static_cast<double>(options.gen_tokens) * options.sequences / seconds);
    }
    if (r < 0) warm = context.head_work();
  }
  result.head = context.head_work();
  result.head.tokens -= warm.tokens;
  result.head.screened -= warm.screened;
  result.head.survivors -= warm.survivors;
  result.head.bytes -= warm.bytes;
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  result.peak_rss_bytes = static_cast<std::int64_t>(usage.ru_maxrss) * 1024;
  if (options.limits || options.profile) {
    ThreadPool pool(result.threads, cpus);
    result.limits = measure_limits(context.kernels(), pool);
  }
  return result;
}

}  // namespace bitnet
