#include "crossval/lockstep/local_rounding.h"

#include "crossval/lockstep/local.h"
#include "crossval/lockstep/operation_kind.h"
#include "engine/formats/float_format.h"
#include "engine/formats/i2s.h"

namespace crossval {
namespace {

using bitnet::Tap;
using bitnet::TensorType;

// design.md 9: what the head's input is rounded to by engine, emulator and oracle.
const char* own_head_input(TensorType head) {
  switch (head) {
    case TensorType::f16:
      return "f16";
    case TensorType::q6_k:
      return "q8_K";
    case TensorType::i2_s:
      return "i8_s";
    default:
      return "f32";
  }
}

constexpr const char* kOwnProductInput = "i8_s";

std::optional<InputRounding> other_than(const Identity& identity, const char* key, std::string_view own) {
  const auto it = identity.details.find(key);
  if (it == identity.details.end() || it->second == own) return std::nullopt;
  return input_rounding(it->second);
}

bool multiplies(Tap tap) {
  const OperationKind kind = operation_kind(tap);
  return kind == OperationKind::projection || kind == OperationKind::head;
}

MatrixRows rows_of(const bitnet::TernaryMatrix& m, float factor) {
  return {m.rows, m.cols,
          [m, scale = m.scale * factor, weights = std::vector<std::int8_t>(static_cast<std::size_t>(m.cols))](
              std::int64_t r, std::span<float> row) mutable {
            // A row is whole blocks; what follows it, the next row or the slot of the scale, is not read.
            const auto* codes = reinterpret_cast<const std::byte*>(m.codes) + r * m.cols / 4;
            bitnet::i2s::unpack({codes, bitnet::i2s::tensor_bytes(row.size())}, weights);
            for (std::size_t k = 0; k < row.size(); ++k) row[k] = scale * static_cast<float>(weights[k]);
          }};
}

MatrixRows rows_of(const bitnet::FloatMatrix& m) {
  if (const auto* ternary = std::get_if<bitnet::TernaryMatrix>(&m.data)) return rows_of(*ternary, 1);
  return {
      m.rows, m.cols,
      [at = m.bytes_at(), bytes = m.bytes() / m.rows, type = m.type()](std::int64_t r, std::span<float> row) {
        bitnet::decode_floats(type, {at + r * bytes, static_cast<std::size_t>(bytes)}, row);
      }};
}

MatrixRows rows_of(const bitnet::Projection& p) {
  return rows_of(p.matrix, p.factor);
}

}  // namespace

const InputRounding* ForeignRounding::of(TapId output) const {
  const auto& rounding = output.tap == Tap::result_output ? head : products;
  return rounding && multiplies(output.tap) ? &*rounding : nullptr;
}

const InputRounding& ForeignRounding::own_of(TapId output) const {
  static const InputRounding kProducts = *input_rounding(kOwnProductInput);
  return output.tap == Tap::result_output ? own_head : kProducts;
}

ForeignRounding foreign_rounding(const Identity& identity, const bitnet::Weights& weights) {
  const char* const own_head = own_head_input(weights.output.type());
  return {.products = other_than(identity, "product_input", kOwnProductInput),
          .head = other_than(identity, "head_input", own_head),
          .own_head = *input_rounding(own_head)};
}

std::vector<RoundingFigures> explain_rounding(const ForeignRounding& rounding,
                                              const bitnet::Operation& operation, std::int64_t input_width,
                                              const Tensor& own, const Tensor& foreign,
                                              const bitnet::Weights& weights) {
  const TapId id = operation.output;
  const InputRounding* theirs = rounding.of(id);
  if (!theirs) return {};
  const MatrixRows matrix =
      id.tap == Tap::result_output ? rows_of(weights.output) : rows_of(projection_of(weights, id));
  std::vector<RoundedRow> rows;
  for (std::int64_t i = 0; i < own.rows(); ++i)
    rows.push_back(
        {{operation.a + i * input_width, static_cast<std::size_t>(input_width)}, own.row(i), foreign.row(i)});
  return explain_rounding(matrix, rounding.own_of(id), *theirs, rows);
}

}  // namespace crossval
