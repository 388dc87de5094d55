#include "reference/trace/replay.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/error.h"
#include "engine/gguf/printable.h"
#include "reference/errors.h"

namespace crossval {
namespace {

class Replay final : public Participant {
 public:
  Replay(std::shared_ptr<const Trace> trace, const bitnet::Config& config)
      : trace_(std::move(trace)), config_(config) {
    check_widths();
  }

  Identity identity() const override {
    Identity id = trace_->identity();
    id.name = "trace of " + id.name;
    id.details["trace"] = trace_->name();
    id.details["values"] = trace_->hashed() ? "sha256" : "full";
    return id;
  }

  std::int64_t n_vocab() const override { return trace_->n_vocab(); }
  std::vector<TapId> taps() const override { return trace_->taps(); }
  bool shows_values() const override { return !trace_->hashed(); }

  // Its tokenizer is what it recorded: the prompt of the case at hand.
  std::vector<Token> tokenize(std::string_view, bool, bool) override {
    return current().steps.front().tokens;
  }
  std::string piece(Token token) override { return trace_->piece(token).value_or(""); }

  void begin_case(std::string_view id) override {
    id_ = std::string(id);
    const auto it = trace_->cases().find(id);
    case_ = it == trace_->cases().end() ? nullptr : &it->second;
    reset();
  }
  void reset() override { step_ = row_ = 0; }

  void eval(std::span<const Token> tokens, const std::function<bool(TapId)>& wanted,
            const TensorSink& sink) override {
    const Trace::Step& step = check_tokens(tokens);
    const std::size_t first = row_;
    row_ += tokens.size();
    if (row_ == step.tokens.size()) {
      row_ = 0;
      ++step_;
    }
    for (std::size_t t = 0; t < trace_->taps().size(); ++t)
      if (const TapId id = trace_->taps()[t]; wanted(id))
        sink(trace_->hashed() ? hashed(step, t, first, tokens.size()) : full(step, t, first, tokens.size()));
  }

  std::vector<float> evaluate(const bitnet::Operation&) override {
    throw bitnet::InputError(trace_->name() + ": a trace evaluates no operations");
  }

 private:
  const Trace::Case& current() const {
    if (!case_)
      throw Incomparable("case `" + id_ + "` is not in the trace " + trace_->name() +
                         "; record it, or leave the case out with --filter");
    return *case_;
  }

  std::string named(Token token) const {
    const auto piece = trace_->piece(token);
    return std::to_string(token) + (piece ? " `" + bitnet::gguf::printable(*piece, 60) + "`" : "");
  }

  // The step that the tokens belong to; they must be those recorded.
  const Trace::Step& check_tokens(std::span<const Token> tokens) const {
    const Trace::Case& recorded = current();
    const auto differs = [&](std::int64_t position, const std::string& what) {
      throw Incomparable("case `" + id_ + "`, step " + std::to_string(step_) + ", position " +
                         std::to_string(position) + ": " + what + " (" + trace_->name() + ")");
    };
    if (step_ >= recorded.steps.size()) {
      const Trace::Step& last = recorded.steps.back();
      differs(last.position + std::ssize(last.tokens),
              "the run feeds " + named(tokens.front()) + ", but the trace ends after " +
                  std::to_string(recorded.steps.size()) + " steps; lower --max-tokens or record it anew");
    }
    const Trace::Step& step = recorded.steps[step_];
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const std::int64_t position = step.position + static_cast<std::int64_t>(row_ + i);
      if (row_ + i >= step.tokens.size())
        differs(position, "the run feeds " + named(tokens[i]) + ", but the recorded step ends before it");
      if (const Token was = step.tokens[row_ + i]; was != tokens[i])
        differs(position,
                "the run feeds the token " + named(tokens[i]) + ", the trace recorded " + named(was));
    }
    return step;
  }

  std::int64_t width(TapId id, std::int64_t position) const {
    return bitnet::tap_width(config_, id.tap, position);
  }

  Tensor full(const Trace::Step& step, std::size_t tap, std::size_t first, std::size_t rows) const {
    const TapId id = trace_->taps()[tap];
    std::int64_t begin = 0;
    for (std::size_t i = 0; i < first; ++i) begin += width(id, step.position + static_cast<std::int64_t>(i));
    Tensor tensor{.id = id, .offsets = {0}, .values = {}};
    for (std::size_t i = first; i < first + rows; ++i)
      tensor.offsets.push_back(tensor.offsets.back() +
                               width(id, step.position + static_cast<std::int64_t>(i)));
    tensor.values.resize(static_cast<std::size_t>(tensor.offsets.back()));
    std::memcpy(tensor.values.data(),
                step.taps[tap].values.data() + static_cast<std::size_t>(begin) * sizeof(float),
                tensor.values.size() * sizeof(float));
    return tensor;
  }

  Tensor hashed(const Trace::Step& step, std::size_t tap, std::size_t first, std::size_t rows) const {
    const TapId id = trace_->taps()[tap];
    const Trace::Stored& stored = step.taps[tap];
    Tensor tensor{.id = id, .offsets = std::vector<std::int64_t>(rows + 1), .values = {}};
    tensor.hashes.resize(rows);
    std::memcpy(tensor.hashes.data(), stored.hashes.data() + first * sizeof(Sha256), rows * sizeof(Sha256));
    if (first + rows == step.tokens.size() && !stored.values.empty()) {
      tensor.values.resize(stored.values.size() / sizeof(float));
      std::memcpy(tensor.values.data(), stored.values.data(), stored.values.size());
      tensor.offsets.back() = std::ssize(tensor.values);
    }
    return tensor;
  }

  void check_widths() const {
    const auto differs = [&](const std::string& what, std::size_t has, std::int64_t wants) {
      throw Incomparable("the trace " + trace_->name() + " is of a model of other dimensions: " + what +
                         " has " + std::to_string(has) + " values, with this model " + std::to_string(wants));
    };
    if (trace_->n_vocab() != config_.n_vocab)
      differs("result_output", static_cast<std::size_t>(trace_->n_vocab()), config_.n_vocab);
    const auto canonical = bitnet::canonical_taps(config_);
    for (const TapId id : trace_->taps())
      if (std::ranges::find(canonical, id) == canonical.end())
        throw Incomparable("the trace " + trace_->name() + " has the tap " + bitnet::to_string(id) +
                           ", which this model has not");
    for (const auto& [case_id, one] : trace_->cases())
      for (std::size_t s = 0; s < one.steps.size(); ++s)
        for (std::size_t t = 0; t < trace_->taps().size(); ++t) {
          const Trace::Step& step = one.steps[s];
          const TapId id = trace_->taps()[t];
          if (step.taps[t].values.empty()) continue;
          std::int64_t wants = 0;
          for (std::size_t i = trace_->hashed() ? step.tokens.size() - 1 : 0; i < step.tokens.size(); ++i)
            wants += width(id, step.position + static_cast<std::int64_t>(i));
          const std::size_t has = step.taps[t].values.size() / sizeof(float);
          if (static_cast<std::int64_t>(has) != wants)
            differs(to_string(TraceName{case_id, static_cast<std::int64_t>(s), id, false}), has, wants);
        }
    if (const auto& rope = trace_->rope();
        rope && static_cast<std::int64_t>(rope->cosines.size()) != rope->positions * (config_.n_rot / 2))
      differs("the RoPE table", rope->cosines.size(), rope->positions * (config_.n_rot / 2));
  }

  std::shared_ptr<const Trace> trace_;
  const bitnet::Config config_;
  std::string id_;
  const Trace::Case* case_ = nullptr;
  std::size_t step_ = 0;
  std::size_t row_ = 0;  // within the step
};

}  // namespace

std::unique_ptr<Participant> make_replay(std::shared_ptr<const Trace> trace, const bitnet::Config& config) {
  return std::make_unique<Replay>(std::move(trace), config);
}

}  // namespace crossval
