// Properties of kernels that are wrong, in a program that property_test runs: what is wrong must fail. With
// PLANTED=none in the environment they are right.

#include <cstdlib>
#include <string_view>

#include "engine/kernels/kernels.h"
#include "property_tests/kernel_cases.h"
#include "property_tests/property.h"

namespace bitnet {
namespace {

using namespace testing_support;

bool planted() {
  const char* none = std::getenv("PLANTED");
  return none == nullptr || std::string_view(none) != "none";
}

decltype(Kernels::add) scalar_add() {
  return select_kernels("scalar").add;
}

/// One bit of the last of 37 sums.
void add_with_a_wrong_bit(const float* a, const float* b, std::int64_t n, float* y) {
  scalar_add()(a, b, n, y);
  if (n >= 37 && planted()) y[36] = -y[36];
}

/// One element beyond 21.
void add_that_reads_beyond(const float* a, const float* b, std::int64_t n, float* y) {
  scalar_add()(a, b, n, y);
  if (n < 21 || !planted()) return;
  const volatile float* beyond = a + n;
  static_cast<void>(*beyond);
}

CROSSVAL_PROPERTY(Planted, a_wrong_bit, ()) {
  expect_same_bits("add", check_add, add_with_a_wrong_bit, scalar_add());
}

CROSSVAL_PROPERTY(Planted, a_read_beyond, ()) {
  expect_same_bits("add", check_add, add_that_reads_beyond, scalar_add());
}

CROSSVAL_PROPERTY(Planted, a_fault_that_passes, ()) {
  static int runs = 0;
  RC_ASSERT(++runs != 5);
}

CROSSVAL_PROPERTY(Planted, nothing, ()) {
  expect_same_bits("add", check_add, scalar_add(), scalar_add());
}

}  // namespace
}  // namespace bitnet
