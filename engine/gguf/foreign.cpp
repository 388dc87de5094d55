#include "engine/gguf/foreign.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <optional>
#include <string_view>

#include "engine/gguf/printable.h"

namespace bitnet::gguf {
namespace {

using namespace std::string_view_literals;

struct Magic {
  std::string_view bytes;
  std::string_view text;
};

constexpr auto kMagics = std::to_array<Magic>({
    {"FUGG"sv, "is a GGUF file with its bytes swapped; convert it on a little-endian machine"},
    {"lmgg"sv,
     "is in the old GGML format; convert it to GGUF with llama.cpp's convert_llama_ggml_to_gguf.py"},
    {"fmgg"sv,
     "is in the old GGMF format; convert it to GGUF with llama.cpp's convert_llama_ggml_to_gguf.py"},
    {"tjgg"sv,
     "is in the old GGJT format; convert it to GGUF with llama.cpp's convert_llama_ggml_to_gguf.py"},
    {"algg"sv, "is an old GGML adapter, not a model; give a GGUF model"},
    {"PK\x03\x04"sv,
     "is a zip archive (a PyTorch checkpoint or a packed download); unpack or convert it to GGUF"},
    {"\x1f\x8b"sv, "is compressed with gzip; unpack it first"},
    {"\x28\xb5\x2f\xfd"sv, "is compressed with zstd; unpack it first"},
    {"\xfd\x37zXZ"sv, "is compressed with xz; unpack it first"},
    {"BZh"sv, "is compressed with bzip2; unpack it first"},
    {"\x80\x02"sv, "is a Python pickle (a PyTorch checkpoint); convert it to GGUF"},
    {"\x89HDF"sv, "is an HDF5 file; convert the model to GGUF"},
    {"\x7f"
     "ELF"sv,
     "is a program or library, not a model; give a .gguf file"},
    {"version https://git-lfs"sv, "is a Git LFS pointer, not the model itself; run `git lfs pull`"},
});

bool starts_with_ignoring_case(std::string_view text, std::string_view lower) {
  return text.size() >= lower.size() &&
         std::equal(lower.begin(), lower.end(), text.begin(),
                    [](char a, char b) { return a == std::tolower(static_cast<unsigned char>(b)); });
}

bool is_safetensors(std::span<const std::byte> bytes) {
  if (bytes.size() < 10 || bytes[8] != std::byte{'{'}) return false;
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof header);
  return header >= 2 && header <= (std::uint64_t{1} << 30);
}

std::uint64_t aligned(std::uint64_t bytes, std::uint64_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

// The last tensor of a file need not be padded.
bool fills(std::uint64_t slot, std::uint64_t bytes, std::uint64_t alignment) {
  return slot == bytes || slot == aligned(bytes, alignment);
}

bool fills(std::uint64_t slot, TensorType type, std::uint64_t ne0, std::uint64_t rows,
           std::uint64_t alignment) {
  const auto bytes = tensor_bytes(type, ne0, rows);
  return bytes && fills(slot, *bytes, alignment);
}

}  // namespace

std::string describe_foreign_file(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()),
                              std::min<std::size_t>(bytes.size(), 512));
  for (const Magic& magic : kMagics)
    if (text.starts_with(magic.bytes)) return std::string(magic.text);
  if (is_safetensors(bytes)) return "is a safetensors file; convert the model to GGUF";
  if (std::ranges::all_of(text, [](char c) { return c == '\0'; }))
    return "starts with nothing but zero bytes; the download or copy was not finished, do it again";
  const std::string_view visible =
      text.substr(std::min(text.size(), text.find_first_not_of(" \t\r\n\xef\xbb\xbf")));
  for (const std::string_view tag : {"<!doctype html"sv, "<html"sv, "<head"sv, "<?xml"sv})
    if (starts_with_ignoring_case(visible, tag))
      return "is a web page, not a model (a download that asked for a login or hit an error?); download it "
             "again";
  if (visible.starts_with('{') || visible.starts_with('['))
    return "is a JSON text, not a model; give the .gguf file";
  return "starts with \"" + printable(text.substr(0, 4)) + "\" and not with \"GGUF\"; give a GGUF model";
}

TensorType type_by_space(TensorType type, std::uint64_t ne0, std::uint64_t rows, std::uint64_t slot,
                         std::uint64_t alignment) {
  if (type != TensorType::i2_s || fills(slot, type, ne0, rows, alignment)) return type;
  for (const auto other : {TensorType::qk256, TensorType::bitnet32_f16})
    if (fills(slot, other, ne0, rows, alignment)) return other;
  return type;
}

std::string describe_foreign_layout(TensorType type, std::uint32_t number, std::uint64_t ne0,
                                    std::uint64_t rows, std::uint64_t slot, std::uint64_t alignment) {
  struct Layout {
    TensorType type;
    std::uint64_t bytes;  // of a block of 32 elements in a row
    std::string_view text;
  };
  static constexpr auto kLayouts = std::to_array<Layout>({
      {TensorType::i2_s, 18,
       "its space fits IQ4_NL_4_4, which llama.cpp once gave this number, not I2_S; convert the model again"},
      {TensorType::i2_s, 8,
       "its space fits Split32 of BitNet-rs, whose scales stand in a tensor of their own, and not I2_S; "
       "quantize or convert the model again"},
      {TensorType::tl1, 18,
       "its space fits IQ4_NL_8_8, which llama.cpp once gave this number, not TL1; convert the model again"},
      {TensorType::tl2, 17,
       "its space fits MXFP4, which llama.cpp gives this number, not TL2 of bitnet.cpp; MXFP4 is not "
       "supported, quantize the model to I2_S"},
  });
  if (fills(slot, type, ne0, rows, alignment)) return "";
  if (number == kTl2NumberSince2026)
    return "its space does not fit TL2, so it is Q2_0, which is not supported; quantize the model to I2_S";
  for (const Layout& layout : kLayouts) {
    if (layout.type != type || ne0 % 32 != 0) continue;
    const std::uint64_t blocks = ne0 / 32;
    if (blocks > (std::uint64_t{1} << 62) / rows / layout.bytes) continue;
    if (fills(slot, blocks * rows * layout.bytes, alignment)) return std::string(layout.text);
  }
  return "";
}

}  // namespace bitnet::gguf
