#include "engine/formats/ternary.h"

#include <algorithm>
#include <charconv>
#include <stdexcept>

#include "engine/error.h"

namespace bitnet::ternary {
namespace {

// The shortest decimal form.
std::string text_of(float value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

}  // namespace

void require_sizes(const char* format, TernaryShape shape, std::uint64_t block, std::size_t weights,
                   std::size_t bytes, std::uint64_t expected_bytes) {
  if (shape.cols % block != 0)
    throw std::invalid_argument(std::string(format) + " packs whole blocks of " + std::to_string(block) +
                                " elements");
  if (weights != shape.elements() || bytes != expected_bytes)
    throw std::invalid_argument(std::string(format) + ": wrong number of weights or bytes");
}

void require_ternary(const char* format, std::span<const std::int8_t> weights) {
  bool bad = false;
  for (const std::int8_t w : weights) bad |= static_cast<std::uint8_t>(w + 1) > 2;
  if (bad) throw std::invalid_argument(std::string(format) + ": weights are -1, 0 or +1");
}

bool all_zero(std::span<const std::int8_t> weights) {
  std::int8_t any = 0;
  for (const std::int8_t w : weights) any = static_cast<std::int8_t>(any | w);
  return any == 0;
}

std::string place_text(TernaryShape shape, std::uint64_t element) {
  return "row " + std::to_string(element / shape.cols) + ", column " + std::to_string(element % shape.cols);
}

void fail_invalid(TernaryShape shape, std::span<const std::int8_t> weights, std::uint64_t from) {
  const auto* bad =
      std::ranges::find_if(weights.subspan(from), [](std::int8_t w) { return w < -1 || w > 1; }).operator->();
  throw InputError("the weight in " + place_text(shape, static_cast<std::uint64_t>(bad - weights.data())) +
                   " has a code that no quantizer writes; the file is damaged or in another layout");
}

void require_valid(TernaryShape shape, std::span<const std::int8_t> weights, std::uint64_t from) {
  bool invalid = false;
  for (const std::int8_t w : weights.subspan(from)) invalid |= w > 1;
  if (invalid) fail_invalid(shape, weights, from);
}

void CommonScale::add(float scale, std::uint64_t element) {
  if (!scale_) {
    scale_ = scale;
    first_ = element;
  }
  // NaN differs from itself, and is refused with a name where scales are checked.
  if (*scale_ == scale || (*scale_ != *scale_ && scale != scale)) return;
  throw InputError("its scales differ: " + text_of(*scale_) + " from " + place_text(shape_, first_) +
                   " and " + text_of(scale) + " from " + place_text(shape_, element) +
                   "; only ternary matrices with one scale for all weights can be run");
}

}  // namespace bitnet::ternary
