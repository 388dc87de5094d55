#pragma once
// For tests: how often the program has asked for memory. Linking test_allocations.cpp replaces operator new.

namespace bitnet {

long test_allocations();

}  // namespace bitnet
