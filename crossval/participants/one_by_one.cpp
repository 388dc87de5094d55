#include "crossval/participants/one_by_one.h"

#include <algorithm>
#include <map>

#include "crossval/participants/forwarding.h"

namespace crossval {
namespace {

class OneByOne final : public Forwarding {
 public:
  OneByOne(std::unique_ptr<Participant> inner, const bitnet::Config& config, std::size_t room)
      : Forwarding(std::move(inner)), config_(config), room_(room) {}

  void reset() override {
    inner().reset();
    position_ = 0;
  }

  void eval(std::span<const Token> tokens, const std::function<bool(TapId)>& wanted,
            const TensorSink& sink) override {
    const auto n = static_cast<std::int64_t>(tokens.size());
    if (n == 1) {
      inner().eval(tokens, wanted, sink);
      ++position_;
      return;
    }
    const std::int64_t first_kept = n - rows_kept(n, wanted);
    std::vector<TapId> order;
    std::map<TapId, Tensor> rows;
    for (std::int64_t i = 0; i < n; ++i, ++position_) {
      const bool kept = i >= first_kept;
      inner().eval(
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

 private:
  std::int64_t rows_kept(std::int64_t n, const std::function<bool(TapId)>& wanted) const {
    std::int64_t width = 1;
    for (const TapId id : bitnet::canonical_taps(config_))
      if (wanted(id)) width += bitnet::tap_width(config_, id.tap, position_ + n - 1);
    return std::clamp<std::int64_t>(static_cast<std::int64_t>(room_ / sizeof(float)) / width, 1, n);
  }

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
