#pragma once
// Ternary tensors for the oracle and the emulator: decoded element by element, by the formulas of
// reference-semantics 2 and 4 and of the programs that write the other formats. Shares no code with the
// engine's decoding; how a tensor lies (its layout, its tiles) is the file's and the user's to say, and read
// as the engine reads it.

#include <cstddef>
#include <memory>
#include <vector>

#include "engine/gguf/ternary_tensor.h"

namespace crossval {

/// The tensor as I2_S in the x86 layout: codes, then the scale. Where it stands so in the file already, that;
/// else `memory` gets it. Throws InputError that names the tensor where it is no ternary matrix with one
/// scale.
const std::byte* as_i2s(const bitnet::gguf::File& file, const bitnet::gguf::Tensor& tensor,
                        const bitnet::gguf::TernaryOptions& options,
                        std::vector<std::vector<std::byte>>& memory);

}  // namespace crossval
