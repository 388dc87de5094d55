#pragma once
// What can be told of the library at hand: its generation, compiler and commit, and fingerprints of its
// arithmetic, taken with primitives that it happens to export.

#include <map>
#include <string>

namespace crossval::llama_adapter {

/// Loads its backends and fills its tables. Comes before all else.
void start_library();

/// Compiler and commit in one line.
std::string library_build();

/// `library`, `generation`, `compiler`, `commit`, `system_info`, and of the fingerprints those that could be
/// taken: `quantizer` (product, fused), `i2_s_layout` (128, 64, 4-row), `vec_dot_lanes` (8, 16), `tinyblas`
/// (on, off), `i2_s_sums` (int16, exact), `zero_row_scale`. A missing one is unknown.
std::map<std::string, std::string> library_details();

}  // namespace crossval::llama_adapter
