#include "crossval/records/record_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>

#include "engine/base64.h"
#include "engine/error.h"
#include "reports/escape.h"

namespace crossval {

using bitnet::SystemError;

RecordFile::RecordFile(const std::filesystem::path& path, bool append) : path_(path) {
  descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), 0644);
  if (descriptor_ < 0) throw SystemError(path.string() + ": cannot be written: " + std::strerror(errno));
  bytes_ = ::lseek(descriptor_, 0, SEEK_END);
}

RecordFile::~RecordFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::string line_of(const nlohmann::json& record) {
  // Texts that may not be UTF-8 have their `_b64` twin; whatever else slips through must not lose the record.
  return record.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

void RecordFile::append(const nlohmann::json& record) {
  append_lines(line_of(record));
}

void RecordFile::append_lines(std::string_view lines) {
  std::size_t written = 0;
  while (written < lines.size()) {
    const ssize_t n = ::write(descriptor_, lines.data() + written, lines.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const int error = n < 0 ? errno : ENOSPC;
      if (::ftruncate(descriptor_, bytes_) != 0) {
        // Nothing more can be done; readers tolerate a broken last line.
      }
      throw SystemError(path_.string() + ": cannot be written: " + std::strerror(error) +
                        "; free some space and continue with --resume");
    }
    written += static_cast<std::size_t>(n);
  }
  bytes_ += static_cast<std::int64_t>(lines.size());
}

nlohmann::json json_number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

void put_text(nlohmann::json& record, const std::string& key, std::string_view text) {
  if (reports::is_valid_utf8(text))
    record[key] = text;
  else
    record[key + "_b64"] = bitnet::base64_encode(text);
}

}  // namespace crossval
