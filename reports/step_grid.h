#pragma once
// The worst figures by mode, tap, layer and step: what the heat map and the tables show of millions of
// comparisons. Its size depends on the model, not on the number of cases or steps.

#include <cstddef>
#include <cstdint>
#include <unordered_map>

#include "reports/comparison_record.h"

namespace crossval::reports {

/// Orders error figures; a NaN is worse than everything.
bool worse(double a, double b);

/// The figures of one tap in a group of steps. Each is the worst of any comparison by itself.
struct Cell {
  double one_minus_cosine = 0;
  double nmse = 0;
  double norm_deviation = 0;  ///< |norm ratio - 1|
  double max_abs = 0;
  std::uint64_t comparisons = 0;
  std::uint64_t failed = 0;
  std::uint64_t values = 0;            ///< compared
  std::uint64_t values_differing = 0;  ///< in any bit
  std::uint64_t integers_differing = 0;
  /// Where the worst comparison is: a failed one before one that passed, then by 1 - cosine, then by NMSE.
  std::uint32_t case_index = 0;
  std::int64_t step = 0;
  bool worst_failed = false;
  double worst_one_minus_cosine = 0;
  double worst_nmse = 0;

  void add(const Cell& other);
};

/// Key of a row of cells.
struct GridRow {
  Mode mode = Mode::kFree;
  std::uint32_t tap = 0;    ///< index of a tap's name, below kMaxTaps
  std::int32_t layer = -1;  ///< -1: the tap has none; below kMaxLayers
};

class StepGrid {
 public:
  static constexpr std::uint32_t kMaxTaps = 1U << 12;
  static constexpr std::int32_t kMaxLayers = 1 << 20;
  /// Column 0 is step 0, the prompt; then each column takes width() steps, which doubles when they would be
  /// more than this.
  static constexpr std::uint32_t kMaxColumns = 64;

  /// `cell` is of one comparison.
  void add(const GridRow& row, std::int64_t step, const Cell& cell);
  /// Doubles the width until at most `limit` cells are left or there are two columns.
  void coarsen(std::size_t limit);

  std::int64_t width() const { return width_; }
  /// Columns in use, at least 1 unless the grid is empty.
  std::uint32_t columns() const;
  /// First and last step of a column; the last column ends at the last step seen.
  std::int64_t first_step(std::uint32_t column) const;
  std::int64_t last_step(std::uint32_t column) const;
  bool empty() const { return cells_.empty(); }
  std::size_t size() const { return cells_.size(); }

  template <class Visit>
  void for_each(Visit visit) const {
    for (const auto& [key, cell] : cells_) visit(row_of(key), column_of(key), cell);
  }

 private:
  using Key = std::uint64_t;
  static Key key_of(const GridRow& row, std::uint32_t column);
  static GridRow row_of(Key key);
  static std::uint32_t column_of(Key key) { return static_cast<std::uint32_t>(key & 0xFF); }
  std::int64_t unbounded_column(std::int64_t step) const { return step == 0 ? 0 : 1 + (step - 1) / width_; }
  void widen();
  void fit(std::int64_t step);

  std::unordered_map<Key, Cell> cells_;
  std::int64_t width_ = 1;
  std::int64_t last_step_ = 0;
};

}  // namespace crossval::reports
