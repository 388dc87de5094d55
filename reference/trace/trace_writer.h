#pragma once
// Writes a trace: a safetensors file of taps (docs/reference/traces.md). Tensors are named CASE/STEP/TAP.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "reference/participant.h"

namespace crossval {

/// Rows are spooled beside the file as they come and put in order behind the header at the end, so memory
/// does not grow with the values. The file appears under its name only in `finish`; until then nothing of
/// that name is touched. Throws SystemError when the disk is full.
class TraceWriter {
 public:
  explicit TraceWriter(std::filesystem::path path);
  ~TraceWriter();
  TraceWriter(const TraceWriter&) = delete;
  TraceWriter& operator=(const TraceWriter&) = delete;

  /// More rows of one tap of one step, one after another. The tensor's shape will be [rows, width], or for
  /// scores, whose rows grow with the position, [values].
  void add(const std::string& case_id, std::int64_t step, TapId tap, std::span<const std::int64_t> offsets,
           std::span<const float> values);
  /// More hashes of rows: a tensor of bytes [rows, 32], named with ".sha256" behind.
  void add_hashes(const std::string& case_id, std::int64_t step, TapId tap, std::span<const Sha256> hashes);
  void finish(const std::map<std::string, std::string>& metadata);

 private:
  struct Chunk {
    std::uint64_t at = 0;  // in the spool
    std::uint64_t bytes = 0;
  };
  struct Entry {
    std::int64_t rows = 0;
    std::int64_t width = 0;
    std::uint64_t bytes = 0;
    std::vector<Chunk> chunks;
  };
  // Case by order of appearance, step, tap, whether hashes.
  using Key = std::tuple<std::size_t, std::int64_t, TapId, bool>;
  Entry& entry(const std::string& case_id, std::int64_t step, TapId tap, bool hashes);
  void spool(Entry& into, const void* bytes, std::size_t n);

  std::filesystem::path path_;
  std::filesystem::path spool_path_;
  std::fstream spool_;
  std::uint64_t bytes_ = 0;
  std::vector<std::string> case_ids_;
  std::map<Key, Entry> entries_;
};

}  // namespace crossval
