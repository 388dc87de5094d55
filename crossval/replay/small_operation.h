#pragma once
// One operation of a forward pass on one row, cut to the outputs that matter, with all that it reads of a
// model: it can be computed again where the model is not.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "crossval/lockstep/operation_kind.h"
#include "engine/formats/tensor_type.h"
#include "engine/model/config.h"
#include "engine/model/model.h"
#include "engine/model/operation.h"

namespace crossval {

/// Outputs stand head by head where there are heads; `columns` says which of the whole row they are. Query
/// heads have their own copy of the keys and values that they read.
struct SmallOperation {
  bitnet::TapId tap;          // of the model that it was taken from
  std::int64_t position = 0;  // rope: of the row. scores, softmax, context: the row sees cells 0..position
  std::int64_t width = 0;     // embedding, norm, projection, head: of the row of the table or of the input
  std::int64_t heads = 0;     // rope, scores, softmax, context
  std::int64_t head_dim = 0;  // likewise; softmax divides by its root
  float epsilon = 0;          // norm
  std::int64_t n_rot = 0;     // rope, as the three that follow
  float rope_base = 0;
  float rope_scale = 1;
  bitnet::RopePairing pairing = bitnet::RopePairing::neox;
  bitnet::Activation activation = bitnet::Activation::relu_squared;
  std::vector<std::int64_t> columns;  // of the whole row, one per output

  std::vector<float> a;        // the first input; none for an embedding
  std::vector<float> b;        // the second input of product and sum
  std::vector<float> history;  // scores: keys, context: values; [position + 1][heads * head_dim]

  std::vector<float> weight;         // norm: (width); rope: divisors of the angles or none
  std::vector<std::int8_t> ternary;  // projection, tables in I2_S: [rows][width]
  float scale = 1;                   // of `ternary`
  float factor = 1;                  // projection
  std::vector<float> bias;           // projection: one per output, or none
  bitnet::TensorType table_type = bitnet::TensorType::f16;  // embedding, head
  std::vector<std::byte> table;                             // likewise, but not in I2_S: rows as in a file

  std::int64_t outputs() const { return static_cast<std::int64_t>(columns.size()); }
  std::int64_t cells() const { return position + 1; }
};

/// Lengths that follow from the rest.
struct SmallSizes {
  std::int64_t a = 0, b = 0, history = 0;
  std::int64_t outputs = -1;    // where heads decide it; -1: as many as there are columns
  std::int64_t table_rows = 0;  // of `ternary` or `table`
};
SmallSizes sizes_of(const SmallOperation& operation);

/// Which outputs of a row are kept: of these heads these values each. An operation without heads has the one
/// head 0; values are cells of scores, channels of rope and context.
struct Part {
  std::vector<std::int64_t> heads;
  std::vector<std::int64_t> values;
};
/// All of the row of this tap at this position.
Part whole(const bitnet::Config& config, bitnet::Tap tap, std::int64_t position);
/// Which columns of the row those are; `width` is that of a whole head.
std::vector<std::int64_t> columns_of(const Part& part, std::int64_t width);
/// Values of a whole head of the tap's row at this position.
std::int64_t head_width(const bitnet::Config& config, bitnet::Tap tap, std::int64_t position);
/// Whether single heads, or single values of a head, can be kept: elsewhere all inputs go into each output.
bool heads_part(OperationKind kind);
bool values_part(OperationKind kind);

/// Row `row` of an operation over the model, cut to the part.
SmallOperation cut(const bitnet::Model& model, const bitnet::Operation& operation, std::size_t row,
                   const Part& part);

}  // namespace crossval
