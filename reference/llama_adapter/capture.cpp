#include "reference/llama_adapter/capture.h"

#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>

namespace crossval::llama_adapter {
namespace {

using bitnet::Tap;
using bitnet::TapId;

bool is_attention(Tap tap) {
  return tap == Tap::kq || tap == Tap::kq_soft_max;
}

[[noreturn]] void wrong_shape(TapId id, const ggml_tensor* node, std::int64_t rows) {
  std::string shape;
  for (int d = 0; d < 4; ++d) shape += (d ? " x " : "") + std::to_string(node->ne[d]);
  throw std::runtime_error("the node of " + bitnet::to_string(id) + " is " + shape +
                           ", which does not hold " + std::to_string(rows) + " rows");
}

float value_at(const ggml_tensor* node, const std::uint8_t* at) {
  if (node->type == GGML_TYPE_F32) {
    float value;
    std::memcpy(&value, at, sizeof value);
    return value;
  }
  ggml_fp16_t half;
  std::memcpy(&half, at, sizeof half);
  return ggml_fp16_to_fp32(half);
}

// The dimension that counts tokens: the last that is more than 1 (heads come before it, streams after it).
int row_dimension(TapId id, const ggml_tensor* node, std::int64_t rows) {
  int last = 3;
  while (last > 0 && node->ne[last] == 1) --last;
  if (rows > 1) {
    if (last == 0 || node->ne[last] != rows) wrong_shape(id, node, rows);
    return last;
  }
  return last + 1;  // one token: all that there is
}

Node described(const ggml_tensor* node) {
  const ggml_tensor* source = node->src[0];
  return {node->name, ggml_op_name(node->op), ggml_op_desc(node), source ? source->name : ""};
}

}  // namespace

bool Capture::asked(const ggml_tensor* node) {
  pending_.reset();
  if (error_) return false;
  const auto id = follower_.next(described(node));
  if (!id || !wanted_->contains(*id)) return false;
  pending_ = id;
  return true;
}

bool Capture::computed(const ggml_tensor* node) {
  try {
    if (pending_) show(node);
  } catch (...) {
    error_ = std::current_exception();
  }
  pending_.reset();
  return !error_;
}

void Capture::show(const ggml_tensor* node) {
  const TapId id = *pending_;
  if (node->type != GGML_TYPE_F32 && node->type != GGML_TYPE_F16)
    throw std::runtime_error("the node of " + bitnet::to_string(id) + " has type " +
                             ggml_type_name(node->type));

  // Memory of the host is read where it lies, other memory is copied; both are walked by the strides.
  const auto* data = static_cast<const std::uint8_t*>(node->data);
  const ggml_backend_buffer_t buffer = node->view_src ? node->view_src->buffer : node->buffer;
  if (buffer && !ggml_backend_buffer_is_host(buffer)) {
    bytes_.resize(ggml_nbytes(node));
    ggml_backend_tensor_get(node, bytes_.data(), 0, bytes_.size());
    data = bytes_.data();
  }
  const auto at = [&](std::int64_t i0, std::int64_t i1, std::int64_t i2, std::int64_t i3) {
    return data + static_cast<std::size_t>(i0) * node->nb[0] + static_cast<std::size_t>(i1) * node->nb[1] +
           static_cast<std::size_t>(i2) * node->nb[2] + static_cast<std::size_t>(i3) * node->nb[3];
  };

  const std::int64_t n_shown = decode_.to - decode_.from;
  Rows rows;
  values_.clear();
  if (is_attention(id.tap)) {
    // cells x tokens x heads. The cells of one sequence lie in the order of their positions; those after a
    // token's own are masked or hold nothing.
    if (node->ne[1] != decode_.rows || node->ne[3] != 1 ||
        node->ne[0] < decode_.first_position + decode_.rows)
      wrong_shape(id, node, decode_.rows);
    for (std::int64_t row = decode_.from; row < decode_.to; ++row) {
      const std::int64_t visible = decode_.first_position + row + 1;
      for (std::int64_t head = 0; head < node->ne[2]; ++head)
        for (std::int64_t cell = 0; cell < visible; ++cell)
          values_.push_back(value_at(node, at(cell, row, head, 0)));
      rows.widths.push_back(visible * node->ne[2]);
    }
    rows.values = values_;
  } else {
    const int dimension = row_dimension(id, node, decode_.rows);
    const std::int64_t width = ggml_nelements(node) / decode_.rows;
    rows.widths.assign(static_cast<std::size_t>(n_shown), width);
    if (node->type == GGML_TYPE_F32 && ggml_is_contiguous(node) &&
        reinterpret_cast<std::uintptr_t>(data) % alignof(float) == 0) {
      rows.values = {reinterpret_cast<const float*>(data) + decode_.from * width,
                     static_cast<std::size_t>(n_shown * width)};
    } else {
      values_.reserve(static_cast<std::size_t>(n_shown * width));
      for (std::int64_t row = decode_.from; row < decode_.to; ++row) {
        std::int64_t first[4] = {0, 0, 0, 0};
        std::int64_t last[4] = {node->ne[0], node->ne[1], node->ne[2], node->ne[3]};
        if (dimension < 4 && decode_.rows > 1) {
          first[dimension] = row;
          last[dimension] = row + 1;
        }
        for (std::int64_t i3 = first[3]; i3 < last[3]; ++i3)
          for (std::int64_t i2 = first[2]; i2 < last[2]; ++i2)
            for (std::int64_t i1 = first[1]; i1 < last[1]; ++i1)
              for (std::int64_t i0 = first[0]; i0 < last[0]; ++i0)
                values_.push_back(value_at(node, at(i0, i1, i2, i3)));
      }
      rows.values = values_;
    }
  }
  (*sink_)(id, rows);
}

bool Survey::asked(const ggml_tensor* node) {
  nodes_.push_back(described(node));
  const ggml_tensor* weights = node->src[0];
  if (node->op != GGML_OP_MUL_MAT || !weights) return false;
  const char* type = ggml_type_name(weights->type);
  if (type && std::string_view(type) == "i2_s" && node->ne[0] > widest_i2_s_) widest_i2_s_ = node->ne[0];
  if (std::string_view(node->name) == "result_output")
    head_input_ = llama_api::rounded_input(weights->type);
  else if (std::string_view(weights->name).starts_with("blk."))
    product_inputs_.insert(llama_api::rounded_input(weights->type));
  return false;
}

}  // namespace crossval::llama_adapter
