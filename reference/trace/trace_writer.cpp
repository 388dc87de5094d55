#include "reference/trace/trace_writer.h"

#include <bit>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "engine/error.h"

namespace crossval {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors holds little-endian values");

std::string escape_id(const std::string& id) {
  std::string out;
  for (char c : id) {
    if (c == '/')
      out += "%2F";
    else if (c == '%')
      out += "%25";
    else
      out += c;
  }
  return out;
}

[[noreturn]] void fail(const std::filesystem::path& path) {
  throw bitnet::SystemError(path.string() + ": cannot be written: " + std::strerror(errno ? errno : EIO));
}

}  // namespace

TraceWriter::TraceWriter(std::filesystem::path path)
    : path_(std::move(path)), spool_path_(path_.string() + ".spool") {
  errno = 0;
  spool_.open(spool_path_, std::ios::in | std::ios::out | std::ios::binary | std::ios::trunc);
  if (!spool_) fail(spool_path_);
}

TraceWriter::~TraceWriter() {
  spool_.close();
  std::error_code ignored;
  std::filesystem::remove(spool_path_, ignored);
  std::filesystem::remove(path_.string() + ".tmp", ignored);
}

void TraceWriter::add(const std::string& case_id, std::int64_t step, TapId tap,
                      const std::vector<std::int64_t>& offsets, std::span<const float> values) {
  Entry entry{.name = escape_id(case_id) + "/" + std::to_string(step) + "/" + bitnet::to_string(tap),
              .shape = {},
              .begin = bytes_,
              .end = bytes_ + values.size_bytes()};
  const auto rows = static_cast<std::int64_t>(offsets.size()) - 1;
  const std::int64_t width = rows > 0 ? offsets[1] - offsets[0] : 0;
  bool even = true;
  for (std::size_t i = 1; i < offsets.size(); ++i) even = even && offsets[i] - offsets[i - 1] == width;
  if (even && tap.tap != bitnet::Tap::kq && tap.tap != bitnet::Tap::kq_soft_max)
    entry.shape = {rows, width};
  else
    entry.shape = {static_cast<std::int64_t>(values.size())};
  errno = 0;
  spool_.write(reinterpret_cast<const char*>(values.data()),
               static_cast<std::streamsize>(values.size_bytes()));
  if (!spool_) fail(spool_path_);
  bytes_ = entry.end;
  entries_.push_back(std::move(entry));
}

void TraceWriter::finish(const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header;
  header["__metadata__"] = metadata;
  for (const Entry& e : entries_)
    header[e.name] = {{"dtype", "F32"}, {"shape", e.shape}, {"data_offsets", {e.begin, e.end}}};
  std::string text = header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the values begin at a multiple of eight

  const std::filesystem::path temporary = path_.string() + ".tmp";
  errno = 0;
  std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
  const std::uint64_t length = text.size();
  out.write(reinterpret_cast<const char*>(&length), sizeof length);
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  spool_.seekg(0);
  std::vector<char> buffer(std::size_t{1} << 20);
  for (std::uint64_t left = bytes_; left > 0 && out;) {
    const auto n = std::min<std::uint64_t>(left, buffer.size());
    spool_.read(buffer.data(), static_cast<std::streamsize>(n));
    if (!spool_) fail(spool_path_);
    out.write(buffer.data(), static_cast<std::streamsize>(n));
    left -= n;
  }
  out.close();
  if (!out) fail(temporary);
  std::error_code error;
  std::filesystem::rename(temporary, path_, error);
  if (error) throw bitnet::SystemError(path_.string() + ": cannot be written: " + error.message());
}

}  // namespace crossval
