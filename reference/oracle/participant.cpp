#include "reference/oracle/participant.h"

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

class OracleParticipant final : public Participant {
 public:
  OracleParticipant(const std::filesystem::path& model, const OracleOptions& options)
      : file_(bitnet::gguf::File::open(model)),
        tokenizer_(file_),
        oracle_(file_, options),
        options_(options) {
    if (tokenizer_.size() != n_vocab())
      file_.fail("tokenizer.ggml.tokens", "has " + std::to_string(tokenizer_.size()) +
                                              " tokens, but token_embd.weight has " +
                                              std::to_string(n_vocab()) + " rows; convert the model again");
  }

  Identity identity() const override {
    return {"oracle",
            CROSSVAL_VERSION,
            kCompiler,
            {{"arithmetic", options_.round_taps ? "double, every tap rounded to binary32" : "double"},
             {"threads", std::to_string(oracle_.threads())}}};
  }

  std::int64_t n_vocab() const override { return oracle_.config().n_vocab; }
  std::vector<TapId> taps() const override { return bitnet::canonical_taps(oracle_.config()); }

  std::vector<Token> tokenize(std::string_view text, bool add_special, bool parse_special) override {
    return tokenizer_.encode(text, add_special, parse_special);
  }

  std::string piece(Token token) override {
    if (token < 0 || token >= n_vocab())
      throw bitnet::InputError("token " + std::to_string(token) + " is not of the vocabulary");
    return tokenizer_.piece(token);
  }

  void reset() override { oracle_.reset(); }

  void eval(std::span<const Token> tokens, const std::function<bool(TapId)>& wanted,
            const TensorSink& sink) override {
    const auto show = [&sink](TapId id, std::span<const std::int64_t> offsets, std::span<double> values) {
      Tensor tensor{id, {offsets.begin(), offsets.end()}, {}};
      tensor.values.reserve(values.size());
      for (double value : values) tensor.values.push_back(static_cast<float>(value));
      sink(std::move(tensor));
    };
    oracle_.forward(tokens, {wanted, show});
  }

  bool can_evaluate() const override { return true; }

  std::vector<float> evaluate(const bitnet::Operation& operation) override {
    std::vector<float> values;
    // One of its own, because operations are evaluated while a forward pass runs on another thread.
    if (!evaluator_) evaluator_.emplace(file_, options_);
    for (double value : evaluator_->evaluate(operation)) values.push_back(static_cast<float>(value));
    return values;
  }

 private:
  bitnet::gguf::File file_;
  bitnet::Tokenizer tokenizer_;
  Oracle oracle_;
  std::optional<Oracle> evaluator_;
  OracleOptions options_;
};

}  // namespace

std::unique_ptr<Participant> make_oracle(const std::filesystem::path& model, const OracleOptions& options) {
  return std::make_unique<OracleParticipant>(model, options);
}

}  // namespace crossval
