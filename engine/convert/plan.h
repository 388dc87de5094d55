#pragma once
// What a model's file will hold, tensor by tensor, and where each comes from in the checkpoint.

#include <cstdint>
#include <string>
#include <vector>

#include "engine/convert/checkpoint.h"
#include "engine/convert/hf_config.h"
#include "engine/convert/projection.h"
#include "engine/formats/tensor_type.h"

namespace bitnet::hf {

struct Target {
  std::string name;  // in GGUF
  TensorType type{};
  std::vector<std::uint64_t> ne;
  /// Of I2_S: where the weights are. Of others: `weight` holds the floats, rows in the order that
  /// heads_to_interleave says; nullptr where `values` do.
  Projection source;
  std::vector<float> values;
};

struct Plan {
  std::string architecture;  // general.architecture
  std::vector<Target> targets;
  std::vector<std::string> notes;
};

/// Every tensor of the checkpoint has its place or is named in the notes. Throws InputError that names a
/// tensor which is missing, surplus, or of a shape that does not follow from the configuration or that no
/// I2_S kernel can run. `embedding` is the type of embedding and head.
Plan make_plan(const Checkpoint& checkpoint, const HfConfig& config, TensorType embedding);

}  // namespace bitnet::hf
