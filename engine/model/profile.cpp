#include "engine/model/profile.h"

namespace bitnet {

std::string_view to_string(Work work) {
  switch (work) {
    case Work::embedding:
      return "embedding";
    case Work::norm:
      return "norm";
    case Work::quantize:
      return "quantize";
    case Work::attn_q:
      return "attn_q";
    case Work::attn_k:
      return "attn_k";
    case Work::attn_v:
      return "attn_v";
    case Work::attn_output:
      return "attn_output";
    case Work::ffn_gate:
      return "ffn_gate";
    case Work::ffn_up:
      return "ffn_up";
    case Work::ffn_down:
      return "ffn_down";
    case Work::rope:
      return "rope";
    case Work::cache:
      return "cache";
    case Work::scores:
      return "scores";
    case Work::softmax:
      return "softmax";
    case Work::context:
      return "context";
    case Work::elementwise:
      return "elementwise";
    case Work::head:
      return "head";
    case Work::screen:
      return "screen";
    case Work::exact_rows:
      return "exact_rows";
  }
  return "";
}

void Profile::add_steps(Duration duration, const std::array<Amount, kSteps.size()>& amounts) {
  Laps all;
  Duration total{};
  for (Laps& own : laps_) {
    for (std::size_t i = 0; i < kSteps.size(); ++i) {
      all.steps[i] += own.steps[i];
      total += own.steps[i];
    }
    own = {};
  }
  for (std::size_t i = 0; i < kSteps.size(); ++i) {
    const double share = total.count() == 0
                             ? 1.0 / static_cast<double>(kSteps.size())
                             : static_cast<double>(all.steps[i].count()) / static_cast<double>(total.count());
    add(kSteps[i], Duration(static_cast<Duration::rep>(static_cast<double>(duration.count()) * share)),
        amounts[i]);
  }
}

}  // namespace bitnet
