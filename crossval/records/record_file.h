#pragma once
// results.jsonl: one record per line, appended and flushed at once, so that nothing computed is lost.

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace crossval {

class RecordFile {
 public:
  /// Creates or, with `append`, continues the file. Throws SystemError.
  RecordFile(const std::filesystem::path& path, bool append);
  ~RecordFile();
  RecordFile(const RecordFile&) = delete;
  RecordFile& operator=(const RecordFile&) = delete;

  /// Writes one line. When the disk is full a half-written line is taken back and SystemError is thrown; the
  /// file holds whole records then.
  void append(const nlohmann::json& record);
  /// Writes whole lines, each with its line feed; the same holds for them together.
  void append_lines(std::string_view lines);

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::int64_t bytes_ = 0;
};

/// A record as a line of the file.
std::string line_of(const nlohmann::json& record);
/// A number that JSON may not be able to say: "nan", "inf", "-inf" as strings.
nlohmann::json json_number(double value);
/// Sets record[key], or record[key + "_b64"] when the text is not UTF-8.
void put_text(nlohmann::json& record, const std::string& key, std::string_view text);

}  // namespace crossval
