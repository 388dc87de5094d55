// Writes a small corpus for fuzz_formats: fuzz_formats_seeds DIRECTORY. One sound matrix of each format, and
// a kernel_config.ini.

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "engine/formats/test_ternary.h"
#include "reference/formats/fuzz_formats.h"

namespace {

using namespace crossval::fuzzing;

bool write(const std::filesystem::path& path, const Head& head, const void* data, std::size_t size) {
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(&head), sizeof head);
  out.write(static_cast<const char*>(data), static_cast<std::streamsize>(size));
  return out.good();
}

bool write_matrix(const std::filesystem::path& path, const Head& head) {
  const bitnet::TernaryFormat format = format_of(head);
  const bitnet::TernaryShape shape = shape_of(head);
  std::vector<std::byte> tensor(bitnet::tensor_bytes(format.type, shape.cols, shape.rows).value_or(0));
  auto w = bitnet::testing_support::ternary(shape.elements(), 1);
  const bool qk256 = format.type == bitnet::TensorType::qk256;
  for (auto& x : w)
    if (qk256 && x == 0) x = 1;
  if (bitnet::is_ternary(format.type)) bitnet::encode_ternary(format, w, shape, qk256 ? 1.0f : 0.75f, tensor);
  return write(path, head, tensor.data(), tensor.size());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: fuzz_formats_seeds DIRECTORY\n");
    return 2;
  }
  const std::filesystem::path dir = argv[1];
  std::error_code error;
  std::filesystem::create_directories(dir, error);
  bool ok = true;
  for (std::uint8_t type = 0; type < std::size(kTypes); ++type)
    for (std::uint8_t layout = 0; layout < (type == 0 ? 3 : 1); ++layout) {
      // 32 rows of 256, in tiles of 32 rows and 128 or 96 columns.
      const std::uint8_t tile_cols = kTypes[type] == bitnet::TensorType::tl2 ? 12 : 16;
      ok = ok && write_matrix(dir / ("matrix-" + std::to_string(type) + "-" + std::to_string(layout)),
                              {type, layout, 7, 31, 2, tile_cols, 2});
    }
  const std::string config = "[Kernels_0]\nm = 32\nk = 256\nbm = 32\nbk = 96\nbmm = 32\n";
  ok = ok && write(dir / "config", {}, config.data(), config.size());
  if (!ok) std::fprintf(stderr, "fuzz_formats_seeds: %s cannot be written\n", argv[1]);
  return ok ? 0 : 4;
}
