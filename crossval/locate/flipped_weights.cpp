#include "crossval/locate/flipped_weights.h"

#include <limits>

#include "crossval/lockstep/local.h"
#include "engine/kernels/kernels.h"

namespace crossval {
namespace {

constexpr std::size_t kMostRows = 8;

std::string tensor_of(TapId id) {
  using bitnet::Tap;
  static const std::map<Tap, const char*> kNames{{Tap::q_proj, "attn_q"},     {Tap::k_proj, "attn_k"},
                                                 {Tap::v_proj, "attn_v"},     {Tap::attn_out, "attn_output"},
                                                 {Tap::ffn_gate, "ffn_gate"}, {Tap::ffn_up, "ffn_up"},
                                                 {Tap::ffn_down, "ffn_down"}};
  return "blk." + std::to_string(id.layer) + "." + kNames.at(id.tap) + ".weight";
}

}  // namespace

WeightSuspicion::WeightSuspicion(const bitnet::Model& model, TapId tap) : model_(model), tap_(tap) {}

void WeightSuspicion::add(const bitnet::Operation& operation, const Tensor& shown,
                          std::span<const float> sound) {
  const bitnet::Projection& p = projection_of(model_.weights(), tap_);
  const std::int64_t n = p.matrix.cols;
  const bitnet::Kernels& kernels = bitnet::select_kernels("scalar");
  for (std::int64_t t = 0; t < shown.rows() && !other_; ++t) {
    const std::span<const float> input{operation.a + t * n, static_cast<std::size_t>(n)};
    const auto at = static_cast<std::size_t>(shown.offsets[static_cast<std::size_t>(t)]);
    const auto got = integer_products(shown.row(t), input, p);
    const auto right = integer_products(sound.subspan(at, shown.row(t).size()), input, p);
    std::vector<std::int8_t> codes(static_cast<std::size_t>(n));
    float scale = 0;
    std::int32_t sum = 0;
    kernels.quantize_row(input.data(), n, codes.data(), &scale, &sum);
    codes_.push_back(std::move(codes));
    for (std::size_t r = 0; r < got.size(); ++r) {
      if (got[r] == right[r]) continue;
      if (got[r] == std::numeric_limits<std::int64_t>::min()) other_ = true;
      auto& row = off_[static_cast<std::int64_t>(r)];
      row.resize(codes_.size());
      row.back() = got[r] - right[r];
    }
    if (off_.size() > kMostRows) other_ = true;
  }
}

std::vector<WrongWeight> WeightSuspicion::found() const {
  if (other_) return {};
  std::vector<WrongWeight> all;
  for (const auto& [row, differences] : off_) {
    std::optional<WrongWeight> only;
    for (std::size_t c = 0; c < codes_.front().size(); ++c)
      for (const int d : {-2, -1, 1, 2}) {
        bool fits = true;
        for (std::size_t t = 0; t < codes_.size() && fits; ++t)
          fits = (t < differences.size() ? differences[t] : 0) == d * codes_[t][c];
        if (!fits) continue;
        if (only) return {};  // more inputs are needed to tell
        only = {tensor_of(tap_), row, static_cast<std::int64_t>(c), d};
      }
    if (!only) return {};
    all.push_back(*only);
  }
  return all;
}

}  // namespace crossval
