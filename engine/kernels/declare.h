#pragma once
// Declarations of every kernel in kernels.inc, each with the type of the table's entry that it fills.

#include "engine/kernels/kernels.h"

namespace bitnet {

template <class Entry>
struct FunctionOf;
template <class Function>
struct FunctionOf<Function*> {
  using type = Function;
};

#define CROSSVAL_KERNEL(isa, operation, function)          \
  namespace isa {                                          \
  FunctionOf<decltype(Kernels::operation)>::type function; \
  }
#include "engine/kernels/kernels.inc"

}  // namespace bitnet
