#include "crossval/participants/ahead.h"

#include <algorithm>
#include <map>

#include "crossval/participants/engine_participant.h"
#include "crossval/participants/forwarding.h"
#include "engine/error.h"
#include "engine/generate/batcher.h"

namespace crossval {
namespace {

constexpr int kTogether = 32;  // cases of a batch at most

class Ahead final : public Forwarding {
 public:
  Ahead(std::shared_ptr<const bitnet::Model> model, const bitnet::ContextOptions& options,
        std::vector<AheadCase> cases, std::size_t room)
      : Forwarding(make_engine(model, options)),
        model_(std::move(model)),
        cases_(std::move(cases)),
        room_(room),
        context_(*model_, pool_options(options, model_->config(), cases_)) {}

  void begin_case(std::string_view id) override { case_ = id; }
  void reset() override {
    asked_.clear();
    alone_ = false;
  }

  void eval(std::span<const Token> tokens, const std::function<bool(TapId)>& wanted,
            const TensorSink& sink) override {
    const Known* known = alone_ || !logits_alone(wanted) ? nullptr : find();
    if (known && known->begins_with(asked_, tokens)) {
      if (wanted(kLogits)) sink(known->logits_of(asked_.size(), tokens.size(), n_vocab()));
    } else {
      if (!alone_) {
        inner().reset();
        if (!asked_.empty())
          inner().eval(
              asked_, [](TapId) { return false; }, [](Tensor&&) {});
        alone_ = true;
      }
      inner().eval(tokens, wanted, sink);
    }
    asked_.insert(asked_.end(), tokens.begin(), tokens.end());
  }

  bitnet::KernelCounts kernels() const override {
    bitnet::KernelCounts counts = inner().kernels();
    context_.add_kernels(counts);
    return counts;
  }

 private:
  static constexpr TapId kLogits{bitnet::Tap::result_output, -1};

  /// A case's prompt and its own answer, and their logits.
  struct Known {
    std::vector<Token> tokens;
    std::vector<float> logits;

    bool begins_with(std::span<const Token> first, std::span<const Token> then) const {
      return first.size() + then.size() <= tokens.size() &&
             std::equal(first.begin(), first.end(), tokens.begin()) &&
             std::equal(then.begin(), then.end(), tokens.begin() + std::ssize(first));
    }
    Tensor logits_of(std::size_t first, std::size_t rows, std::int64_t n_vocab) const {
      Tensor t{.id = kLogits, .offsets = {}, .values = {}};
      for (std::size_t i = 0; i <= rows; ++i) t.offsets.push_back(static_cast<std::int64_t>(i) * n_vocab);
      const auto begin = logits.begin() + static_cast<std::ptrdiff_t>(first) * n_vocab;
      t.values.assign(begin, begin + t.offsets.back());
      return t;
    }
  };

  // Pages for as many of the longest; the batcher takes sequences of its own.
  static bitnet::ContextOptions pool_options(bitnet::ContextOptions options, const bitnet::Config& config,
                                             const std::vector<AheadCase>& cases) {
    std::int64_t longest = 1;
    for (const AheadCase& c : cases)
      longest = std::max(longest, std::ssize(c.prompt) + std::max(c.options.stop.max_tokens, 0));
    options.sequences = 0;
    options.pool_tokens = kTogether * (std::min(longest, config.n_ctx) + bitnet::kPageCells);
    return options;
  }

  bool logits_alone(const std::function<bool(TapId)>& wanted) const {
    return std::ranges::none_of(taps_, [&](TapId id) { return id != kLogits && wanted(id); });
  }

  const Known* find() {
    if (!known_.contains(case_)) answer_from(case_);
    const auto found = known_.find(case_);
    return found == known_.end() ? nullptr : &found->second;
  }

  std::size_t bytes_of(const AheadCase& c) const {
    return (c.prompt.size() + static_cast<std::size_t>(std::max(c.options.stop.max_tokens, 0))) *
           static_cast<std::size_t>(n_vocab()) * sizeof(float);
  }

  // Answers the case and those that follow it. One that cannot be answered has nothing known: what is wrong
  // with it comes to light when it is asked.
  void answer_from(const std::string& id) {
    known_.clear();
    auto c = std::ranges::find(cases_, id, &AheadCase::id);
    bitnet::Batcher batcher(context_, {.running = kTogether});
    std::map<int, const AheadCase*> submitted;
    std::size_t bytes = 0;
    for (; c != cases_.end() && std::ssize(submitted) < kTogether; ++c) {
      bytes += bytes_of(*c);
      if (!submitted.empty() && bytes > room_) break;
      Known& known = known_[c->id];
      try {
        submitted.emplace(batcher.submit({.prompt = c->prompt,
                                          .options = c->options,
                                          .on_logits =
                                              [&known](std::span<const float> logits) {
                                                known.logits.insert(known.logits.end(), logits.begin(),
                                                                    logits.end());
                                              }}),
                          &*c);
      } catch (const bitnet::InputError&) {
      }
    }
    while (!batcher.idle()) batcher.step();
    for (const bitnet::Finished& f : batcher.take_finished()) {
      Known& known = known_[submitted.at(f.id)->id];
      known.tokens = submitted.at(f.id)->prompt;
      known.tokens.insert(known.tokens.end(), f.generation.tokens.begin(), f.generation.tokens.end());
      // The token that ended it was not evaluated.
      known.tokens.resize(known.logits.size() / static_cast<std::size_t>(n_vocab()));
    }
  }

  std::shared_ptr<const bitnet::Model> model_;
  std::vector<AheadCase> cases_;
  std::size_t room_;
  bitnet::Context context_;
  std::vector<TapId> taps_ = bitnet::canonical_taps(model_->config());
  std::map<std::string, Known> known_;
  std::string case_;
  std::vector<Token> asked_;  // since the last reset
  bool alone_ = false;        // the engine has them, and goes on
};

}  // namespace

std::unique_ptr<Participant> make_ahead(std::shared_ptr<const bitnet::Model> model,
                                        const bitnet::ContextOptions& options, std::vector<AheadCase> cases,
                                        std::size_t room) {
  return std::make_unique<Ahead>(std::move(model), options, std::move(cases), room);
}

}  // namespace crossval
