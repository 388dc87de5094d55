#pragma once
// What a file is that is no GGUF, and what a tensor is whose number means something else elsewhere.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "engine/formats/tensor_type.h"

namespace bitnet::gguf {

/// For a file that does not start with "GGUF": "what it is; what to do".
std::string describe_foreign_file(std::span<const std::byte> bytes);

/// BitNet-rs gives its formats the number of I2_S. `slot` is the space from the tensor's start to the next
/// one's (or to the end of the file): what it is when that is the space of one of those and not that of
/// `type`.
TensorType type_by_space(TensorType type, std::uint64_t ne0, std::uint64_t rows, std::uint64_t slot,
                         std::uint64_t alignment);

/// Type numbers 36 to 39 and 42 mean other things outside bitnet.cpp's family. When the space is what one of
/// those takes and not what ours takes, the answer is "what it is; what to do", else "". `number` is the
/// type's in the file.
std::string describe_foreign_layout(TensorType type, std::uint32_t number, std::uint64_t ne0,
                                    std::uint64_t rows, std::uint64_t slot, std::uint64_t alignment);

}  // namespace bitnet::gguf
