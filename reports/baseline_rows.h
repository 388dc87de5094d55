#pragma once
// A run against its baseline, as the renderings show it.

#include <string>
#include <vector>

#include "reports/report.h"

namespace crossval::reports {

/// The rows to show, what became worse first, then what changed, then what stayed.
std::vector<const BaselineRow*> ordered_rows(const BaselineReport& baseline);

/// "26.8 tokens/s", "1.2e-09", "84 answers".
std::string amount(const BaselineRow& row, double value);

/// "−25.0 %"; empty where there is no such figure.
std::string change(const BaselineRow& row);

}  // namespace crossval::reports
