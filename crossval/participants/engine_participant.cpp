#include "crossval/participants/engine_participant.h"

#include <algorithm>

#include "crossval/version.h"

namespace crossval {
namespace {

class EngineParticipant final : public Participant {
 public:
  EngineParticipant(std::shared_ptr<const bitnet::Model> model, const bitnet::ContextOptions& options)
      : model_(std::move(model)), options_(options), context_(*model_, options) {}

  Identity identity() const override {
    return {.name = "engine",
            .version = std::string(kVersion),
            .build = std::string(kBuild),
            .details = {{"isa", std::string(context_.kernels().name)},
                        {"threads", std::to_string(context_.threads())},
                        {"rope", options_.recorded_rope                    ? "trace"
                                 : options_.rope == bitnet::RopeMath::libm ? "libm"
                                                                           : "own"}}};
  }
  std::int64_t n_vocab() const override { return model_->config().n_vocab; }
  std::vector<TapId> taps() const override { return bitnet::canonical_taps(model_->config()); }

  std::vector<Token> tokenize(std::string_view text, bool add_special, bool parse_special) override {
    return model_->tokenizer().encode(text, add_special, parse_special);
  }
  std::string piece(Token token) override { return model_->tokenizer().piece(token); }

  void reset() override { context_.truncate(0, 0); }

  void eval(std::span<const Token> tokens, const std::function<bool(TapId)>& wanted,
            const TensorSink& sink) override {
    rows_.clear();
    for (Token t : tokens) rows_.push_back({.token = t, .sequence = 0, .logits = false});
    const bitnet::TapHook hook = injection_ ? changing_hook_of(wanted, sink) : hook_of(wanted, sink);
    context_.forward(rows_, &hook);
  }

  void inject(const Injection& injection) override { injection_ = injection; }

  bitnet::KernelCounts kernels() const override {
    bitnet::KernelCounts counts;
    context_.add_kernels(counts);
    if (evaluator_) evaluator_->add_kernels(counts);
    return counts;
  }

  bool can_evaluate() const override { return true; }
  std::vector<float> evaluate(const bitnet::Operation& operation) override {
    return evaluator().evaluate(operation);
  }

  bool can_evaluate_layer() const override { return true; }
  void evaluate_layer(const bitnet::LayerInputs& inputs, const std::function<bool(TapId)>& wanted,
                      const TensorSink& sink) override {
    evaluator().evaluate_layer(inputs, hook_of(wanted, sink));
  }

 private:
  static bitnet::TapHook hook_of(const std::function<bool(TapId)>& wanted, const TensorSink& sink) {
    return {.wants = wanted, .show = [&sink](const bitnet::TapTensor& tap) {
              sink(Tensor{.id = tap.id,
                          .offsets = {tap.offsets.begin(), tap.offsets.end()},
                          .values = {tap.data, tap.data + tap.offsets.back()}});
            }};
  }

  bitnet::TapHook changing_hook_of(const std::function<bool(TapId)>& wanted, const TensorSink& sink) const {
    return {.wants = [this, &wanted](TapId id) { return injection_->wants(id) || wanted(id); },
            .show =
                [this, &wanted, show = hook_of(wanted, sink).show](const bitnet::TapTensor& tap) {
                  if (injection_->wants(tap.id))
                    injection_->change(tap.id, tap.offsets,
                                       {tap.data, static_cast<std::size_t>(tap.offsets.back())});
                  if (wanted(tap.id)) show(tap);
                }};
  }

  bitnet::OperationEvaluator& evaluator() {
    if (!evaluator_) evaluator_.emplace(*model_, options_);
    return *evaluator_;
  }

  std::shared_ptr<const bitnet::Model> model_;
  bitnet::ContextOptions options_;
  bitnet::Context context_;
  std::optional<bitnet::OperationEvaluator> evaluator_;
  std::vector<bitnet::BatchRow> rows_;
  std::optional<Injection> injection_;
};

}  // namespace

std::unique_ptr<Participant> make_engine(std::shared_ptr<const bitnet::Model> model,
                                         const bitnet::ContextOptions& options) {
  return std::make_unique<EngineParticipant>(std::move(model), options);
}

}  // namespace crossval
