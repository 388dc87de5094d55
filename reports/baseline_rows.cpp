#include "reports/baseline_rows.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "reports/failure_text.h"

namespace crossval::reports {

std::vector<const BaselineRow*> ordered_rows(const BaselineReport& baseline) {
  constexpr std::array kOrder = {"worse", "not compared", "within noise", "better", "same"};
  const auto rank = [&](const BaselineRow* row) {
    return std::ranges::find(kOrder, row->verdict) - kOrder.begin();
  };
  std::vector<const BaselineRow*> rows;
  rows.reserve(baseline.rows.size());
  for (const BaselineRow& row : baseline.rows) rows.push_back(&row);
  std::ranges::stable_sort(rows, {}, rank);
  return rows;
}

std::string amount(const BaselineRow& row, double value) {
  if (row.unit == "error") return error_figure(value);
  char text[64];
  std::snprintf(text, sizeof text, "%.4g", value);
  return std::string(text) + " " + row.unit;
}

std::string change(const BaselineRow& row) {
  const double percent = 100 * (row.now / row.base - 1);
  if (!std::isfinite(percent)) return {};
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", std::abs(percent));
  return (percent < 0 ? "−" : "+") + std::string(text);
}

}  // namespace crossval::reports
