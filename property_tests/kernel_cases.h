#pragma once
// Cases for the checks of kernels (engine/kernels/kernel_checks.h), drawn and shrunk by RapidCheck.

#include <rapidcheck.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>

#include "engine/kernels/kernel_checks.h"
#include "engine/kernels/trapped.h"

namespace bitnet::testing_support {

/// The sizes drawn for an operation, as its check reads them: all those below the first bounds, and now and
/// then one whose long side, the row that is summed over, is within a few elements of the longest.
struct Sizes {
  std::array<std::int64_t, 4> below;
  std::size_t long_side = 0;
  std::int64_t longest = 70000;
};

inline Sizes sizes_of(std::string_view operation) {
  if (operation == "ternary_matmul") return {{24, 20, 20, 60}, 0, 65536 / 128 - 1};
  if (operation == "matmul_f16" || operation == "matmul_f32" || operation == "matmul_bf16")
    return {{400, 12, 8, 60}, 0, 16400};
  if (operation == "matmul_q8_0") return {{14, 12, 8, 60}, 0, 16400 / 32};
  if (operation == "matmul_q6_k") return {{14, 12, 8, 60}, 0, 16640 / 256};
  if (operation == "quantize_blocks" || operation == "decode_q8_0" || operation == "decode_q6_k")
    return {{14, 1, 1, 1}, 0, 260};
  if (operation == "screen_bounds" || operation == "screen_bounds_int8") return {{400, 12, 8, 60}, 0, 65536};
  if (operation == "rms_norm") return {{700, 9, 6, 2}, 0, 16400};
  if (operation == "rope") return {{140, 5, 5, 2}, 0, 520};
  if (operation == "attn_scores") return {{270, 140, 3 * 5, 7 * 5}, 1, 4100};
  if (operation == "softmax") return {{400, 16, 1, 1}, 0, 4100};
  if (operation == "attn_context") return {{40, 330, 5 * 5, 5}, 1, 4100};
  return {{600, 1, 1, 1}};
}

/// Drawn from all of a range, however far the cases of a property have come.
template <class T>
rc::Gen<T> anywhere(T from, T below) {
  return rc::gen::resize(rc::kNominalSize, rc::gen::inRange<T>(from, below));
}

inline rc::Gen<std::uint64_t> seeds() {
  return rc::gen::noShrink(rc::gen::resize(rc::kNominalSize, rc::gen::arbitrary<std::uint64_t>()));
}

inline rc::Gen<std::array<std::int64_t, 4>> shapes(std::string_view operation) {
  const Sizes sizes = sizes_of(operation);
  const auto box = [](const std::array<std::int64_t, 4>& from, const std::array<std::int64_t, 4>& below) {
    const auto side = [&](std::size_t i) { return rc::gen::inRange(from[i], below[i]); };
    return rc::gen::map(rc::gen::tuple(side(0), side(1), side(2), side(3)), [](const auto& drawn) {
      return std::apply([](auto... each) { return std::array<std::int64_t, 4>{each...}; }, drawn);
    });
  };
  std::array<std::int64_t, 4> least = {};
  if (operation == "argmax") least[0] = 1;  // its contract
  std::array<std::int64_t, 4> near = {};
  std::array<std::int64_t, 4> beyond = {};
  for (std::size_t i = 0; i < 4; ++i) beyond[i] = std::min<std::int64_t>(3, sizes.below[i]);
  near[sizes.long_side] = sizes.longest - 9;
  beyond[sizes.long_side] = sizes.longest + 1;
  return rc::gen::weightedOneOf<std::array<std::int64_t, 4>>(
      {{199, box(least, sizes.below)}, {1, rc::gen::resize(rc::kNominalSize, box(near, beyond))}});
}

inline rc::Gen<Case> cases(std::string_view operation) {
  return rc::gen::map(
      rc::gen::tuple(shapes(operation), anywhere<std::size_t>(0, kAllValues.size()),
                     anywhere<std::size_t>(0, kAllEdges.size()), seeds()),
      [](const auto& drawn) {
        const auto& [shape, values, edge, seed] = drawn;
        return Case{{shape[0], shape[1], shape[2], shape[3]}, kAllValues[values], kAllEdges[edge], seed};
      });
}

/// The kernel gives what the scalar one does, in every bit, for a case drawn for the operation.
template <class Check, class Kernel>
void expect_same_bits(std::string_view operation, Check check, Kernel kernel, Kernel scalar) {
  const Case c = *cases(operation);
  const std::string difference = check_trapped(check, kernel, scalar, c);
  if (!difference.empty()) RC_FAIL(difference);
}

}  // namespace bitnet::testing_support
