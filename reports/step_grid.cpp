#include "reports/step_grid.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace crossval::reports {

bool worse(double a, double b) {
  if (std::isnan(b)) return false;
  return std::isnan(a) || a > b;
}

namespace {

void keep_worst(double& kept, double other) {
  if (worse(other, kept)) kept = other;
}

bool worse_place(const Cell& a, const Cell& b) {
  if (a.worst_failed != b.worst_failed) return a.worst_failed;
  if (worse(a.worst_one_minus_cosine, b.worst_one_minus_cosine)) return true;
  if (worse(b.worst_one_minus_cosine, a.worst_one_minus_cosine)) return false;
  return worse(a.worst_nmse, b.worst_nmse);
}

}  // namespace

void Cell::add(const Cell& other) {
  if (other.comparisons == 0) return;
  if (comparisons == 0 || worse_place(other, *this)) {
    case_index = other.case_index;
    step = other.step;
    worst_failed = other.worst_failed;
    worst_one_minus_cosine = other.worst_one_minus_cosine;
    worst_nmse = other.worst_nmse;
  }
  keep_worst(one_minus_cosine, other.one_minus_cosine);
  keep_worst(nmse, other.nmse);
  keep_worst(norm_deviation, other.norm_deviation);
  keep_worst(max_abs, other.max_abs);
  comparisons += other.comparisons;
  failed += other.failed;
  values += other.values;
  values_differing += other.values_differing;
  integers_differing += other.integers_differing;
}

StepGrid::Key StepGrid::key_of(const GridRow& row, std::uint32_t column) {
  if (row.tap >= kMaxTaps || row.layer < -1 || row.layer >= kMaxLayers) {
    throw std::out_of_range("StepGrid: a tap or layer index beyond the grid");
  }
  return static_cast<Key>(row.mode == Mode::kFree) << 63 | static_cast<Key>(row.tap) << 32 |
         static_cast<Key>(static_cast<std::uint32_t>(row.layer + 1)) << 8 | column;
}

GridRow StepGrid::row_of(Key key) {
  return {key >> 63 != 0 ? Mode::kFree : Mode::kLocal, static_cast<std::uint32_t>(key >> 32 & 0xFFFF),
          static_cast<std::int32_t>(key >> 8 & 0xFFFFFF) - 1};
}

void StepGrid::widen() {
  width_ *= 2;
  std::unordered_map<Key, Cell> wider;
  wider.reserve(cells_.size());
  for (const auto& [key, cell] : cells_) {
    const std::uint32_t column = column_of(key);
    wider[(key & ~Key{0xFF}) | (column == 0 ? 0U : 1 + (column - 1) / 2)].add(cell);
  }
  cells_ = std::move(wider);
}

void StepGrid::fit(std::int64_t step) {
  last_step_ = std::max(last_step_, step);
  while (unbounded_column(step) >= kMaxColumns) widen();
}

void StepGrid::add(const GridRow& row, std::int64_t step, const Cell& cell) {
  fit(step);
  cells_[key_of(row, static_cast<std::uint32_t>(unbounded_column(step)))].add(cell);
}

void StepGrid::coarsen(std::size_t limit) {
  while (cells_.size() > limit && columns() > 2) widen();
}

std::uint32_t StepGrid::columns() const {
  return cells_.empty() ? 0 : static_cast<std::uint32_t>(unbounded_column(last_step_)) + 1;
}

std::int64_t StepGrid::first_step(std::uint32_t column) const {
  return column == 0 ? 0 : 1 + static_cast<std::int64_t>(column - 1) * width_;
}

std::int64_t StepGrid::last_step(std::uint32_t column) const {
  return column == 0 ? 0 : std::min(last_step_, static_cast<std::int64_t>(column) * width_);
}

}  // namespace crossval::reports
