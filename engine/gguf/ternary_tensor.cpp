#include "engine/gguf/ternary_tensor.h"

#include <cmath>

#include "engine/error.h"

namespace bitnet::gguf {
namespace {

std::string text_of(TlTiles tiles) {
  return "BM " + std::to_string(tiles.rows) + ", BK " + std::to_string(tiles.cols) + ", bm " +
         std::to_string(tiles.stripe);
}

std::string text_of(TernaryShape shape) {
  return std::to_string(shape.rows) + " x " + std::to_string(shape.cols);
}

TlTable named_tiles(const File& file, TensorType type) {
  const auto key = type == TensorType::tl1 ? kTl1TilesKey : kTl2TilesKey;
  const Value* value = file.find(key);
  if (value == nullptr) return {};
  const auto* array = std::get_if<Array>(value);
  if (array == nullptr || array->type != ValueType::u32 || array->count % 5 != 0)
    file.fail(key, "must be an array of u32, five for each shape: rows, columns, BM, BK, bm");
  const auto n = array->as<std::uint32_t>();
  TlTable table;
  for (std::size_t i = 0; i < n.size(); i += 5)
    table.push_back({{n[i + 1], n[i]}, {n[i + 2], n[i + 3], n[i + 4]}});
  return table;
}

TlTiles tiles_of(const File& file, const Tensor& tensor, const TernaryOptions& options) {
  const TernaryShape shape = ternary_shape(tensor);
  const std::string matrix = std::string(type_name(tensor.type)) + " tiles of a matrix of " + text_of(shape);
  const auto said = find_tiles(options.tiles, shape);
  const auto named = find_tiles(named_tiles(file, tensor.type), shape);
  if (said && named && *said != *named)
    file.fail(tensor.name, matrix + ": the file itself says " + text_of(*named) +
                               ", the given kernel_config.ini " + text_of(*said) + "; leave it out");
  if (said || named) return said ? *said : *named;
  const auto preset = preset_tiles(tensor.type, shape);
  if (preset.size() == 1) return preset[0];
  if (preset.empty())
    file.fail(tensor.name,
              matrix + " are not known; give the kernel_config.ini it was made with as --tl-config");
  file.fail(tensor.name, matrix + " may be " + text_of(preset[0]) + " (bitnet.cpp's preset) or " +
                             text_of(preset[1]) +
                             " (its set-up script), which nothing in the file tells apart; give the "
                             "kernel_config.ini it was made with as --tl-config");
}

I2sLayout layout_of(const File& file, const TernaryOptions& options) {
  const auto named = named_layout(file);
  if (named && options.layout && *named != *options.layout)
    file.fail(kI2sLayoutKey, "the file itself says `" + std::string(to_string(*named)) + "`, not `" +
                                 std::string(to_string(*options.layout)) + "`; leave --layout out");
  return named ? *named : options.layout.value_or(I2sLayout::x86);
}

}  // namespace

std::optional<I2sLayout> named_layout(const File& file) {
  const auto name = file.get<std::string_view>(kI2sLayoutKey);
  if (!name) return std::nullopt;
  const auto layout = parse_i2s_layout(*name);
  if (!layout) file.fail(kI2sLayoutKey, "must be x86, arm or 4-row, not `" + std::string(*name) + "`");
  return layout;
}

TernaryFormat ternary_format(const File& file, const Tensor& tensor, const TernaryOptions& options) {
  TernaryFormat format{tensor.type, I2sLayout::x86, {}};
  if (tensor.type == TensorType::i2_s) format.i2s = layout_of(file, options);
  if (tensor.type == TensorType::tl1 || tensor.type == TensorType::tl2)
    format.tiles = tiles_of(file, tensor, options);
  if (const std::string why = misfit(format, ternary_shape(tensor)); !why.empty())
    file.fail(tensor.name, "a matrix of " + text_of(ternary_shape(tensor)) + " cannot be " +
                               std::string(type_name(tensor.type)) + ": " + why);
  return format;
}

TernaryWeights decode_ternary(const File& file, const Tensor& tensor, const TernaryOptions& options) {
  const TernaryFormat format = ternary_format(file, tensor, options);
  TernaryWeights w;
  w.weights.resize(tensor.elements());
  try {
    w.scale = bitnet::decode_ternary(format, tensor.data, ternary_shape(tensor), w.weights);
  } catch (const InputError& e) {
    file.fail(tensor.name, std::string(type_name(tensor.type)) + ": " + e.what());
  }
  if (!std::isfinite(w.scale)) file.fail(tensor.name, "its weight scale is not finite; the file is damaged");
  return w;
}

}  // namespace bitnet::gguf
