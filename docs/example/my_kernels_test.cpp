#include "my_kernels.h"

#include <random>
#include <vector>

#include "crossval/gtest/parity.h"
#include "engine/formats/i2s.h"
#include "engine/kernels/kernels.h"

TEST(MyKernels, TernaryProductIsThatOfTheScalarKernel) {
  const std::int64_t rows = 64, cols = 2560;
  std::mt19937 random_bits(1);
  std::vector<std::int8_t> weights(rows * cols), x(cols);
  for (auto& w : weights) w = static_cast<std::int8_t>(random_bits() % 3 - 1);
  for (auto& q : x) q = static_cast<std::int8_t>(random_bits() % 255 - 127);
  std::vector<std::int32_t> mine(rows);
  my_ternary_product(weights, x, mine);

  std::vector<std::byte> packed(rows * cols / 4);
  bitnet::i2s::pack_codes(weights, packed);
  const float one = 1;
  std::int32_t sum = 0;
  for (auto q : x) sum += q;
  std::vector<float> expected(rows);
  bitnet::select_kernels("scalar").ternary_matmul(
      {reinterpret_cast<const std::uint8_t*>(packed.data()), rows, cols, one}, 0, rows,
      {x.data(), &one, &sum, 1, cols}, expected.data(), rows);
  EXPECT_PARITY(std::vector<float>(mine.begin(), mine.end()), expected, crossval::same_bits());
}

TEST(MyKernels, SiluIsWithinTheGateOfTheActivation) {
  std::vector<float> x(4 * 6912), mine(x.size()), expected(x.size());
  std::mt19937 random_bits(2);
  for (auto& v : x) v = static_cast<float>(random_bits() % 2000) / 100 - 10;
  my_silu(x, mine);
  bitnet::select_kernels("scalar").silu(x.data(), static_cast<std::int64_t>(x.size()), expected.data());
  EXPECT_PARITY(crossval::Rows(mine, 6912), crossval::Rows(expected, 6912), crossval::local_gate("ffn_act"));
}
