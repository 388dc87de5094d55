#include "crossval/mistakes/planted.h"

#include <algorithm>
#include <set>

#include "crossval/mistakes/text_mistake.h"
#include "crossval/participants/forwarding.h"
#include "engine/error.h"
#include "engine/model/context.h"

namespace crossval {
namespace {

using bitnet::InputError;
using bitnet::Tap;

std::vector<std::int64_t> offsets_of(const bitnet::Config& config, const bitnet::Operation& operation) {
  std::vector<std::int64_t> offsets{0};
  for (const std::int32_t position : operation.positions)
    offsets.push_back(offsets.back() + bitnet::tap_width(config, operation.output.tap, position));
  return offsets;
}

// Says which fault it has.
class Planted : public Forwarding {
 public:
  Planted(const Fault& fault, std::unique_ptr<Participant> inner)
      : Forwarding(std::move(inner)), fault_(fault.name) {}

  Identity identity() const override {
    Identity id = Forwarding::identity();
    id.details["fault"] = fault_;
    return id;
  }
  // A layer evaluated alone would be sound.
  bool can_evaluate_layer() const override { return false; }

 private:
  std::string fault_;
};

class PlantedText final : public Planted {
 public:
  PlantedText(const Fault& fault, std::unique_ptr<Participant> inner,
              std::shared_ptr<const bitnet::Model> model, Retokenize retokenize)
      : Planted(fault, std::move(inner)), model_(std::move(model)), retokenize_(std::move(retokenize)) {}

  std::vector<Token> tokenize(std::string_view text, bool add_special, bool parse_special) override {
    return retokenize_({text, add_special, parse_special});
  }

 private:
  std::shared_ptr<const bitnet::Model> model_;  // whose vocabulary it is
  Retokenize retokenize_;
};

class PlantedOperation final : public Planted {
 public:
  PlantedOperation(const Fault& fault, const Mistake& mistake, std::unique_ptr<Participant> inner,
                   std::shared_ptr<const bitnet::Model> model, const std::filesystem::path& path)
      : Planted(fault, std::move(inner)),
        model_(std::move(model)),
        of_the_pass_(mistake.of_the_pass),
        in_pass_(mistake.make(make_workbench(model_, path))),
        alone_(mistake.make(make_workbench(model_, path))),
        inputs_(model_->config()) {
    if (!in_pass_)
      throw InputError("fault " + fault.name + ": this model leaves no room for it (" +
                       std::string(mistake.as_if) + ")");
    const bitnet::Config& config = model_->config();
    for (const TapId id : bitnet::canonical_taps(config)) {
      if (std::ranges::find(mistake.taps, id.tap) == mistake.taps.end()) continue;
      if ((fault.tap && *fault.tap != id.tap) || (fault.layer && *fault.layer != id.layer)) continue;
      targets_.insert(id);
      for (const TapId input : bitnet::inputs_of(config, id).taps()) needed_.insert(input);
      if (of_the_pass_) needed_.insert({{Tap::q_rope, id.layer}, {Tap::k_rope, id.layer}});
    }
    if (targets_.empty()) throw InputError("fault " + fault.name + ": this model has no such operation");
    this->inner().inject({.wants = [this](TapId id) { return targets_.contains(id) || needed_.contains(id); },
                          .change = [this](TapId id, std::span<const std::int64_t> offsets,
                                           std::span<float> values) { change(id, offsets, values); }});
  }

  void reset() override {
    inputs_.reset();
    Planted::reset();
  }
  void eval(std::span<const Token> tokens, const std::function<bool(TapId)>& wanted,
            const TensorSink& sink) override {
    inputs_.begin(tokens);
    Planted::eval(tokens, wanted, sink);
  }
  std::vector<float> evaluate(const bitnet::Operation& operation) override {
    std::vector<float> values = Planted::evaluate(operation);
    if (!of_the_pass_ && targets_.contains(operation.output)) {
      const auto offsets = offsets_of(model_->config(), operation);
      alone_({.operation = operation, .offsets = offsets}, values);
    }
    return values;
  }

 private:
  void change(TapId id, std::span<const std::int64_t> offsets, std::span<float> values) {
    if (targets_.contains(id))
      if (const auto operation = inputs_.operation(id))
        in_pass_({.operation = *operation, .offsets = offsets, .pass = &inputs_}, values);
    if (needed_.contains(id))
      inputs_.add(
          {.id = id, .offsets = {offsets.begin(), offsets.end()}, .values = {values.begin(), values.end()}});
  }

  std::shared_ptr<const bitnet::Model> model_;
  bool of_the_pass_;
  Remake in_pass_;  // on the thread that evaluates tokens ...
  Remake alone_;    // ... and on the one that evaluates single operations
  LocalInputs inputs_;
  std::set<TapId> targets_, needed_;
};

}  // namespace

Workbench make_workbench(std::shared_ptr<const bitnet::Model> model, const std::filesystem::path& path) {
  bitnet::ContextOptions options;
  options.threads = 1;
  const auto evaluator = std::make_shared<bitnet::OperationEvaluator>(*model, options);
  const bitnet::Model& m = *model;
  return {.model = m,
          .path = path,
          .kernels = bitnet::select_kernels(),
          .evaluate = [evaluator, model = std::move(model)](const bitnet::Operation& operation) {
            return evaluator->evaluate(operation);
          }};
}

std::unique_ptr<Participant> plant(const Fault& fault, std::unique_ptr<Participant> inner,
                                   std::shared_ptr<const bitnet::Model> model,
                                   const std::filesystem::path& path) {
  if (const TextMistake* mistake = find_text_mistake(fault.mistake)) {
    Retokenize retokenize = mistake->make(model->file(), model->tokenizer());
    if (!retokenize) throw InputError("fault " + fault.name + ": this vocabulary leaves no room for it");
    return std::make_unique<PlantedText>(fault, std::move(inner), std::move(model), std::move(retokenize));
  }
  return std::make_unique<PlantedOperation>(fault, mistake_named(fault.mistake), std::move(inner),
                                            std::move(model), path);
}

}  // namespace crossval
