#pragma once
// Ternary matrices decoded and encoded by several threads, each a band of rows that its cache holds.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/formats/ternary_rows.h"
#include "engine/gguf/ternary_tensor.h"
#include "engine/kernels/thread_pool.h"

namespace bitnet {

class TernaryWorkers {
 public:
  explicit TernaryWorkers(int threads = physical_cores());

  /// Takes some weights and the element that is the first of them. Called by several threads at once, for
  /// other elements each; all are given at least once.
  using Take = std::function<void(std::span<const std::int8_t> weights, std::uint64_t first)>;

  /// As gguf::decode_ternary, the weights handed out in pieces. Returns the scale.
  float decode(const gguf::File& file, const gguf::Tensor& tensor, const gguf::TernaryOptions& options,
               const Take& take);

  /// As encode_ternary. The bytes of `tensor` must be zero.
  void encode(const TernaryFormat& format, std::span<const std::int8_t> weights, TernaryShape shape,
              float scale, std::span<std::byte> tensor);

 private:
  struct Scratch {
    std::vector<std::byte> bytes;
    std::vector<std::int8_t> weights;
  };

  // work(rows, scratch) for bands of rows; whether it threw for none.
  template <class Work>
  bool for_each_band(const TernaryFormat& format, TernaryShape shape, Work work);

  ThreadPool pool_;
  std::vector<Scratch> scratch_;  // of each thread
};

}  // namespace bitnet
