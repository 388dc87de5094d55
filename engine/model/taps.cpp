#include "engine/model/taps.h"

#include <array>
#include <charconv>

namespace bitnet {
namespace {

struct Name {
  std::string_view name;        // before the layer
  std::string_view occurrence;  // after it
  std::string_view base;        // both, for tables over all layers
};

constexpr std::array<Name, kTapCount> kNames = {{
    {"inp_embd", "", "inp_embd"},
    {"attn_norm", "", "attn_norm"},
    {"Qcur", "#1", "Qcur#1"},
    {"Qcur", "#2", "Qcur#2"},
    {"Kcur", "#1", "Kcur#1"},
    {"Kcur", "#2", "Kcur#2"},
    {"Vcur", "", "Vcur"},
    {"kq", "", "kq"},
    {"kq_soft_max", "", "kq_soft_max"},
    {"attn_ctx", "", "attn_ctx"},
    {"attn_sub_norm", "", "attn_sub_norm"},
    {"attn_out", "", "attn_out"},
    {"ffn_inp", "", "ffn_inp"},
    {"ffn_norm", "", "ffn_norm"},
    {"ffn_gate", "", "ffn_gate"},
    {"ffn_up", "", "ffn_up"},
    {"ffn_act", "", "ffn_act"},
    {"ffn_par", "", "ffn_par"},
    {"ffn_sub_norm", "", "ffn_sub_norm"},
    {"ffn_down", "", "ffn_down"},
    {"l_out", "", "l_out"},
    {"result_norm", "", "result_norm"},
    {"result_output", "", "result_output"},
}};

const Name& name_of(Tap tap) {
  return kNames[static_cast<std::size_t>(tap)];
}

bool exists(const Config& config, Tap tap) {
  return config.sub_norms || (tap != Tap::attn_sub_norm && tap != Tap::ffn_sub_norm);
}

}  // namespace

bool has_layer(Tap tap) {
  return tap != Tap::inp_embd && tap != Tap::result_norm && tap != Tap::result_output;
}

std::string_view base_name(Tap tap) {
  return name_of(tap).base;
}

std::string to_string(TapId id) {
  const Name& name = name_of(id.tap);
  std::string text(name.name);
  if (has_layer(id.tap)) text += "-" + std::to_string(id.layer);
  text += name.occurrence;
  return text;
}

std::optional<TapId> parse_tap(std::string_view text) {
  const auto hash = text.find('#');
  const std::string_view occurrence = hash == std::string_view::npos ? "" : text.substr(hash);
  const std::string_view head = text.substr(0, hash);
  const auto dash = head.rfind('-');
  const std::string_view name = head.substr(0, dash);
  int layer = -1;
  if (dash != std::string_view::npos) {
    const std::string_view digits = head.substr(dash + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), layer);
    if (error != std::errc{} || end != digits.data() + digits.size() || layer < 0) return std::nullopt;
  }
  for (int i = 0; i < kTapCount; ++i) {
    const auto tap = static_cast<Tap>(i);
    if (name_of(tap).name != name || name_of(tap).occurrence != occurrence) continue;
    if (has_layer(tap) != (layer >= 0)) return std::nullopt;
    return TapId{tap, layer};
  }
  return std::nullopt;
}

std::vector<TapId> layer_taps(const Config& config, int layer) {
  std::vector<TapId> taps;
  for (int i = 0; i < kTapCount; ++i)
    if (const auto tap = static_cast<Tap>(i); has_layer(tap) && exists(config, tap))
      taps.push_back({tap, layer});
  return taps;
}

std::vector<TapId> canonical_taps(const Config& config) {
  std::vector<TapId> taps{{Tap::inp_embd, -1}};
  for (int layer = 0; layer < config.n_layer; ++layer)
    for (const TapId id : layer_taps(config, layer)) taps.push_back(id);
  taps.push_back({Tap::result_norm, -1});
  taps.push_back({Tap::result_output, -1});
  return taps;
}

std::int64_t tap_width(const Config& config, Tap tap, std::int64_t position) {
  switch (tap) {
    case Tap::q_proj:
    case Tap::q_rope:
    case Tap::attn_ctx:
    case Tap::attn_sub_norm:
      return config.q_width();
    case Tap::k_proj:
    case Tap::k_rope:
    case Tap::v_proj:
      return config.kv_width();
    case Tap::kq:
    case Tap::kq_soft_max:
      return config.n_head * (position + 1);
    case Tap::ffn_gate:
    case Tap::ffn_up:
    case Tap::ffn_act:
    case Tap::ffn_par:
    case Tap::ffn_sub_norm:
      return config.n_ff;
    case Tap::result_output:
      return config.n_vocab;
    default:
      return config.n_embd;
  }
}

}  // namespace bitnet
