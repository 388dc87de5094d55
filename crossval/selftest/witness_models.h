#pragma once
// Models in which a fault shows: the bundled ones, and small ones made on the spot for faults that these are
// too tame for.

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace crossval {

class WitnessModels {
 public:
  /// Models that are made lie in `folder` until it is removed.
  explicit WitnessModels(std::filesystem::path folder) : folder_(std::move(folder)) {}

  static std::vector<std::string> names();
  /// Throws InputError for an unknown name, SystemError when the disk is full.
  std::filesystem::path path(std::string_view name);

 private:
  std::filesystem::path folder_;
  std::map<std::string, std::filesystem::path, std::less<>> made_;
};

}  // namespace crossval
