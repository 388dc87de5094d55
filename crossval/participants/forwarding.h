#pragma once
// A participant that leaves to another what it does not do otherwise.

#include <memory>
#include <utility>

#include "reference/participant.h"

namespace crossval {

class Forwarding : public Participant {
 public:
  explicit Forwarding(std::unique_ptr<Participant> inner) : inner_(std::move(inner)) {}

  Identity identity() const override { return inner_->identity(); }
  std::int64_t n_vocab() const override { return inner_->n_vocab(); }
  std::vector<TapId> taps() const override { return inner_->taps(); }
  std::vector<Token> tokenize(std::string_view text, bool add_special, bool parse_special) override {
    return inner_->tokenize(text, add_special, parse_special);
  }
  std::string piece(Token token) override { return inner_->piece(token); }
  void begin_case(std::string_view id) override { inner_->begin_case(id); }
  void reset() override { inner_->reset(); }
  void eval(std::span<const Token> tokens, const std::function<bool(TapId)>& wanted,
            const TensorSink& sink) override {
    inner_->eval(tokens, wanted, sink);
  }
  bitnet::KernelCounts kernels() const override { return inner_->kernels(); }
  std::vector<std::filesystem::path> binaries() const override { return inner_->binaries(); }
  bool shows_values() const override { return inner_->shows_values(); }
  bool can_evaluate() const override { return inner_->can_evaluate(); }
  std::vector<float> evaluate(const bitnet::Operation& operation) override {
    return inner_->evaluate(operation);
  }
  bool can_evaluate_layer() const override { return inner_->can_evaluate_layer(); }
  void evaluate_layer(const bitnet::LayerInputs& inputs, const std::function<bool(TapId)>& wanted,
                      const TensorSink& sink) override {
    inner_->evaluate_layer(inputs, wanted, sink);
  }

 protected:
  Participant& inner() const { return *inner_; }

 private:
  std::unique_ptr<Participant> inner_;
};

}  // namespace crossval
