#pragma once
// Checks on single tensors that a container cannot know of, for whoever loads them.

#include "engine/gguf/gguf.h"

namespace bitnet::gguf {

/// Throws InputError unless bitnet.cpp would compute with the whole of this I2_S tensor: a row length that is
/// a multiple of 128, a number of rows that is a multiple of 4 (it drops or overruns the rest in silence,
/// reference-semantics 2.6), and a scale that is finite.
void check_i2s(const File& file, const Tensor& tensor);

/// Throws InputError when the I2_S scale is NaN or infinite.
void check_i2s_scale(const File& file, const Tensor& tensor);

/// Throws InputError naming row and column of the first code 3 of an I2_S tensor. Reads all its bytes.
void check_i2s_codes(const File& file, const Tensor& tensor);

/// Throws InputError naming the first element that is NaN or infinite in an F32, F16 or BF16 tensor, or the
/// first of a block whose scale is in a Q8_0 or Q6_K tensor; other types pass. Reads all those numbers.
void check_finite(const File& file, const Tensor& tensor);

/// The element that check_finite() names.
std::optional<std::uint64_t> find_not_finite(const Tensor& tensor);

}  // namespace bitnet::gguf
