#pragma once
// Writes a trace: a safetensors file of taps (design.md 4). Tensors are named CASE/STEP/TAP.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "reference/participant.h"

namespace crossval {

/// Values are spooled beside the file as they come and joined behind the header at the end, so memory does
/// not grow with the trace. The file appears under its name only in `finish`; until then nothing of that name
/// is touched. Throws SystemError when the disk is full.
class TraceWriter {
 public:
  explicit TraceWriter(std::filesystem::path path);
  ~TraceWriter();
  TraceWriter(const TraceWriter&) = delete;
  TraceWriter& operator=(const TraceWriter&) = delete;

  /// All rows of one tap of one step, one after another: [rows][width], or one flat row of values when the
  /// rows differ in length (scores). Slashes and percent signs in the case id are written as %2F and %25.
  void add(const std::string& case_id, std::int64_t step, TapId tap, const std::vector<std::int64_t>& offsets,
           std::span<const float> values);
  void finish(const std::map<std::string, std::string>& metadata);

 private:
  struct Entry {
    std::string name;
    std::vector<std::int64_t> shape;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };
  std::filesystem::path path_;
  std::filesystem::path spool_path_;
  std::fstream spool_;
  std::uint64_t bytes_ = 0;
  std::vector<Entry> entries_;
};

}  // namespace crossval
