// Writes a small corpus for fuzz_safetensors: fuzz_safetensors_seeds DIRECTORY.

#include "engine/fuzz_seeds.h"
#include "engine/safetensors/test_file.h"

int main(int argc, char** argv) {
  using bitnet::testing::TestSafetensors;
  const TestSafetensors several = {
      {{"format", "pt"}, {"modelspec.title", "t"}},
      {{"model.norm.weight", "BF16", {2}, std::string(4, '\1')},
       {"model.layers.0.self_attn.q_proj.weight", "U8", {1, 4}, std::string(4, '\2')},
       {"model.layers.0.self_attn.q_proj.weight_scale", "F32", {1}, std::string(4, '\3')}}};
  return bitnet::fuzzing::write_seeds("fuzz_safetensors_seeds", argc, argv,
                                      {{"several", several.bytes()},
                                       {"no-tensors", TestSafetensors{{{"format", "pt"}}, {}}.bytes()},
                                       {"empty-header", TestSafetensors::join("{}", "")}});
}
