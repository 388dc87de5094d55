#pragma once
// The weights of a Hugging Face folder: model.safetensors, or shards that an index lists.

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/safetensors/safetensors.h"

namespace bitnet::hf {

class Checkpoint {
 public:
  /// Maps and checks every file. A shard's name must be that of a file in the folder itself; index and shards
  /// must name the same tensors, each once. Each failure is an InputError of one line that names the file.
  static Checkpoint open(const std::filesystem::path& folder);

  /// nullptr when there is none.
  const Safetensors::Tensor* find(std::string_view name) const;
  /// Every tensor, by name.
  std::vector<const Safetensors::Tensor*> tensors() const;
  /// Of the first file: who wrote it says here what it is.
  const std::map<std::string, std::string, std::less<>>& metadata() const {
    return files_.front().metadata();
  }
  std::size_t files() const { return files_.size(); }

  /// Throws InputError("FILE: TENSOR: WHAT") with the file that holds the tensor, or the folder.
  [[noreturn]] void fail(std::string_view tensor, std::string_view what) const;

 private:
  struct Place {
    std::size_t file;
    std::size_t tensor;
  };
  explicit Checkpoint(std::string folder) : folder_(std::move(folder)) {}
  void add(Safetensors file);

  std::string folder_;
  std::vector<Safetensors> files_;
  std::map<std::string, Place, std::less<>> places_;
};

}  // namespace bitnet::hf
