#include "engine/cli/repeated_input.h"

#include <algorithm>

namespace bitnet {

RepeatedInput measure_repeated_input(const Model& model, std::int64_t steps, const ContextOptions& options) {
  ContextOptions own = options;
  own.n_ctx = std::clamp<std::int64_t>(steps, 1, model.config().n_ctx);
  Context context(model, own);
  RepeatedInput result;
  Token token = model.tokenizer().bos().value_or(0);
  for (; result.steps < std::min(steps, own.n_ctx); ++result.steps) {
    const BatchRow row{.token = token};
    const auto logits = context.forward({&row, 1});
    const auto best = static_cast<Token>(std::ranges::max_element(logits) - logits.begin());
    if (best == token) ++result.repeats;
    token = best;
  }
  return result;
}

}  // namespace bitnet
