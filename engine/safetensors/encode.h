#pragma once
// Small safetensors files, made in memory.

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "engine/safetensors/safetensors.h"

namespace bitnet {

struct TensorToEncode {
  std::string name;
  Safetensors::Type type{};
  std::vector<std::uint64_t> shape;
  std::span<const std::byte> data;  // product of shape x size of type
};

/// The bytes of the file: what Safetensors::parse reads. Metadata that are no UTF-8 have their bad bytes
/// replaced.
std::string encode_safetensors(const std::map<std::string, std::string>& metadata,
                               const std::vector<TensorToEncode>& tensors);

}  // namespace bitnet
