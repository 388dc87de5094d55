#pragma once
// Record files for the tests, written by hand as crossval writes them: figures are made up, but hang
// together.

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace crossval::reports::testing {

struct SampleOptions {
  int cases = 4;
  int layers = 3;
  int steps = 3;
  /// Of the case with this index, ffn_act of layer 1 is wrong from step 1 on, and all that follows from it.
  std::optional<int> failing_case;
  /// INCOMPARABLE or INVALID: the last case ends so, after its first step.
  std::string last_case_verdict = "PASS";
  /// Put into ids, prompts, answers, expectations, reasons, names and details.
  std::string hostile;
  bool with_summary = true;
};

std::vector<nlohmann::json> sample_records(const SampleOptions& options);

/// One record per line.
std::string to_jsonl(const std::vector<nlohmann::json>& records);

/// A new directory under the system's temporary one, removed with all it holds.
class ScratchDirectory {
 public:
  ScratchDirectory();
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  ~ScratchDirectory();
  const std::filesystem::path& path() const { return path_; }
  /// Writes a file and returns its path.
  std::filesystem::path write(const std::string& name, const std::string& bytes) const;
  std::string read(const std::string& name) const;

 private:
  std::filesystem::path path_;
};

std::string read_file(const std::filesystem::path& path);

}  // namespace crossval::reports::testing
