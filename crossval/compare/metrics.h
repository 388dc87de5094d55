#pragma once
// How far one row of values is from another. All sums in double (design.md 5).

#include <cstdint>
#include <span>

namespace crossval {

struct RowMetrics {
  double cosine = 1;
  double nmse = 0;        // sum (got - expected)^2 / sum expected^2
  double norm_ratio = 1;  // |got| / |expected|
  double max_abs = 0;     // greatest |got - expected| ...
  std::int64_t at = 0;    // ... and its column
  float got = 0;          // both values there
  float expected = 0;
  double cosine_trimmed = 1;  // cosine without the column of the largest |expected|: one outlier hides much
  std::int64_t bits = 0;      // values that differ in any bit
};

/// Rows of equal length. Rows equal in every bit count as cosine 1; a row that is zero on one side only gets
/// cosine 0; a value that is not finite, on either side, makes cosine, NMSE and norm ratio NaN, so that every
/// gate fails.
RowMetrics compare_rows(std::span<const float> got, std::span<const float> expected);

/// Two distributions over the vocabulary, from logits.
struct LogitMetrics {
  double kl = 0;  // KL(expected || got), nats
  std::int64_t top1_got = 0;
  std::int64_t top1_expected = 0;
  double margin = 0;        // expected's best logit minus its second best
  double topk_overlap = 1;  // share of the ten best in common
};
LogitMetrics compare_logits(std::span<const float> got, std::span<const float> expected);

}  // namespace crossval
