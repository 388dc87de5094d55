// Every kernel of kernels.inc against the scalar one, bit for bit. The entries of scalar are compared with
// themselves, which still holds them to their bounds: every buffer lies between forbidden pages.

#include "engine/kernels/kernels.h"

#include <gtest/gtest.h>

#include "engine/kernels/kernel_checks.h"
#include "engine/kernels/trapped.h"

namespace bitnet {
namespace {

using namespace testing_support;

const Kernels& table(std::string_view name) {
  for (const Kernels* kernels : compiled_kernels()) {
    if (kernels->name == name) return *kernels;
  }
  throw std::logic_error("kernels.inc lists an instruction set that is not compiled");
}

/// Shapes at which kernels change their ways: steps, panels, pages, blocks, rows by fours and eights, tails.
std::vector<Case> shapes(std::string_view operation) {
  std::vector<Case> cases;
  const auto add = [&cases](std::int64_t a, std::int64_t b = 0, std::int64_t c = 0, std::int64_t d = 0) {
    cases.push_back({{a, b, c, d}, Values::ordinary, Edge::end, 0});
  };
  if (operation == "ternary_matmul") {
    // size[3] = 2 rows' worth makes the range of rows the whole matrix.
    for (const std::int64_t blocks : {0, 1, 4, 5, 9, 10, 11, 19, 20, 21, 53}) {
      for (const std::int64_t tokens : {0, 1, 2, 3, 4, 5}) add(blocks, 12, tokens, 26);
    }
    for (const std::int64_t rows : {1, 2, 3, 4, 5, 7, 8, 9, 17}) {
      for (const std::int64_t tokens : {1, 2, 7}) add(2, rows - 1, tokens, 2 * rows);
    }
    for (const std::int64_t tokens : {6, 7, 8, 9, 63, 64, 65, 130}) add(3, 8, tokens, 18);
    for (const std::int64_t split : {1, 2, 3, 7, 11, 20, 31}) add(6, 21, 3, split);
    // The longest row admitted, and more weights than stay in a cache.
    for (const std::int64_t tokens : {1, 2, 4}) add(65536 / 128 - 1, 3, tokens, 8);
    add(65536 / 128 - 1, 37, 2, 76);
  } else if (operation == "matmul_f16" || operation == "matmul_f32" || operation == "matmul_bf16") {
    for (const std::int64_t n : {0, 1, 7, 8, 63, 64, 65, 80, 127, 128, 200, 640}) {
      for (const std::int64_t tokens : {0, 1, 2, 3, 4, 5}) add(n, 12, tokens, 26);
    }
    for (const std::int64_t rows : {1, 2, 3, 4, 5, 9}) {
      for (const std::int64_t tokens : {4, 7}) add(130, rows - 1, tokens, 2 * rows);
    }
    for (const std::int64_t split : {1, 2, 3, 7, 11, 20, 31}) add(64, 21, 2, split);
    for (const std::int64_t n : {1280, 1344, 4095, 4096, 4097, 6912}) {
      for (const std::int64_t tokens : {1, 7}) add(n, 1, tokens, 4);
    }
  } else if (operation == "matmul_q8_0" || operation == "matmul_q6_k" || operation == "matmul_q5_0" ||
             operation == "matmul_q4_k" || operation == "matmul_q4_0") {
    for (const std::int64_t blocks : {0, 1, 2, 3, 4, 10, 11}) {
      for (const std::int64_t tokens : {0, 1, 2, 3, 4, 5, 9}) add(blocks, 12, tokens, 26);
    }
    for (const std::int64_t rows : {1, 2, 3, 4, 5, 9}) add(3, rows - 1, 4, 2 * rows);
    for (const std::int64_t split : {1, 2, 3, 7, 11, 20, 31}) add(2, 21, 2, split);
    for (const std::int64_t blocks : {127, 128, 129, 216}) {
      for (const std::int64_t tokens : {1, 2}) add(blocks, 1, tokens, 4);
    }
  } else if (operation == "quantize_blocks" || operation == "decode_q8_0" || operation == "decode_q6_k" ||
             operation == "decode_q5_0" || operation == "decode_q4_k" || operation == "decode_q4_0") {
    for (const std::int64_t blocks : {0, 1, 2, 3, 10, 27, 80}) add(blocks);
  } else if (operation == "screen_bounds" || operation == "screen_bounds_int8") {
    for (const std::int64_t n : {0, 1, 7, 16, 31, 32, 33, 63, 64, 80, 640}) {
      for (const std::int64_t tokens : {0, 1, 2, 3, 4, 5, 9}) add(n, 12, tokens, 26);
    }
    for (const std::int64_t rows : {1, 2, 3, 4, 5, 9}) {
      for (const std::int64_t tokens : {1, 15}) add(130, rows - 1, tokens, 2 * rows);
    }
    for (const std::int64_t split : {1, 2, 3, 7, 11, 20, 31}) add(64, 21, 2, split);
    for (const std::int64_t n : {2560, 65536}) {
      for (const std::int64_t tokens : {1, 6}) add(n, 1, tokens, 4);
    }
    // 65536 columns are the longest row admitted. More weights than stay in a cache, and more activations:
    add(2560, 149, 33, 300);
  } else if (operation == "rms_norm") {
    for (std::int64_t n = 0; n < 40; ++n) add(n, n % 4, n, n / 2);
    for (const std::int64_t n : {255, 256, 2559, 6911}) {
      for (const std::int64_t rows : {1, 8}) add(n, rows, 0, 0);
    }
  } else if (operation == "rope") {
    for (std::int64_t pairs = 0; pairs < 20; ++pairs) {
      for (const std::int64_t pairing : {0, 1}) add(pairs, 3, pairs, pairing);
    }
    for (const std::int64_t pairs : {32, 40, 48, 64, 128}) {
      for (const std::int64_t pairing : {0, 1}) add(pairs, 20, 0, pairing);
    }
  } else if (operation == "attn_scores") {
    for (const std::int64_t head_dim : {64, 80, 96, 100, 128, 256, 320, 1, 7, 8, 63, 65}) {
      for (const std::int64_t cells : {0, 1, 7, 8, 9, 63, 64, 65, 129}) add(head_dim, cells, cells, head_dim);
    }
    for (const std::int64_t heads : {0, 1, 2, 3, 4, 5}) {  // less one, as tokens are
      for (const std::int64_t tokens : {0, 1, 2, 19}) add(128, 40, 3 * tokens, 7 * heads);
    }
  } else if (operation == "softmax") {
    for (std::int64_t n = 0; n < 140; ++n) add(n, n);
    for (const std::int64_t n : {255, 256, 1023, 4095}) add(n, 8);
  } else if (operation == "attn_context") {
    for (const std::int64_t channels : {1, 7, 8, 15, 16, 17, 64, 80, 96, 128}) {
      for (const std::int64_t cells : {1, 31, 32, 33, 63, 64, 65, 95, 96, 97, 128, 191})
        add(channels, cells, cells);
    }
    for (const std::int64_t cells : {0, 1023, 1024, 1025, 1056, 1089, 2047, 2048, 2080, 3000})
      add(64, cells, 1);
    for (const std::int64_t heads : {0, 1, 2, 3, 4, 5}) {  // less one, as tokens are
      for (const std::int64_t tokens : {0, 1, 2, 19}) {
        for (const std::int64_t cells : {1, 20, 50, 80}) add(40, cells, 5 * tokens, heads);
      }
    }
    add(16, 2040, 5 * 14, 3);
  } else {
    for (std::int64_t n = operation == "argmax" ? 1 : 0; n < 70; ++n) add(n);
    for (const std::int64_t n : {1000, 4095, 4096, 4097, 128256}) add(n);
  }
  return cases;
}

template <class Check, class Kernel>
void expect_same_bits(std::string_view isa, std::string_view operation, Check check, Kernel kernel,
                      Kernel scalar) {
  if (!supported(table(isa))) GTEST_SKIP() << "this machine cannot run " << isa;
  std::uint64_t seed = 1;
  for (Case c : shapes(operation)) {
    for (const Values values : kAllValues) {
      for (const Edge edge : kAllEdges) {
        c.values = values;
        c.edge = edge;
        c.seed = seed++;
        ASSERT_EQ(check_trapped(check, kernel, scalar, c), "") << isa << " " << operation << ", case " << c;
      }
    }
  }
}

#define CROSSVAL_KERNEL(isa, operation, function)                                                            \
  TEST(KernelBits, isa##_##operation) {                                                                      \
    expect_same_bits(#isa, #operation, check_##operation, table(#isa).operation, table("scalar").operation); \
  }
#include "engine/kernels/kernels.inc"

/// All binary16 numbers, and a thirteenth of a million binary32 numbers spread over all patterns.
#define CROSSVAL_ISA(isa, base, runs, description)                            \
  TEST(KernelBits, isa##_of_all_patterns) {                                   \
    const Kernels& kernels = table(#isa);                                     \
    if (!supported(kernels)) GTEST_SKIP() << "this machine cannot run " #isa; \
    compare_patterns(kernels, table("scalar"));                               \
  }
void compare_patterns(const Kernels& kernels, const Kernels& scalar) {
  std::vector<f16> halves(65536);
  for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<f16>(i);
  std::vector<float> wide(halves.size());
  kernels.to_f32(halves.data(), 65536, wide.data());
  for (std::size_t i = 0; i < halves.size(); ++i) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(wide[i]), std::bit_cast<std::uint32_t>(f16_to_f32(halves[i])))
        << std::hex << i;
  }
  std::vector<float> x;
  for (std::uint64_t pattern = 0; pattern < (std::uint64_t{1} << 32); pattern += 4093) {
    x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(pattern)));
  }
  // Around every binary16 number's neighbours and midpoints.
  for (const f16 half : halves) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(f16_to_f32(half));
    for (const std::uint32_t offset : {0xffffffffu, 0u, 1u, 0xfffu, 0x1000u, 0x1001u}) {
      x.push_back(std::bit_cast<float>(bits + offset));
    }
  }
  const auto n = static_cast<std::int64_t>(x.size());
  std::vector<f16> expected_halves(x.size());
  std::vector<f16> actual_halves(x.size());
  scalar.to_f16(x.data(), n, expected_halves.data());
  kernels.to_f16(x.data(), n, actual_halves.data());
  EXPECT_EQ(difference("to_f16", expected_halves.data(), actual_halves.data(), n), "");
  std::vector<float> expected(x.size());
  std::vector<float> actual(x.size());
  scalar.silu(x.data(), n, expected.data());
  kernels.silu(x.data(), n, actual.data());
  EXPECT_EQ(difference("silu", expected.data(), actual.data(), n), "");
}
#include "engine/kernels/kernels.inc"

}  // namespace
}  // namespace bitnet
