#include "crossval/participants/self_participant.h"

#include <algorithm>
#include <map>
#include <optional>

#include "crossval/version.h"

namespace crossval {
namespace {

using bitnet::BatchRow;
using bitnet::Context;
using bitnet::ContextOptions;

constexpr int kSequences = 4;
constexpr std::int64_t kWholeBatch = 4096;  // a batch is not split behind our back

ContextOptions in_another_way(ContextOptions options, const std::string& way) {
  const bitnet::Kernels& kernels = bitnet::select_kernels(options.isa);
  options.sequences = kSequences;  // their pages; the sequences come and go
  options.batch = kWholeBatch;
  if (way == "isa") options.isa = kernels.name == "scalar" ? "" : "scalar";
  if (way == "threads")
    options.threads = (options.threads > 0 ? options.threads : bitnet::physical_cores()) + 1;
  return options;
}

// Gathers the rows of one sequence from the tensors of batches that hold others too, and hands each tensor on
// when all rows have come.
class Gather {
 public:
  Gather(std::size_t rows, const std::function<bool(TapId)>& wanted, const TensorSink& sink)
      : rows_(rows), wanted_(wanted), sink_(sink) {}

  // `ours` says which rows of the next evaluation are.
  bitnet::TapHook hook(const std::vector<bool>& ours) {
    return {.wants = wanted_, .show = [this, &ours](const bitnet::TapTensor& tap) {
              Tensor& tensor = parts_[tap.id];
              tensor.id = tap.id;
              if (tensor.offsets.empty()) tensor.offsets.push_back(0);
              for (std::int64_t i = 0; i < tap.rows(); ++i) {
                if (!ours[static_cast<std::size_t>(i)]) continue;
                const auto row = tap.row(i);
                tensor.values.insert(tensor.values.end(), row.begin(), row.end());
                tensor.offsets.push_back(std::ssize(tensor.values));
              }
              if (tensor.rows() < static_cast<std::int64_t>(rows_)) return;
              sink_(std::move(tensor));
              parts_.erase(tap.id);
            }};
  }

 private:
  std::size_t rows_;
  const std::function<bool(TapId)>& wanted_;
  const TensorSink& sink_;
  std::map<TapId, Tensor> parts_;
};

// One way of computing, with a context of its own.
class Way {
 public:
  Way(const bitnet::Model& model, const ContextOptions& options, std::string name)
      : name_(std::move(name)), context_(model, in_another_way(options, name_)) {
    for (int sequence = 1; sequence < kSequences; ++sequence) context_.release(sequence);
  }

  void add_kernels(bitnet::KernelCounts& counts) const { context_.add_kernels(counts); }

  void reset() {
    for (const int other : others_) context_.release(other);
    others_.clear();
    move_to(context_.acquire());
    turn_ = 0;
  }

  void eval(std::span<const Token> tokens, const std::function<bool(TapId)>& wanted, const TensorSink& sink) {
    Gather gather(tokens.size(), wanted, sink);
    if (name_ == "split") {
      for (std::size_t at = 0; at < tokens.size();) {
        const std::size_t n = std::min(tokens.size() - at, ++turn_ % 4 + 1);
        forward(gather, ours(tokens.subspan(at, n)));
        at += n;
      }
      return;
    }
    if (name_ == "forked" && context_.length(sequence_) > 0) move_to(context_.fork(sequence_));
    if (name_ == "restored" && context_.length(sequence_) > 0) {
      const std::vector<std::byte> saved = context_.save(sequence_);
      move_to(context_.restore(saved));
    }
    if (name_ == "mixed") {
      forward(gather, mixed(tokens));
    } else if (name_ == "padded") {
      const std::int64_t length = context_.length(sequence_) + std::ssize(tokens);
      std::vector<BatchRow> rows = ours(tokens);
      for (std::int64_t pad = 0; pad < 3 && length + pad < context_.n_ctx(); ++pad)
        rows.push_back({.token = tokens.front(), .sequence = sequence_, .logits = false});
      forward(gather, rows, tokens.size());
      context_.truncate(sequence_, length);
    } else {
      forward(gather, ours(tokens));
    }
  }

 private:
  std::vector<BatchRow> ours(std::span<const Token> tokens) const {
    std::vector<BatchRow> rows;
    for (const Token token : tokens) rows.push_back({.token = token, .sequence = sequence_, .logits = false});
    return rows;
  }

  // Our rows, a row of another sequence before each, after each, or here and there.
  std::vector<BatchRow> mixed(std::span<const Token> tokens) {
    while (others_.size() < 2) others_.push_back(context_.acquire());
    std::vector<BatchRow> rows;
    ++turn_;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const int other = others_[(i + turn_) % 2];
      const bool room = context_.length(other) + std::ssize(tokens) < context_.n_ctx();
      const BatchRow stranger{.token = tokens[tokens.size() - 1 - i], .sequence = other, .logits = false};
      if (room && (i + turn_) % 3 != 0) rows.push_back(stranger);
      rows.push_back({.token = tokens[i], .sequence = sequence_, .logits = false});
      if (room && (i + turn_) % 3 == 0) rows.push_back(stranger);
    }
    return rows;
  }

  void forward(Gather& gather, const std::vector<BatchRow>& rows, std::size_t most = SIZE_MAX) {
    std::vector<bool> ours;
    ours.reserve(rows.size());
    std::size_t n = 0;
    for (const BatchRow& row : rows) ours.push_back(row.sequence == sequence_ && n++ < most);
    const bitnet::TapHook hook = gather.hook(ours);
    context_.forward(rows, &hook);
  }

  void move_to(int sequence) {
    context_.release(sequence_);
    sequence_ = sequence;
  }

  std::string name_;
  Context context_;
  int sequence_ = 0;
  std::vector<int> others_;
  std::size_t turn_ = 0;
};

class SelfParticipant final : public Participant {
 public:
  SelfParticipant(std::shared_ptr<const bitnet::Model> model, const ContextOptions& options,
                  const std::string& way)
      : model_(std::move(model)), options_(options), names_(way == "all" ? self_ways() : std::vector{way}) {}

  Identity identity() const override {
    std::string ways;
    for (const std::string& name : names_) ways += (ways.empty() ? "" : ", ") + name;
    return {.name = "self",
            .version = std::string(kVersion),
            .build = std::string(kBuild),
            .details = {{"ways, case by case", ways}}};
  }
  std::int64_t n_vocab() const override { return model_->config().n_vocab; }
  std::vector<TapId> taps() const override { return bitnet::canonical_taps(model_->config()); }
  std::vector<Token> tokenize(std::string_view text, bool add_special, bool parse_special) override {
    return model_->tokenizer().encode(text, add_special, parse_special);
  }
  std::string piece(Token token) override { return model_->tokenizer().piece(token); }

  void reset() override {
    name_ = names_[next_++ % names_.size()];
    if (const auto it = ways_.find(name_); it != ways_.end()) it->second.reset();
  }
  void eval(std::span<const Token> tokens, const std::function<bool(TapId)>& wanted,
            const TensorSink& sink) override {
    if (name_.empty()) reset();
    ways_.try_emplace(name_, *model_, options_, name_).first->second.eval(tokens, wanted, sink);
  }
  bitnet::KernelCounts kernels() const override {
    bitnet::KernelCounts counts;
    for (const auto& [name, way] : ways_) way.add_kernels(counts);
    return counts;
  }
  std::vector<float> evaluate(const bitnet::Operation& /*operation*/) override {
    throw std::logic_error("self evaluates no single operations");
  }

 private:
  std::shared_ptr<const bitnet::Model> model_;
  ContextOptions options_;
  std::vector<std::string> names_;
  std::map<std::string, Way> ways_;  // made when they are first taken
  std::string name_;                 // the one in use
  std::size_t next_ = 0;
};

}  // namespace

std::vector<std::string> self_ways() {
  return {"isa", "threads", "split", "mixed", "padded", "forked", "restored"};
}

std::unique_ptr<Participant> make_self(std::shared_ptr<const bitnet::Model> model,
                                       const ContextOptions& options, const std::string& way) {
  return std::make_unique<SelfParticipant>(std::move(model), options, way);
}

}  // namespace crossval
