#pragma once
// Reads a file line by line in bounded memory and knows which line is the last.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace crossval::reports {

class LineReader {
 public:
  /// A longer line is refused: no record comes near it, and memory has an end.
  static constexpr std::size_t kLongestLine = std::size_t{64} << 20;

  /// Throws RecordError if the file cannot be opened.
  explicit LineReader(const std::filesystem::path& path);

  /// The next line without its line feed, valid until the next call; false at the end of the file. Throws
  /// RecordError (a line too long) or OutputError (the disk failed while reading).
  bool next(std::string_view& line);

  /// Of the line that next() gave last, counted from 1.
  std::uint64_t number() const { return number_; }

  /// Whether nothing follows the line that next() gave last.
  bool at_last_line();

  const std::filesystem::path& path() const { return path_; }

 private:
  bool fill();

  std::filesystem::path path_;
  std::ifstream in_;
  std::string buffer_;
  std::size_t begin_ = 0;  ///< of what next() has not given yet
  std::uint64_t number_ = 0;
  bool eof_ = false;
};

}  // namespace crossval::reports
