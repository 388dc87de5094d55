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

/// Type numbers 36 to 39 mean other things outside bitnet.cpp's family, and I2_S has foreign layouts under
/// the same number. `slot` is the space from the tensor's start to the next one's (or to the end of the
/// file). When it is what a foreign layout takes and not what ours takes, the answer is "what it is; what to
/// do", else "".
std::string describe_foreign_layout(TensorType type, std::uint64_t ne0, std::uint64_t rows,
                                    std::uint64_t slot, std::uint64_t alignment);

}  // namespace bitnet::gguf
