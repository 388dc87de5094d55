#include "reports/line_reader.h"

#include <cerrno>
#include <cstring>

#include "reports/render.h"

namespace crossval::reports {

LineReader::LineReader(const std::filesystem::path& path) : path_(path), in_(path, std::ios::binary) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) throw RecordError(path.string() + ": is a directory");
  if (!in_) throw RecordError(path.string() + ": cannot be opened: " + std::strerror(errno));
}

bool LineReader::fill() {
  if (eof_) return false;
  buffer_.erase(0, begin_);
  begin_ = 0;
  constexpr std::size_t kChunk = std::size_t{1} << 20;
  const std::size_t old = buffer_.size();
  buffer_.resize(old + kChunk);
  in_.read(buffer_.data() + old, kChunk);
  buffer_.resize(old + static_cast<std::size_t>(in_.gcount()));
  if (in_.bad()) throw OutputError(path_.string() + ": reading failed: " + std::strerror(errno));
  if (!in_) eof_ = true;
  return buffer_.size() > old;
}

bool LineReader::next(std::string_view& line) {
  std::size_t searched = 0;
  for (;;) {
    const std::size_t end = buffer_.find('\n', begin_ + searched);
    if (end != std::string::npos) {
      line = std::string_view(buffer_).substr(begin_, end - begin_);
      begin_ = end + 1;
      ++number_;
      return true;
    }
    searched = buffer_.size() - begin_;
    if (searched > kLongestLine) {
      throw RecordError(path_.string() + ":" + std::to_string(number_ + 1) + ": the line is longer than " +
                        std::to_string(kLongestLine) + " bytes; this is no crossval record file");
    }
    if (!fill()) break;
  }
  if (begin_ == buffer_.size()) return false;
  line = std::string_view(buffer_).substr(begin_);
  begin_ = buffer_.size();
  ++number_;
  return true;
}

bool LineReader::at_last_line() {
  // Called where a line could not be read as a record; the line itself is not needed any more.
  return begin_ == buffer_.size() && !fill();
}

}  // namespace crossval::reports
