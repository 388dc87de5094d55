#include "crossval/participants/one_by_one.h"

#include <algorithm>
#include <map>

namespace crossval {
namespace {

class OneByOne final : public Participant {
 public:
  OneByOne(std::unique_ptr<Participant> inner, const bitnet::Config& config, std::size_t room)
      : inner_(std::move(inner)), config_(config), room_(room) {}

  Identity identity() const override { return inner_->identity(); }
  std::int64_t n_vocab() const override { return inner_->n_vocab(); }
  std::vector<TapId> taps() const override { return inner_->taps(); }
  std::vector<Token> tokenize(std::string_view text, bool add_special, bool parse_special) override {
    return inner_->tokenize(text, add_special, parse_special);
  }
  std::string piece(Token token) override { return inner_->piece(token); }
  void begin_case(std::string_view id) override { inner_->begin_case(id); }
  void reset() override {
    inner_->reset();
    position_ = 0;
  }

  void eval(std::span<const Token> tokens, const std::function<bool(TapId)>& wanted,
            const TensorSink& sink) override {
    const auto n = static_cast<std::int64_t>(tokens.size());
    if (n == 1) {
      inner_->eval(tokens, wanted, sink);
      ++position_;
      return;
    }
    const std::int64_t first_kept = n - rows_kept(n, wanted);
    std::vector<TapId> order;
    std::map<TapId, Tensor> rows;
    for (std::int64_t i = 0; i < n; ++i, ++position_) {
      const bool kept = i >= first_kept;
      inner_->eval(
          tokens.subspan(static_cast<std::size_t>(i), 1), [&](TapId id) { return kept && wanted(id); },
          [&](Tensor&& row) {
            const auto [it, first] = rows.try_emplace(row.id);
            Tensor& all = it->second;
            if (first) {
              order.push_back(row.id);
              all = std::move(row);
              return;
            }
            all.offsets.push_back(all.offsets.back() + row.offsets.back());
            all.values.insert(all.values.end(), row.values.begin(), row.values.end());
          });
    }
    for (const TapId id : order) sink(std::move(rows.at(id)));
  }

  std::vector<float> evaluate(const bitnet::Operation& operation) override {
    return inner_->evaluate(operation);
  }

 private:
  std::int64_t rows_kept(std::int64_t n, const std::function<bool(TapId)>& wanted) const {
    std::int64_t width = 1;
    for (const TapId id : bitnet::canonical_taps(config_))
      if (wanted(id)) width += bitnet::tap_width(config_, id.tap, position_ + n - 1);
    return std::clamp<std::int64_t>(static_cast<std::int64_t>(room_ / sizeof(float)) / width, 1, n);
  }

  std::unique_ptr<Participant> inner_;
  const bitnet::Config config_;
  std::size_t room_;
  std::int64_t position_ = 0;
};

}  // namespace

std::unique_ptr<Participant> make_one_by_one(std::unique_ptr<Participant> inner, const bitnet::Config& config,
                                             std::size_t room) {
  return std::make_unique<OneByOne>(std::move(inner), config, room);
}

}  // namespace crossval
