#pragma once
// For GoogleTests of kernels and engines other than ours: values against expected ones, judged by crossval's
// gates, with crossval's account of what differs.
//
//   EXPECT_PARITY(mine, expected, crossval::local_gate("ffn_act"));
//   EXPECT_PARITY(crossval::Rows(mine, n_embd), crossval::Rows(expected, n_embd), crossval::same_bits());
//
// Every row is judged by itself and the worst decides. Values that are not finite, no values at all, and
// sides of different sizes fail every gate.

#include <gtest/gtest.h>

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace crossval {

struct GateSet;

/// What rows are held to: those gates of a set that cover a tap, in one of the two modes.
struct ParityGate {
  std::shared_ptr<const GateSet> gates;
  std::string tap;    // its name with or without a layer: "ffn_act", "Qcur#1", "l_out-3"
  bool local = true;  // the operation fed the reference's own inputs; else both sides on their own
};

/// No bit may differ: for integers, and for kernels that promise the scalar kernel's order of additions.
ParityGate same_bits();
/// The default local gates of the operation that makes this tap: what it may add to the inputs it was fed.
/// Throws bitnet::InputError for a name that is no tap's.
ParityGate local_gate(std::string_view tap);
/// The default free-running gates of this tap: what may differ when both sides ran on their own up to here.
ParityGate free_gate(std::string_view tap, double min_cosine = 0.999);
/// Gates of a file (crossval.gates/1). Throws bitnet::InputError where it is wrong or covers no such tap.
ParityGate file_gate(const std::filesystem::path& file, std::string_view tap, bool local);

/// Rows of values, one after another.
struct Rows {
  /// One row.
  template <class Values>
  requires std::convertible_to<const Values&, std::span<const float>> Rows(
      const Values& v)  // NOLINT: implicit
      : values(v), columns(static_cast<std::int64_t>(values.size())) {}
  /// Rows of `columns` values each.
  template <class Values>
  requires std::convertible_to<const Values&, std::span<const float>> Rows(const Values& v,
                                                                           std::int64_t row_length)
      : values(v), columns(row_length) {}

  std::span<const float> values;
  std::int64_t columns = 0;
};

/// The predicates behind the macros. Integers are exact whatever the gate: any difference fails.
testing::AssertionResult parity(const char* actual_text, const char* expected_text, const char* gate_text,
                                const Rows& actual, const Rows& expected, const ParityGate& gate);
testing::AssertionResult integer_parity(const char* actual_text, const char* expected_text,
                                        const std::vector<std::int64_t>& actual,
                                        const std::vector<std::int64_t>& expected);

template <std::ranges::contiguous_range Actual, std::ranges::contiguous_range Expected>
requires std::integral<std::ranges::range_value_t<Actual>> &&
    std::integral<std::ranges::range_value_t<Expected>>
        testing::AssertionResult parity(const char* actual_text, const char* expected_text,
                                        const char* /*gate_text*/, const Actual& actual,
                                        const Expected& expected, const ParityGate& /*gate*/) {
  return integer_parity(actual_text, expected_text, {std::ranges::begin(actual), std::ranges::end(actual)},
                        {std::ranges::begin(expected), std::ranges::end(expected)});
}

}  // namespace crossval

#define EXPECT_PARITY(actual, expected, gate) EXPECT_PRED_FORMAT3(::crossval::parity, actual, expected, gate)
#define ASSERT_PARITY(actual, expected, gate) ASSERT_PRED_FORMAT3(::crossval::parity, actual, expected, gate)
