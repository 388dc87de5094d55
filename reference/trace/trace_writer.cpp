#include "reference/trace/trace_writer.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "engine/error.h"
#include "reference/trace/trace_reader.h"

namespace crossval {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors holds little-endian values");

[[noreturn]] void fail(const std::filesystem::path& path) {
  throw bitnet::SystemError(path.string() + ": cannot be written: " + std::strerror(errno ? errno : EIO));
}

std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
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

TraceWriter::Entry& TraceWriter::entry(const std::string& case_id, std::int64_t step, TapId tap,
                                       bool hashes) {
  // Cases come one after another: looked for from the back, it is the first.
  const auto found = std::find(case_ids_.rbegin(), case_ids_.rend(), case_id);
  const auto index = static_cast<std::size_t>(case_ids_.rend() - found) - 1;
  if (found != case_ids_.rend()) return entries_[{index, step, tap, hashes}];
  case_ids_.push_back(case_id);
  return entries_[{case_ids_.size() - 1, step, tap, hashes}];
}

void TraceWriter::spool(Entry& into, const void* bytes, std::size_t n) {
  errno = 0;
  spool_.write(static_cast<const char*>(bytes), static_cast<std::streamsize>(n));
  if (!spool_) fail(spool_path_);
  into.chunks.push_back({.at = bytes_, .bytes = n});
  into.bytes += n;
  bytes_ += n;
}

void TraceWriter::add(const std::string& case_id, std::int64_t step, TapId tap,
                      std::span<const std::int64_t> offsets, std::span<const float> values) {
  Entry& into = entry(case_id, step, tap, false);
  if (offsets.size() > 1) into.width = offsets[1] - offsets[0];
  into.rows += std::ssize(offsets) - 1;
  spool(into, values.data(), values.size_bytes());
}

void TraceWriter::add_hashes(const std::string& case_id, std::int64_t step, TapId tap,
                             std::span<const Sha256> hashes) {
  Entry& into = entry(case_id, step, tap, true);
  into.width = sizeof(Sha256);
  into.rows += std::ssize(hashes);
  spool(into, hashes.data(), hashes.size_bytes());
}

void TraceWriter::finish(const std::map<std::string, std::string>& metadata) {
  std::string header = R"({"__metadata__":)" + nlohmann::json(metadata).dump(
                                                   -1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::uint64_t at = 0;
  for (const auto& [key, e] : entries_) {
    const auto& [case_index, step, tap, hashes] = key;
    const bool flat = !hashes && (tap.tap == bitnet::Tap::kq || tap.tap == bitnet::Tap::kq_soft_max);
    const std::string shape = flat ? std::to_string(e.bytes / sizeof(float))
                                   : std::to_string(e.rows) + "," + std::to_string(e.width);
    header += "," + quoted(to_string(TraceName{case_ids_[case_index], step, tap, hashes})) +
              R"(:{"dtype":")" + (hashes ? "U8" : "F32") + R"(","shape":[)" + shape +
              R"(],"data_offsets":[)" + std::to_string(at) + "," + std::to_string(at + e.bytes) + "]}";
    at += e.bytes;
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');  // the values begin at a multiple of eight

  const std::filesystem::path temporary = path_.string() + ".tmp";
  errno = 0;
  std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
  const std::uint64_t length = header.size();
  out.write(reinterpret_cast<const char*>(&length), sizeof length);
  out.write(header.data(), static_cast<std::streamsize>(header.size()));
  std::vector<char> buffer;
  for (const auto& [key, e] : entries_)
    for (const Chunk& chunk : e.chunks) {
      buffer.resize(chunk.bytes);
      spool_.seekg(static_cast<std::streamoff>(chunk.at));
      spool_.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
      if (!spool_) fail(spool_path_);
      out.write(buffer.data(), static_cast<std::streamsize>(buffer.size()));
      if (!out) fail(temporary);
    }
  out.close();
  if (!out) fail(temporary);
  std::error_code error;
  std::filesystem::rename(temporary, path_, error);
  if (error) throw bitnet::SystemError(path_.string() + ": cannot be written: " + error.message());
}

}  // namespace crossval
