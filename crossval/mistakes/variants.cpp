// Builds of bitnet.cpp that compute otherwise, as the emulator knows them.

#include <algorithm>
#include <memory>

#include "crossval/mistakes/mistake.h"
#include "reference/emulator/participant.h"

namespace crossval {
namespace {

using bitnet::Tap;

std::function<Remake(const Workbench&)> built_as(const EmulatorOptions& options) {
  return [options](const Workbench& bench) -> Remake {
    const std::shared_ptr<Participant> emulator = make_emulator(bench.path, options);
    return [emulator](const Making& m, std::span<float> values) {
      std::ranges::copy(emulator->evaluate(m.operation), values.begin());
    };
  };
}

EmulatorOptions own_rope() {
  EmulatorOptions options;
  options.rope = emulation::Rope::own;
  options.threads = 1;
  return options;
}

}  // namespace

std::vector<Mistake> variant_mistakes() {
  const std::vector<Tap> projections{Tap::q_proj,   Tap::k_proj, Tap::v_proj,  Tap::attn_out,
                                     Tap::ffn_gate, Tap::ffn_up, Tap::ffn_down};
  EmulatorOptions wrapped = own_rope();
  wrapped.sums = emulation::Sums::int16;
  EmulatorOptions fused = own_rope();
  fused.quantizer = emulation::Quantizer::fused;
  EmulatorOptions lanes = own_rope();
  lanes.width = 8;
  return {
      {.name = "int16-overflow",
       .as_if = "the sums of products wrapped around in int16 lanes",
       .taps = projections,
       .make = built_as(wrapped)},
      {.name = "fused-quantizer",
       .as_if = "activations were quantized with a fused multiply-add, as GCC compiles bitnet.cpp",
       .taps = projections,
       .make = built_as(fused)},
      {.name = "eight-lanes",
       .as_if = "sums were taken in 8 lanes, as a build for AVX2 does",
       .taps = {Tap::kq, Tap::kq_soft_max, Tap::attn_ctx, Tap::result_output},
       .make = built_as(lanes)},
  };
}

}  // namespace crossval
