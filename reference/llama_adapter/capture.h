#pragma once
// The callback's side of one llama_decode: it recognises the wanted nodes and reads their rows while their
// memory still holds them.

#include <ggml.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "reference/llama_adapter/api.h"
#include "reference/llama_adapter/plan.h"

namespace crossval::llama_adapter {

/// Rows of one tap: their lengths, and the values row after row.
struct Rows {
  std::vector<std::int64_t> widths;
  std::span<const float> values;
};

using RowSink = std::function<void(bitnet::TapId, const Rows&)>;

/// What one llama_decode computes, and which of its rows are shown: [from, to).
struct Decode {
  std::int64_t first_position = 0;
  std::int64_t rows = 0;
  std::int64_t from = 0;
  std::int64_t to = 0;
};

class Capture {
 public:
  /// The references must outlive the capture.
  Capture(const TapPlan& plan, const std::set<bitnet::TapId>& wanted, const Decode& decode,
          const RowSink& sink)
      : follower_(plan), wanted_(&wanted), decode_(decode), sink_(&sink) {}

  /// The two halves of cb_eval. Nothing is thrown through the library: see rethrow.
  bool asked(const ggml_tensor* node);
  bool computed(const ggml_tensor* node);
  /// Throws what a callback could not.
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void show(const ggml_tensor* node);

  TapPlan::Follower follower_;
  const std::set<bitnet::TapId>* wanted_;
  Decode decode_;
  const RowSink* sink_;
  std::optional<bitnet::TapId> pending_;
  std::vector<std::uint8_t> bytes_;
  std::vector<float> values_;
  std::exception_ptr error_;
};

/// The node list of one evaluation, and what it says of the weights.
class Survey {
 public:
  bool asked(const ggml_tensor* node);
  const std::vector<Node>& nodes() const { return nodes_; }
  /// Most outputs of a product with I2_S weights; 0 where there is none.
  std::int64_t widest_i2_s() const { return widest_i2_s_; }
  /// The types to which the inputs of the layers' matrices are rounded, each once, and that of the head's.
  const std::set<std::string>& product_inputs() const { return product_inputs_; }
  const std::string& head_input() const { return head_input_; }

 private:
  std::vector<Node> nodes_;
  std::int64_t widest_i2_s_ = 0;
  std::set<std::string> product_inputs_;
  std::string head_input_;
};

}  // namespace crossval::llama_adapter
