#include "engine/model/ternary_workers.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <exception>
#include <mutex>
#include <optional>

namespace bitnet {
namespace {

// Weights of a band: few enough for a cache, enough to be worth a turn.
constexpr std::uint64_t kBandElements = 1 << 17;

/// The one scale of bands that have one each; that of a band of zeros says nothing.
class BandScale {
 public:
  void add(float scale, bool zero) {
    const std::scoped_lock lock(mutex_);
    std::optional<float>& known = zero ? of_zeros_ : scale_;
    if (known && std::bit_cast<std::uint32_t>(*known) != std::bit_cast<std::uint32_t>(scale)) differ_ = true;
    known = scale;
  }

  /// Nothing where they differ or are no numbers.
  std::optional<float> value() const {
    const std::optional<float>& scale = scale_ ? scale_ : of_zeros_;
    if (differ_ || !scale || !std::isfinite(*scale)) return std::nullopt;
    return scale;
  }

 private:
  std::mutex mutex_;
  std::optional<float> scale_;
  std::optional<float> of_zeros_;
  bool differ_ = false;
};

}  // namespace

TernaryWorkers::TernaryWorkers(int threads)
    : pool_(threads), scratch_(static_cast<std::size_t>(pool_.threads())) {}

template <class Work>
bool TernaryWorkers::for_each_band(const TernaryFormat& format, TernaryShape shape, Work work) {
  const std::uint64_t together = rows_together(format, shape);
  const std::uint64_t rows = std::max<std::uint64_t>(1, kBandElements / (shape.cols * together)) * together;
  const auto bands = static_cast<std::int64_t>((shape.rows + rows - 1) / rows);
  std::atomic<bool> whole = true;
  pool_.parallel_for(bands, 1, [&](std::int64_t begin, std::int64_t end, int worker) {
    for (std::int64_t band = begin; band < end; ++band) {
      const std::uint64_t first = static_cast<std::uint64_t>(band) * rows;
      const TernaryRows part = {first, std::min(rows, shape.rows - first)};
      try {
        work(part, scratch_[static_cast<std::size_t>(worker)]);
      } catch (const std::exception&) {
        whole = false;
      }
    }
  });
  return whole;
}

float TernaryWorkers::decode(const gguf::File& file, const gguf::Tensor& tensor,
                             const gguf::TernaryOptions& options, const Take& take) {
  const TernaryFormat format = gguf::ternary_format(file, tensor, options);
  const TernaryShape shape = gguf::ternary_shape(tensor);
  BandScale scale;
  const bool sound = for_each_band(format, shape, [&](TernaryRows rows, Scratch& scratch) {
    const TernaryShape part = {shape.cols, rows.count};
    cut_rows(format, tensor.data, shape, rows, scratch.bytes);
    scratch.weights.resize(part.elements());
    const float own = decode_ternary(format, scratch.bytes, part, scratch.weights);
    scale.add(own, ternary::all_zero(scratch.weights));
    take(scratch.weights, rows.first * shape.cols);
  });
  if (sound && scale.value()) return *scale.value();
  // Some rows are no ternary matrix by themselves. Whether the whole is one, and what is wrong where, its
  // decoder says.
  const gguf::TernaryWeights w = gguf::decode_ternary(file, tensor, options);
  take(w.weights, 0);
  return w.scale;
}

void TernaryWorkers::encode(const TernaryFormat& format, std::span<const std::int8_t> weights,
                            TernaryShape shape, float scale, std::span<std::byte> tensor) {
  const bool sound = for_each_band(format, shape, [&](TernaryRows rows, Scratch& scratch) {
    const TernaryShape part = {shape.cols, rows.count};
    scratch.bytes.resize(tensor_bytes(format.type, part.cols, part.rows).value());
    encode_ternary(format, weights.subspan(rows.first * shape.cols, part.elements()), part, scale,
                   scratch.bytes);
    put_rows(format, scratch.bytes, shape, rows, tensor);
  });
  // A matrix that the format cannot hold: the whole one's encoder says why.
  if (!sound) encode_ternary(format, weights, shape, scale, tensor);
}

}  // namespace bitnet
