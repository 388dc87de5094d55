#pragma once
// What the participants that run a GGUF file in this program have in common.

#include <bit>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "engine/error.h"
#include "engine/gguf/gguf.h"
#include "reference/participant.h"

namespace crossval {

/// Evaluator: Oracle or Emulator.
template <class Evaluator>
class FileParticipant : public Participant {
 public:
  using Options = typename Evaluator::Options;

  FileParticipant(const std::filesystem::path& model, const Options& options)
      : file_(bitnet::gguf::File::open(model)),
        tokenizer_(file_),
        options_(options),
        evaluator_(file_, options) {
    const std::int64_t rows = evaluator_.config().n_vocab;
    if (tokenizer_.size() != rows)
      file_.fail("tokenizer.ggml.tokens", "has " + std::to_string(tokenizer_.size()) +
                                              " tokens, but token_embd.weight has " + std::to_string(rows) +
                                              " rows; convert the model again");
  }

  std::int64_t n_vocab() const override { return evaluator_.config().n_vocab; }
  std::vector<TapId> taps() const override { return bitnet::canonical_taps(evaluator_.config()); }

  std::vector<Token> tokenize(std::string_view text, bool add_special, bool parse_special) override {
    return tokenizer_.encode(text, add_special, parse_special);
  }

  std::string piece(Token token) override {
    if (token < 0 || token >= n_vocab())
      throw bitnet::InputError("token " + std::to_string(token) + " is not of the vocabulary");
    return tokenizer_.piece(token);
  }

  void reset() override { evaluator_.reset(); }

  void eval(std::span<const Token> tokens, const std::function<bool(TapId)>& wanted,
            const TensorSink& sink) override {
    evaluator_.forward(tokens, injection_ ? changing_hook_of(wanted, sink) : hook_of(wanted, sink));
  }

  void inject(const Injection& injection) override { injection_ = injection; }

  bool can_evaluate() const override { return true; }
  std::vector<float> evaluate(const bitnet::Operation& operation) override {
    return to_floats(beside().evaluate(operation));
  }

  bool can_evaluate_layer() const override { return true; }
  void evaluate_layer(const bitnet::LayerInputs& inputs, const std::function<bool(TapId)>& wanted,
                      const TensorSink& sink) override {
    beside().evaluate_layer(inputs, hook_of(wanted, sink));
  }

 protected:
  const Options& options() const { return options_; }
  const Evaluator& evaluator() const { return evaluator_; }

 private:
  // Operations and layers are evaluated while a forward pass runs on another thread.
  Evaluator& beside() {
    if (!beside_) beside_.emplace(file_, options_);
    return *beside_;
  }

  template <class Values>
  static std::vector<float> to_floats(const Values& values) {
    std::vector<float> floats;
    floats.reserve(values.size());
    for (const auto value : values) floats.push_back(static_cast<float>(value));
    return floats;
  }

  static typename Evaluator::Hook hook_of(const std::function<bool(TapId)>& wanted, const TensorSink& sink) {
    return {wanted, [&sink](TapId id, std::span<const std::int64_t> offsets, auto values) {
              sink(Tensor{id, {offsets.begin(), offsets.end()}, to_floats(values)});
            }};
  }

  typename Evaluator::Hook changing_hook_of(const std::function<bool(TapId)>& wanted,
                                            const TensorSink& sink) const {
    return {[this, &wanted](TapId id) { return injection_->wants(id) || wanted(id); },
            [this, &wanted, show = hook_of(wanted, sink).show](
                TapId id, std::span<const std::int64_t> offsets, auto values) {
              if (injection_->wants(id)) {
                const std::vector<float> before = to_floats(values);
                std::vector<float> after = before;
                injection_->change(id, offsets, after);
                // What was left alone keeps the precision that it had.
                for (std::size_t k = 0; k < after.size(); ++k)
                  if (std::bit_cast<std::uint32_t>(after[k]) != std::bit_cast<std::uint32_t>(before[k]))
                    values[k] = after[k];
              }
              if (wanted(id)) show(id, offsets, values);
            }};
  }

  bitnet::gguf::File file_;
  bitnet::Tokenizer tokenizer_;
  Options options_;
  Evaluator evaluator_;
  std::optional<Evaluator> beside_;
  std::optional<Injection> injection_;
};

/// The compiler that made this program.
#if defined(__clang__)
inline constexpr const char* kOwnCompiler = "clang " __clang_version__;
#else
inline constexpr const char* kOwnCompiler = "gcc " __VERSION__;
#endif

}  // namespace crossval
