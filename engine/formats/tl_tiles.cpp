#include "engine/formats/tl_tiles.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "engine/error.h"

namespace bitnet {
namespace {

struct Preset {
  TensorType type;
  std::uint64_t rows;
  std::uint64_t cols;
  TlTiles tiles;
};

// For Llama3-8B bitnet.cpp's preset files and its set-up script give other tiles of TL1: either may have made
// a file.
constexpr Preset kPresets[] = {
    // bitnet_b1_58-large
    {TensorType::tl1, 1536, 4096, {256, 128, 32}},
    {TensorType::tl1, 1536, 1536, {128, 64, 64}},
    {TensorType::tl1, 4096, 1536, {256, 128, 32}},
    {TensorType::tl2, 1536, 4096, {256, 96, 32}},
    {TensorType::tl2, 1536, 1536, {128, 192, 32}},
    {TensorType::tl2, 4096, 1536, {256, 96, 32}},
    // bitnet_b1_58-3B
    {TensorType::tl1, 3200, 8640, {160, 64, 32}},
    {TensorType::tl1, 3200, 3200, {320, 128, 64}},
    {TensorType::tl1, 8640, 3200, {320, 64, 32}},
    {TensorType::tl2, 3200, 8640, {160, 96, 32}},
    {TensorType::tl2, 3200, 3200, {320, 96, 32}},
    {TensorType::tl2, 8640, 3200, {320, 96, 32}},
    // Llama3-8B-1.58-100B-tokens, preset files
    {TensorType::tl1, 14336, 4096, {256, 128, 64}},
    {TensorType::tl1, 4096, 14336, {256, 128, 32}},
    {TensorType::tl1, 1024, 4096, {128, 64, 64}},
    {TensorType::tl1, 4096, 4096, {128, 64, 32}},
    {TensorType::tl2, 14336, 4096, {256, 96, 32}},
    {TensorType::tl2, 4096, 14336, {128, 96, 32}},
    {TensorType::tl2, 1024, 4096, {256, 96, 32}},
    {TensorType::tl2, 4096, 4096, {128, 96, 32}},
    // the same, set-up script
    {TensorType::tl1, 14336, 4096, {256, 128, 32}},
    {TensorType::tl1, 4096, 14336, {128, 64, 64}},
    {TensorType::tl1, 1024, 4096, {256, 128, 32}},
    {TensorType::tl1, 4096, 4096, {128, 64, 64}},
};

std::string misfit_tl1(TernaryShape shape, TlTiles t) {
  if (t.stripe != 16 && t.stripe != 32 && t.stripe != 64) return "bm must be 16, 32 or 64";
  const std::uint32_t columns = 256 / t.stripe;
  if (t.cols % columns != 0) return "BK must be a multiple of " + std::to_string(columns);
  if (shape.cols % t.cols != 0) return "a row must be a multiple of BK";
  return "";
}

std::string misfit_tl2(TernaryShape shape, TlTiles t) {
  if (t.stripe != 32) return "bm must be 32";
  if (t.cols % 24 != 0) return "BK must be a multiple of 24";
  const std::uint64_t pairs = shape.cols % t.cols;
  if (pairs % 32 != 0) return "what BK leaves of a row must be a multiple of 32";
  // The type has room for rows of which 256 columns are coded in pairs.
  if (shape.cols < 256 || pairs > 256) return "at most 256 columns of a row may be left by BK";
  return "";
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

[[noreturn]] void fail_line(std::size_t line, const std::string& what) {
  throw InputError("line " + std::to_string(line) + ": " + what);
}

using Section = std::map<std::string, std::uint32_t, std::less<>>;

TlEntry entry_of(const Section& section, std::size_t line) {
  const auto value = [&](const char* key) {
    const auto it = section.find(key);
    if (it == section.end()) fail_line(line, std::string("the section that ends here has no `") + key + "`");
    return it->second;
  };
  return {{value("k"), value("m")}, {value("bm"), value("bk"), value("bmm")}};
}

}  // namespace

std::optional<TlTiles> find_tiles(const TlTable& table, TernaryShape shape) {
  for (const TlEntry& entry : table)
    if (entry.shape.rows == shape.rows && entry.shape.cols == shape.cols) return entry.tiles;
  return std::nullopt;
}

std::vector<TlTiles> preset_tiles(TensorType type, TernaryShape shape) {
  std::vector<TlTiles> found;
  for (const Preset& p : kPresets)
    if (p.type == type && p.rows == shape.rows && p.cols == shape.cols) found.push_back(p.tiles);
  return found;
}

std::optional<TlTiles> fitting_tiles(TensorType type, TernaryShape shape) {
  for (std::uint32_t rows = 320; rows >= 32; rows -= 32)
    for (const std::uint32_t cols : {128u, 96u, 64u}) {
      const TlTiles tiles = {rows, cols, 32};
      if (misfit(type, shape, tiles).empty()) return tiles;
    }
  return std::nullopt;
}

std::string misfit(TensorType type, TernaryShape shape, TlTiles t) {
  if (t.rows == 0 || t.cols == 0 || t.stripe == 0) return "tiles of nothing";
  if (shape.rows % t.rows != 0) return "the number of rows must be a multiple of BM";
  if (t.rows % t.stripe != 0) return "BM must be a multiple of bm";
  return type == TensorType::tl1 ? misfit_tl1(shape, t) : misfit_tl2(shape, t);
}

TlTable parse_kernel_config(std::string_view text) {
  TlTable table;
  Section section;
  bool open = false;
  std::size_t line = 0;
  const auto close = [&] {
    if (!open) return;
    const TlEntry entry = entry_of(section, line);
    if (const auto other = find_tiles(table, entry.shape); other && *other != entry.tiles)
      fail_line(line, "a matrix of " + std::to_string(entry.shape.rows) + " x " +
                          std::to_string(entry.shape.cols) + " has other tiles further up");
    table.push_back(entry);
    section.clear();
  };
  for (std::size_t at = 0; at < text.size(); ++line) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view content = trimmed(text.substr(at, end - at));
    at = end + 1;
    if (content.empty() || content[0] == '#' || content[0] == ';') continue;
    if (content[0] == '[') {
      close();
      open = true;
      continue;
    }
    const auto equals = content.find('=');
    const std::string_view key = trimmed(content.substr(0, equals));
    const std::string_view value =
        equals == std::string_view::npos ? "" : trimmed(content.substr(equals + 1));
    std::uint32_t number = 0;
    const auto result = std::from_chars(value.data(), value.data() + value.size(), number);
    if (!open || key.empty() || value.empty() || result.ec != std::errc{} ||
        result.ptr != value.data() + value.size())
      fail_line(line + 1, "expected a [section] of lines such as `bm = 256`");
    if (!section.emplace(key, number).second) fail_line(line + 1, "the key occurs twice in its section");
  }
  close();
  if (table.empty()) throw InputError("names no matrix; expected sections of m, k, bm, bk and bmm");
  return table;
}

}  // namespace bitnet
