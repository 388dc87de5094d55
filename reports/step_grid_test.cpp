#include "reports/step_grid.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <tuple>

namespace crossval::reports {
namespace {

Cell one(double error, std::uint32_t case_index = 0, bool failed = false) {
  Cell cell;
  cell.one_minus_cosine = error;
  cell.nmse = 2 * error;
  cell.comparisons = 1;
  cell.failed = failed ? 1 : 0;
  cell.case_index = case_index;
  cell.worst_failed = failed;
  cell.worst_one_minus_cosine = error;
  cell.worst_nmse = 2 * error;
  return cell;
}

Cell only_cell(const StepGrid& grid) {
  EXPECT_EQ(grid.size(), 1U);
  Cell out;
  grid.for_each([&out](const GridRow&, std::uint32_t, const Cell& cell) { out = cell; });
  return out;
}

TEST(Worse, NanIsWorseThanEverything) {
  const double nan = std::nan("");
  EXPECT_TRUE(worse(nan, 1e300));
  EXPECT_TRUE(worse(nan, INFINITY));
  EXPECT_FALSE(worse(1, nan));
  EXPECT_FALSE(worse(nan, nan));
  EXPECT_TRUE(worse(2, 1));
  EXPECT_FALSE(worse(1, 1));
}

TEST(StepGrid, KeepsTheWorstAndWhereItWas) {
  StepGrid grid;
  grid.add({Mode::kFree, 3, 5}, 2, one(1e-6, 1));
  grid.add({Mode::kFree, 3, 5}, 2, one(1e-3, 2));
  grid.add({Mode::kFree, 3, 5}, 2, one(1e-9, 3));
  Cell cell = only_cell(grid);
  EXPECT_EQ(cell.comparisons, 3U);
  EXPECT_EQ(cell.one_minus_cosine, 1e-3);
  EXPECT_EQ(cell.case_index, 2U);
  grid.add({Mode::kFree, 3, 5}, 2, one(1e-8, 4, true));
  cell = only_cell(grid);
  EXPECT_EQ(cell.one_minus_cosine, 1e-3);
  EXPECT_EQ(cell.case_index, 4U) << "a failed comparison comes before one that passed";
  grid.add({Mode::kFree, 3, 5}, 2, one(std::nan(""), 5, true));
  cell = only_cell(grid);
  EXPECT_TRUE(std::isnan(cell.one_minus_cosine));
  EXPECT_EQ(cell.case_index, 5U);
}

TEST(StepGrid, RowsStayApart) {
  StepGrid grid;
  const GridRow rows[] = {{Mode::kFree, 0, -1},
                          {Mode::kLocal, 0, -1},
                          {Mode::kFree, 1, -1},
                          {Mode::kFree, 0, 0},
                          {Mode::kLocal, StepGrid::kMaxTaps - 1, StepGrid::kMaxLayers - 1}};
  for (const GridRow& row : rows) grid.add(row, 0, one(1));
  EXPECT_EQ(grid.size(), 5U);
  std::map<std::tuple<Mode, std::uint32_t, std::int32_t>, int> seen;
  grid.for_each([&seen](const GridRow& row, std::uint32_t column, const Cell&) {
    EXPECT_EQ(column, 0U);
    ++seen[{row.mode, row.tap, row.layer}];
  });
  for (const GridRow& row : rows) EXPECT_EQ((seen[{row.mode, row.tap, row.layer}]), 1);
  EXPECT_THROW(grid.add({Mode::kFree, StepGrid::kMaxTaps, 0}, 0, one(1)), std::out_of_range);
}

TEST(StepGrid, ColumnsAreBoundedAndCoverAllSteps) {
  StepGrid grid;
  for (std::int64_t step = 0; step <= 1000; ++step)
    grid.add({Mode::kFree, 0, 0}, step, one(static_cast<double>(step)));
  EXPECT_LE(grid.columns(), StepGrid::kMaxColumns);
  EXPECT_EQ(grid.width(), 16);
  std::uint64_t total = 0;
  grid.for_each([&](const GridRow&, std::uint32_t column, const Cell& cell) {
    total += cell.comparisons;
    EXPECT_EQ(cell.one_minus_cosine, static_cast<double>(grid.last_step(column)));
    EXPECT_EQ(cell.comparisons,
              static_cast<std::uint64_t>(grid.last_step(column) - grid.first_step(column) + 1));
  });
  EXPECT_EQ(total, 1001U);
  EXPECT_EQ(grid.first_step(0), 0);
  EXPECT_EQ(grid.last_step(0), 0);
  EXPECT_EQ(grid.first_step(1), 1);
  EXPECT_EQ(grid.last_step(grid.columns() - 1), 1000);
}

TEST(StepGrid, CoarsensToALimit) {
  StepGrid grid;
  for (std::int64_t step = 0; step < 60; ++step) {
    for (std::int32_t layer = 0; layer < 10; ++layer) grid.add({Mode::kFree, 0, layer}, step, one(1));
  }
  grid.coarsen(100);
  EXPECT_LE(grid.size(), 100U);
  std::uint64_t total = 0;
  grid.for_each([&total](const GridRow&, std::uint32_t, const Cell& cell) { total += cell.comparisons; });
  EXPECT_EQ(total, 600U);
}

TEST(StepGrid, HugeStepsAreNoTrouble) {
  StepGrid grid;
  grid.add({Mode::kFree, 0, 0}, 1'000'000'000, one(1));
  grid.add({Mode::kFree, 0, 0}, 0, one(1));
  EXPECT_LE(grid.columns(), StepGrid::kMaxColumns);
  EXPECT_EQ(grid.last_step(grid.columns() - 1), 1'000'000'000);
}

}  // namespace
}  // namespace crossval::reports
