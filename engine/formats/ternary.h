#pragma once
// What the ternary formats have in common. Each of them is two functions in a namespace of its own,
//   void encode(weights, shape, scale, tensor)    float decode(tensor, shape, weights)
// over a whole tensor: weights -1, 0, +1, row after row, and the one scale of the matrix. Plain loops: they
// run once for each tensor that is written or loaded. Bytes that no such matrix can have are an InputError
// that says what is wrong with them; sizes that do not fit are the caller's mistake, std::invalid_argument.

#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace bitnet {

/// `rows` rows of `cols` weights.
struct TernaryShape {
  std::uint64_t cols = 0;
  std::uint64_t rows = 0;
  std::uint64_t elements() const { return cols * rows; }
};

namespace ternary {

/// Throws std::invalid_argument unless there are weights for the shape, `bytes` for it in the format, and
/// whole blocks of `block` elements in each row.
void require_sizes(const char* format, TernaryShape shape, std::uint64_t block, std::size_t weights,
                   std::size_t bytes, std::uint64_t expected_bytes);

/// Throws std::invalid_argument unless every weight is -1, 0 or +1.
void require_ternary(const char* format, std::span<const std::int8_t> weights);

bool all_zero(std::span<const std::int8_t> weights);

/// "row 3, column 128"
std::string place_text(TernaryShape shape, std::uint64_t element);

/// Names the first weight from element `from` on that is none: one whose code no quantizer writes.
[[noreturn]] void fail_invalid(TernaryShape shape, std::span<const std::int8_t> weights, std::uint64_t from);

/// As that, where any weight from element `from` on is above 1, as codes that stand for nothing come out.
void require_valid(TernaryShape shape, std::span<const std::int8_t> weights, std::uint64_t from = 0);

/// The one scale of a matrix in a format that has one for each row or block. Where all weights are zero the
/// scale says nothing and may be anything.
class CommonScale {
 public:
  explicit CommonScale(TernaryShape shape) : shape_(shape) {}

  /// The scale of some weights, of which `element` is the first. Throws InputError when it differs from that
  /// of others.
  void add(float scale, std::uint64_t element);

  /// 0 where no weight was anything but zero.
  float value() const { return scale_.value_or(0.0f); }

 private:
  TernaryShape shape_;
  std::optional<float> scale_;
  std::uint64_t first_ = 0;  // the element whose scale it is
};

}  // namespace ternary
}  // namespace bitnet
