// Writes a small corpus for fuzz_formats: fuzz_formats_seeds DIRECTORY. One sound matrix of each format, and
// a kernel_config.ini.

#include <string>
#include <vector>

#include "engine/formats/test_ternary.h"
#include "engine/fuzz_seeds.h"
#include "reference/formats/fuzz_formats.h"

namespace {

using namespace crossval::fuzzing;

std::string bytes_of(const Head& head, const void* data, std::size_t size) {
  std::string bytes(reinterpret_cast<const char*>(&head), sizeof head);
  return bytes.append(static_cast<const char*>(data), size);
}

std::string matrix(const Head& head) {
  const bitnet::TernaryFormat format = format_of(head);
  const bitnet::TernaryShape shape = shape_of(head);
  std::vector<std::byte> tensor(bitnet::tensor_bytes(format.type, shape.cols, shape.rows).value_or(0));
  auto w = bitnet::testing_support::ternary(shape.elements(), 1);
  const bool qk256 = format.type == bitnet::TensorType::qk256;
  for (auto& x : w)
    if (qk256 && x == 0) x = 1;
  if (bitnet::is_ternary(format.type)) bitnet::encode_ternary(format, w, shape, qk256 ? 1.0f : 0.75f, tensor);
  return bytes_of(head, tensor.data(), tensor.size());
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<bitnet::fuzzing::Seed> seeds;
  for (std::uint8_t type = 0; type < std::size(kTypes); ++type)
    for (std::uint8_t layout = 0; layout < (type == 0 ? 3 : 1); ++layout) {
      // 32 rows of 256, in tiles of 32 rows and 128 or 96 columns.
      const std::uint8_t tile_cols = kTypes[type] == bitnet::TensorType::tl2 ? 12 : 16;
      seeds.push_back({"matrix-" + std::to_string(type) + "-" + std::to_string(layout),
                       matrix({type, layout, 7, 31, 2, tile_cols, 2})});
    }
  const std::string config = "[Kernels_0]\nm = 32\nk = 256\nbm = 32\nbk = 96\nbmm = 32\n";
  seeds.push_back({"config", bytes_of({}, config.data(), config.size())});
  return bitnet::fuzzing::write_seeds("fuzz_formats_seeds", argc, argv, seeds);
}
