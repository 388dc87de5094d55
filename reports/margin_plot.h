#pragma once
// How close the tokens came to flipping: for each step the reference's top-2 margin against the largest
// difference of one logit, counted in a logarithmic grid, with the flips kept one by one.

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace crossval::reports {

struct MarginPoint {
  double margin = 0;
  double difference = 0;  ///< the largest absolute difference of one logit
  std::uint32_t case_index = 0;
  std::int64_t step = 0;
  bool explained = true;  ///< of a flip
};

class MarginPlot {
 public:
  /// Decades from 10^-12 to 10^4, four bins each; smaller figures (0 too) fall into the first, larger into
  /// the last, and NaN counts as the worst of its axis.
  static constexpr int kFirstDecade = -12;
  static constexpr int kLastDecade = 4;
  static constexpr int kBinsPerDecade = 4;
  static constexpr int kBins = (kLastDecade - kFirstDecade) * kBinsPerDecade;
  static constexpr std::size_t kMaxFlips = 500;

  void add(double margin, double difference);
  void add_flip(const MarginPoint& flip);

  std::uint64_t count(int margin_bin, int difference_bin) const {
    return counts_[static_cast<std::size_t>(margin_bin) * kBins + static_cast<std::size_t>(difference_bin)];
  }
  std::uint64_t total() const { return total_; }
  /// The first kMaxFlips of them.
  const std::vector<MarginPoint>& flips() const { return flips_; }

 private:
  std::array<std::uint32_t, static_cast<std::size_t>(kBins) * kBins> counts_{};
  std::uint64_t total_ = 0;
  std::vector<MarginPoint> flips_;
};

}  // namespace crossval::reports
