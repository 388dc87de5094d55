#include "reference/emulator/participant.h"

#include <optional>
#include <string>
#include <utility>

#include "engine/error.h"
#include "engine/gguf/gguf.h"

namespace crossval {
namespace {

#if defined(__clang__)
constexpr const char* kCompiler = "clang " __clang_version__;
#else
constexpr const char* kCompiler = "gcc " __VERSION__;
#endif

std::string quantizer_name(emulation::Quantizer quantizer) {
  switch (quantizer) {
    case emulation::Quantizer::product:
      return "product";
    case emulation::Quantizer::fused:
      return "fused";
    case emulation::Quantizer::reported:
      return "reported";
  }
  return "";
}

std::string rope_name(emulation::Rope rope) {
  switch (rope) {
    case emulation::Rope::libm:
      return "libm";
    case emulation::Rope::own:
      return "own";
    case emulation::Rope::table:
      return "trace";
  }
  return "";
}

class EmulatorParticipant final : public Participant {
 public:
  EmulatorParticipant(const std::filesystem::path& model, const EmulatorOptions& options)
      : file_(bitnet::gguf::File::open(model)), tokenizer_(file_), emulator_(file_, options) {
    if (tokenizer_.size() != n_vocab())
      file_.fail("tokenizer.ggml.tokens", "has " + std::to_string(tokenizer_.size()) +
                                              " tokens, but token_embd.weight has " +
                                              std::to_string(n_vocab()) + " rows; convert the model again");
  }

  Identity identity() const override {
    const EmulatorOptions& o = emulator_.options();
    return {"emulator",
            CROSSVAL_VERSION,
            kCompiler,
            {{"width", std::to_string(o.width)},
             {"quantizer", quantizer_name(o.quantizer)},
             {"sums", o.sums == emulation::Sums::exact ? "exact" : "int16"},
             {"tinyblas", o.tinyblas ? "on" : "off"},
             {"rope", rope_name(o.rope)},
             {"generation", o.generation == EmulatorGeneration::second
                                ? "2"
                                : "reported-2026 (as reported by users, never checked against a build)"},
             {"batch", o.batch_class == EmulatorBatchClass::several ? "several tokens" : "by tokens"},
             {"threads", std::to_string(emulator_.threads())}}};
  }

  std::int64_t n_vocab() const override { return emulator_.config().n_vocab; }
  std::vector<TapId> taps() const override { return bitnet::canonical_taps(emulator_.config()); }

  std::vector<Token> tokenize(std::string_view text, bool add_special, bool parse_special) override {
    return tokenizer_.encode(text, add_special, parse_special);
  }

  std::string piece(Token token) override {
    if (token < 0 || token >= n_vocab())
      throw bitnet::InputError("token " + std::to_string(token) + " is not of the vocabulary");
    return tokenizer_.piece(token);
  }

  void reset() override { emulator_.reset(); }

  void eval(std::span<const Token> tokens, const std::function<bool(TapId)>& wanted,
            const TensorSink& sink) override {
    emulator_.forward(
        tokens, {wanted, [&sink](TapId id, std::span<const std::int64_t> offsets, std::span<float> values) {
                   sink(Tensor{id, {offsets.begin(), offsets.end()}, {values.begin(), values.end()}});
                 }});
  }

  bool can_evaluate() const override { return true; }

  std::vector<float> evaluate(const bitnet::Operation& operation) override {
    // One of its own, because operations are evaluated while a forward pass runs on another thread.
    if (!evaluator_) evaluator_.emplace(file_, emulator_.options());
    return evaluator_->evaluate(operation);
  }

 private:
  bitnet::gguf::File file_;
  bitnet::Tokenizer tokenizer_;
  Emulator emulator_;
  std::optional<Emulator> evaluator_;
};

}  // namespace

std::unique_ptr<Participant> make_emulator(const std::filesystem::path& model,
                                           const EmulatorOptions& options) {
  return std::make_unique<EmulatorParticipant>(model, options);
}

}  // namespace crossval
