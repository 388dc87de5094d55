#include "reports/margin_plot.h"

#include <algorithm>
#include <cmath>

namespace crossval::reports {
namespace {

int bin_of(double value, int if_nan) {
  if (std::isnan(value)) return if_nan;
  if (!(value > 0)) return 0;
  const double bin = std::floor((std::log10(value) - MarginPlot::kFirstDecade) * MarginPlot::kBinsPerDecade);
  return static_cast<int>(std::clamp(bin, 0.0, static_cast<double>(MarginPlot::kBins - 1)));
}

}  // namespace

void MarginPlot::add(double margin, double difference) {
  const int x = bin_of(margin, 0);
  const int y = bin_of(difference, kBins - 1);
  ++counts_[static_cast<std::size_t>(x) * kBins + static_cast<std::size_t>(y)];
  ++total_;
}

void MarginPlot::add_flip(const MarginPoint& flip) {
  if (flips_.size() < kMaxFlips) flips_.push_back(flip);
}

}  // namespace crossval::reports
