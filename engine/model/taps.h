#pragma once
// Taps: the named activations of the forward pass (design.md 6). One list serves engine, references and
// reports.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/config.h"

namespace bitnet {

/// In canonical order. The comment gives the width of a row; H heads, G KV heads, hd head size.
enum class Tap : std::uint8_t {
  inp_embd,       // n_embd
  attn_norm,      // n_embd
  q_proj,         // H*hd   "Qcur-i#1"
  q_rope,         // H*hd   "Qcur-i#2"
  k_proj,         // G*hd   "Kcur-i#1"
  k_rope,         // G*hd   "Kcur-i#2"
  v_proj,         // G*hd   "Vcur-i"
  kq,             // H*(position+1), head by head
  kq_soft_max,    // H*(position+1), head by head
  attn_ctx,       // H*hd
  attn_sub_norm,  // H*hd   architectures with sub-norms
  attn_out,       // n_embd
  ffn_inp,        // n_embd
  ffn_norm,       // n_embd
  ffn_gate,       // n_ff
  ffn_up,         // n_ff
  ffn_act,        // n_ff
  ffn_par,        // n_ff
  ffn_sub_norm,   // n_ff   architectures with sub-norms
  ffn_down,       // n_embd
  l_out,          // n_embd
  result_norm,    // n_embd
  result_output,  // n_vocab
};
inline constexpr int kTapCount = static_cast<int>(Tap::result_output) + 1;

/// A tap of one layer; layer is -1 for inp_embd, result_norm and result_output.
struct TapId {
  Tap tap{};
  int layer = -1;
  friend bool operator==(const TapId&, const TapId&) = default;
  // clang-tidy 14 takes the comparison with 0 within for a pointer.
  friend auto operator<=>(const TapId&, const TapId&) = default;  // NOLINT(modernize-use-nullptr)
};

bool has_layer(Tap tap);
/// "attn_norm", "Qcur#1": the name without a layer.
std::string_view base_name(Tap tap);
/// "attn_norm-3", "Qcur-3#2", "result_norm".
std::string to_string(TapId id);
std::optional<TapId> parse_tap(std::string_view name);
/// Every tap of a model, in canonical order: inp_embd, layer 0, layer 1, ..., result_norm, result_output.
std::vector<TapId> canonical_taps(const Config& config);
/// Those of one layer, in canonical order.
std::vector<TapId> layer_taps(const Config& config, int layer);
/// Values in the row at `position`.
std::int64_t tap_width(const Config& config, Tap tap, std::int64_t position);

/// Rows of one tap, one after another; row i is data[offsets[i] .. offsets[i+1]).
struct TapTensor {
  TapId id;
  std::span<const std::int64_t> offsets;  // rows + 1
  float* data = nullptr;
  std::int64_t rows() const { return static_cast<std::int64_t>(offsets.size()) - 1; }
  std::span<float> row(std::int64_t i) const {
    const auto at = static_cast<std::size_t>(i);
    return {data + offsets[at], static_cast<std::size_t>(offsets[at + 1] - offsets[at])};
  }
};

/// Shown each operation's output before the next operation or the KV cache reads it; `show` may change the
/// values. `wants` tells which taps are shown. Looking changes no bit of any result.
struct TapHook {
  std::function<bool(TapId)> wants;
  std::function<void(const TapTensor&)> show;
};

}  // namespace bitnet
