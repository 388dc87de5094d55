#pragma once
// Which kernels of a table did the work: who takes his kernels here knows afterwards.

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "engine/kernels/kernels.h"

namespace bitnet {

inline constexpr std::size_t kKernelsPerTable =
    (sizeof(Kernels) - offsetof(Kernels, quantize_row)) / sizeof(void (*)());

/// The names of a compiled table's kernels in the order of its members, "avx2::rms_norm": the instruction set
/// whose file the function stands in, and the function. A table takes from its base what it has no kernel of
/// its own for. Names of a table that is none of compiled_kernels() are empty.
std::span<const std::string_view, kKernelsPerTable> kernel_names(const Kernels& table);

/// How often each kernel was taken, by name.
using KernelCounts = std::map<std::string, std::int64_t>;

/// A table of kernels that counts what is taken from it. An operation takes its kernel once, however many
/// rows and threads share it, so that the cost is one addition for a whole product of matrices. Not for use
/// from several threads at once; what was taken may be.
class CountedKernels {
 public:
  /// The table must outlive it.
  explicit CountedKernels(const Kernels& table) : table_(table) {}

  const Kernels& table() const { return table_; }

  template <class Function>
  Function take(Function Kernels::*operation) {
    const Function& kernel = table_.*operation;
    ++counts_[index_of(&kernel)];
    return kernel;
  }

  std::int64_t count(std::size_t index) const { return counts_[index]; }
  /// Adds those that were taken to `counts`.
  void add_to(KernelCounts& counts) const;

 private:
  // The members from quantize_row on are function pointers, one behind the other.
  std::size_t index_of(const void* member) const {
    const auto* first = reinterpret_cast<const std::byte*>(&table_) + offsetof(Kernels, quantize_row);
    return static_cast<std::size_t>(static_cast<const std::byte*>(member) - first) / sizeof(void (*)());
  }

  const Kernels& table_;
  std::array<std::int64_t, kKernelsPerTable> counts_{};
};

}  // namespace bitnet
