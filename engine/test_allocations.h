#pragma once
// For tests: what the program has asked of operator new, which linking test_allocations.cpp replaces.

#include <cstddef>

namespace bitnet {

struct TestAllocations {
  long count = 0;
  std::size_t bytes = 0;    // of all together
  std::size_t largest = 0;  // of one
};

/// Since the program began or forget_test_allocations() was called.
TestAllocations test_allocations();
void forget_test_allocations();

}  // namespace bitnet
