#include "engine/convert/projection.h"

#include <algorithm>
#include <cmath>

#include "engine/formats/float_format.h"
#include "engine/formats/round.h"
#include "engine/formats/ternary.h"

namespace bitnet::hf {
namespace {

using Type = Safetensors::Type;

constexpr float kLeastAbsmean = 1e-5f;
constexpr std::uint64_t kRowsPerByteRow = 4;
constexpr const char* kWrite = "; it is not what the configuration describes: write the checkpoint again";

// Calls f(row, values) for every row of a tensor of floats.
template <class F>
void for_each_row(const Checkpoint& checkpoint, const Safetensors::Tensor& t, TernaryShape shape, F f) {
  const TensorType type = float_type_of(checkpoint, t);
  const std::uint64_t bytes = tensor_bytes(type, shape.cols, 1).value();
  std::vector<float> values(shape.cols);
  for (std::uint64_t row = 0; row < shape.rows; ++row) {
    decode_floats(type, t.data.subspan(row * bytes, bytes), values);
    f(row, std::span<const float>(values));
  }
}

void require_shape(const Checkpoint& checkpoint, const Safetensors::Tensor& t, std::uint64_t rows,
                   std::uint64_t cols) {
  const std::vector<std::uint64_t> wanted = {rows, cols};
  if (t.shape != wanted)
    checkpoint.fail(t.name, "has shape " + shape_text(t.shape) + ", but " +
                                std::string(Safetensors::type_name(t.type)) + " of " + shape_text(wanted) +
                                " is required" + kWrite);
}

float read_weight_scale(const Checkpoint& checkpoint, const Safetensors::Tensor& t) {
  if (t.elements() != 1)
    checkpoint.fail(
        t.name, "has shape " + shape_text(t.shape) + "; only one scale for a whole matrix can be converted");
  float scale = 0;
  decode_floats(float_type_of(checkpoint, t), t.data, {&scale, 1});
  if (!(scale > 0) || !std::isfinite(scale) || !std::isfinite(1 / scale))
    checkpoint.fail(t.name, "is " + std::to_string(scale) + "; a weight scale is positive and finite");
  return scale;
}

// What the values of a matrix of floats say.
struct Statistics {
  double sum = 0;      // of magnitudes
  float greatest = 0;  // magnitude
  bool one_magnitude = true;
};

Statistics statistics_of(const Checkpoint& checkpoint, const Projection& p) {
  Statistics s;
  float magnitude = 0;
  for_each_row(checkpoint, *p.weight, p.shape, [&](std::uint64_t row, std::span<const float> values) {
    for (std::size_t k = 0; k < values.size(); ++k) {
      const float a = std::abs(values[k]);
      if (!std::isfinite(a))
        checkpoint.fail(p.weight->name, "is not finite in " +
                                            ternary::place_text(p.shape, row * p.shape.cols + k) +
                                            "; the checkpoint is damaged");
      s.sum += static_cast<double>(a);
      s.greatest = std::max(s.greatest, a);
      if (a == 0) continue;
      if (magnitude == 0) magnitude = a;
      s.one_magnitude = s.one_magnitude && a == magnitude;
    }
  });
  return s;
}

void unpack(const Checkpoint& checkpoint, const Projection& p, std::span<std::int8_t> weights) {
  const std::uint64_t cols = p.shape.cols;
  const std::uint64_t byte_rows = p.shape.rows / kRowsPerByteRow;
  for (std::uint64_t row = 0; row < p.shape.rows; ++row) {
    const std::uint64_t from = source_row(row, p.shape.rows, p.heads_to_interleave);
    const auto bytes = p.weight->data.subspan(from % byte_rows * cols, cols);
    const auto shift = static_cast<int>(2 * (from / byte_rows));
    for (std::uint64_t k = 0; k < cols; ++k) {
      const int code = std::to_integer<int>(bytes[k]) >> shift & 3;
      if (code == 3)
        checkpoint.fail(p.weight->name, "has code 3, which stands for no weight, in " +
                                            ternary::place_text(p.shape, from * cols + k) +
                                            "; the checkpoint is damaged");
      weights[row * cols + k] = static_cast<std::int8_t>(code - 1);
    }
  }
}

// Rounds value * inverse to -1, 0 or +1.
std::int8_t code_of(float value, float inverse) {
  return static_cast<std::int8_t>(round_half_even(std::clamp(value * inverse, -1.0f, 1.0f)));
}

}  // namespace

std::string shape_text(const std::vector<std::uint64_t>& shape) {
  std::string text;
  for (const std::uint64_t n : shape) text += (text.empty() ? "" : ", ") + std::to_string(n);
  return "[" + text + "]";
}

TensorType float_type_of(const Checkpoint& checkpoint, const Safetensors::Tensor& tensor) {
  switch (tensor.type) {
    case Type::f32:
      return TensorType::f32;
    case Type::f16:
      return TensorType::f16;
    case Type::bf16:
      return TensorType::bf16;
    default:
      checkpoint.fail(tensor.name, "is of type " + std::string(Safetensors::type_name(tensor.type)) +
                                       "; F32, F16 or BF16 is required here");
  }
}

std::uint64_t source_row(std::uint64_t row, std::uint64_t rows, std::uint32_t heads_to_interleave) {
  if (heads_to_interleave == 0) return row;
  const std::uint64_t head_dim = rows / heads_to_interleave;
  const std::uint64_t within = row % head_dim;
  return row - within + within % 2 * (head_dim / 2) + within / 2;
}

ProjectionFacts examine(const Checkpoint& checkpoint, const Projection& p) {
  ProjectionFacts facts;
  if (p.weight_scale != nullptr) facts.weight_scale = read_weight_scale(checkpoint, *p.weight_scale);
  if (p.weight->type == Type::u8) {
    require_shape(checkpoint, *p.weight, p.shape.rows / kRowsPerByteRow, p.shape.cols);
    if (!facts.weight_scale)
      checkpoint.fail(p.weight->name, "is packed, but has no `" + p.weight->name +
                                          "_scale` beside it; without it the weights mean nothing");
    facts.storage = Storage::packed;
    return facts;
  }
  require_shape(checkpoint, *p.weight, p.shape.rows, p.shape.cols);
  const Statistics s = statistics_of(checkpoint, p);
  facts.absmean =
      std::max(static_cast<float>(s.sum / static_cast<double>(p.shape.elements())), kLeastAbsmean);
  facts.magnitude = s.greatest;
  facts.storage = !s.one_magnitude                           ? Storage::master
                  : facts.weight_scale && s.greatest == 1.0f ? Storage::codes
                                                             : Storage::ternary;
  return facts;
}

gguf::TernaryWeights ternary_weights(const Checkpoint& checkpoint, const Projection& p,
                                     const ProjectionFacts& facts, ScaleRule rule) {
  gguf::TernaryWeights w;
  w.weights.resize(p.shape.elements());
  if (facts.storage == Storage::packed) {
    unpack(checkpoint, p, w.weights);
  } else {
    const float inverse = facts.storage == Storage::master ? 1 / facts.absmean : 0;
    std::vector<std::uint64_t> row_in_file(p.shape.rows);
    for (std::uint64_t row = 0; row < p.shape.rows; ++row)
      row_in_file[source_row(row, p.shape.rows, p.heads_to_interleave)] = row;
    for_each_row(checkpoint, *p.weight, p.shape, [&](std::uint64_t row, std::span<const float> values) {
      std::int8_t* out = w.weights.data() + row_in_file[row] * p.shape.cols;
      for (std::size_t k = 0; k < values.size(); ++k)
        out[k] = inverse != 0 ? code_of(values[k], inverse)
                              : static_cast<std::int8_t>((values[k] > 0) - (values[k] < 0));
    });
  }
  switch (facts.storage) {
    case Storage::packed:
    case Storage::codes:
      w.scale = rule == ScaleRule::multiply ? *facts.weight_scale : 1 / *facts.weight_scale;
      break;
    case Storage::ternary:
      w.scale = facts.magnitude;
      break;
    case Storage::master:
      w.scale = 1 / (1 / facts.absmean);
      break;
  }
  return w;
}

}  // namespace bitnet::hf
