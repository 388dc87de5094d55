#pragma once
// Single wrong weights, found from the integers behind a ternary product.

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/model/model.h"
#include "engine/model/operation.h"
#include "reference/participant.h"

namespace crossval {

struct WrongWeight {
  std::string tensor;  // "blk.3.attn_q.weight"
  std::int64_t row = 0;
  std::int64_t column = 0;
  int off_by = 0;  // what it is minus what it should be: -2, -1, 1, 2
};

/// Gathers what one ternary product of one side made of several inputs. A row of weights that is wrong in one
/// column by d makes an integer that is wrong by d times the code of that column, in every input; when enough
/// inputs were seen one column alone fits.
class WeightSuspicion {
 public:
  WeightSuspicion(const bitnet::Model& model, TapId tap);

  /// One evaluation: inputs of the operation, what was shown and what is right.
  void add(const bitnet::Operation& operation, const Tensor& shown, std::span<const float> sound);

  /// The wrong weights, where that is what is wrong: at most eight rows of the matrix, one column in each.
  std::vector<WrongWeight> found() const;

 private:
  const bitnet::Model& model_;
  TapId tap_;
  std::vector<std::vector<std::int8_t>> codes_;            // of each input
  std::map<std::int64_t, std::vector<std::int64_t>> off_;  // matrix row -> by how much, for each input
  bool other_ = false;                                     // something else is wrong
};

}  // namespace crossval
