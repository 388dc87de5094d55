#pragma once
// A model of one layer that has nothing to do but one operation: what lets engine, emulator and oracle
// compute a SmallOperation with the code that they have for models.

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "crossval/replay/small_operation.h"
#include "engine/model/operation.h"

namespace crossval {

/// A GGUF file in a folder of its own below the system's one for temporary files; both are gone with the
/// object. All that the operation does not read is zero.
class SmallModel {
 public:
  /// Throws InputError where no model of at most 256 MiB can hold the operation, SystemError when the disk is
  /// full.
  explicit SmallModel(const SmallOperation& operation);
  ~SmallModel();
  SmallModel(const SmallModel&) = delete;
  SmallModel& operator=(const SmallModel&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// The operation over that model. Its rows are wider than the small one's where the model has to be.
  bitnet::Operation operation() const;
  /// Of a row of the model's, the small operation's outputs; and the other way round, zeros elsewhere.
  std::vector<float> outputs(std::span<const float> row) const;
  std::vector<float> padded(std::span<const float> outputs) const;
  /// Values in a row of its input.
  std::int64_t input_width() const { return static_cast<std::int64_t>(a_.size()); }

 private:
  void make(const SmallOperation& operation);

  std::filesystem::path folder_, path_;
  bitnet::TapId tap_;
  std::int32_t position_ = 0;
  std::int32_t token_ = 0;
  std::vector<float> a_, b_, history_;
  std::int64_t row_ = 0;      // values in a row of outputs ...
  std::int64_t outputs_ = 0;  // ... of which so many are the small operation's: the first
  // Those of a head lie together, where heads are wider in the model: `kept` of `wide` values each.
  std::int64_t kept_ = 0, wide_ = 0;
};

}  // namespace crossval
