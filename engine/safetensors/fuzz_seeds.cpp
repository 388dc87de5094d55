// Writes a small corpus for fuzz_safetensors: fuzz_safetensors_seeds DIRECTORY.

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "engine/safetensors/test_file.h"

namespace {

bool write(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream out(path, std::ios::binary);
  out << bytes;
  return out.good();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: fuzz_safetensors_seeds DIRECTORY\n");
    return 2;
  }
  const std::filesystem::path dir = argv[1];
  std::error_code error;
  std::filesystem::create_directories(dir, error);
  using bitnet::testing::TestSafetensors;
  const TestSafetensors several = {
      {{"format", "pt"}, {"modelspec.title", "t"}},
      {{"model.norm.weight", "BF16", {2}, std::string(4, '\1')},
       {"model.layers.0.self_attn.q_proj.weight", "U8", {1, 4}, std::string(4, '\2')},
       {"model.layers.0.self_attn.q_proj.weight_scale", "F32", {1}, std::string(4, '\3')}}};
  const bool ok = write(dir / "several", several.bytes()) &&
                  write(dir / "no-tensors", TestSafetensors{{{"format", "pt"}}, {}}.bytes()) &&
                  write(dir / "empty-header", TestSafetensors::join("{}", ""));
  if (!ok) std::fprintf(stderr, "fuzz_safetensors_seeds: %s cannot be written\n", argv[1]);
  return ok ? 0 : 4;
}
