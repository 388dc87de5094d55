#pragma once
// The operations of the forward pass over rows of activations: kernels, threads and scratch memory put
// together. The forward pass and the evaluation of single operations both go through these, so they cannot
// differ.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/kernels/counted_kernels.h"
#include "engine/kernels/thread_pool.h"
#include "engine/model/backoff.h"
#include "engine/model/config.h"
#include "engine/model/profile.h"
#include "engine/model/rope_table.h"
#include "engine/model/screened_head.h"
#include "engine/model/weights.h"

namespace bitnet {

/// Where the keys and values of one row's sequence lie, and how many cells the row sees.
struct VisibleCells {
  const f16* const* keys = nullptr;
  const f16* const* values = nullptr;
  std::int64_t cells = 0;
};

/// What greedy decisions of the head have cost so far.
struct HeadWork {
  std::int64_t tokens = 0;     // decided
  std::int64_t screened = 0;   // of them by the screen, without the full head
  std::int64_t survivors = 0;  // rows multiplied exactly for those
  std::int64_t bytes = 0;      // of weights read for all tokens, screen and head
  std::int64_t screens = 0;    // times the screen was made: 0 or 1
  std::int64_t screen_bytes = 0;
  double screen_seconds = 0;
};

/// Not for use from several threads at once (it has one set of scratch memory). Rows are dense.
class Operations {
 public:
  Operations(const Config& config, const Weights& weights, const Kernels& kernels, int threads,
             RopeTable rope, std::span<const int> cpus = {});

  /// Has all weights at hand that every token reads, so that the first one does not have to wait for them.
  void populate_weights();

  const Kernels& kernels() const { return kernels_.table(); }
  /// Adds how often each kernel was taken so far: once for each operation that it did, all rows together.
  void add_kernels(KernelCounts& counts) const;
  int threads() const { return pool_.threads(); }

  void embed(std::span<const std::int32_t> tokens, float* y);  // [T][n_embd]
  void norm(const float* x, std::int64_t rows, std::span<const float> weight,
            float* y);                                               // [T][weight.size()]
  void quantize(const float* x, std::int64_t rows, std::int64_t n);  // input of the products that follow
  void project(const Projection& p, float* y, Work work);            // [T][rows], of the rows quantized last
  void rope(float* x, std::int64_t heads, std::span<const std::int32_t> positions);  // [T][heads*hd]
  void to_f16(const float* x, std::int64_t n, f16* y);
  /// f(row) for each row, shared out among the threads.
  template <class F>
  void for_each_row(std::int64_t rows, F&& f) {
    pool_.parallel_for(rows, 1, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t row = begin; row < end; ++row) f(static_cast<std::size_t>(row));
    });
  }
  /// The attention of all heads; q and context are [T][H*hd]. One pass per row and head, nothing kept.
  void attention(const f16* q, std::span<const VisibleCells> rows, float* context);
  /// The same in three steps whose results can be seen: scores and probabilities are, row after row,
  /// [H][cells]; row i begins at offsets[i].
  void scores(const f16* q, std::span<const VisibleCells> rows, std::span<const std::int64_t> offsets,
              float* kq);
  void softmax(float* kq, std::span<const VisibleCells> rows, std::span<const std::int64_t> offsets);
  void context(const float* p, std::span<const VisibleCells> rows, std::span<const std::int64_t> offsets,
               float* context);
  void activate(const float* gate, std::int64_t n, float* y);
  void add(const float* a, const float* b, std::int64_t n, float* y);
  void mul(const float* a, const float* b, std::int64_t n, float* y);
  void head(const float* x, std::int64_t rows, float* logits);  // [T][n_vocab]
  /// The arg max of what head() gives for each row, by a screen of the head where there is one.
  void head_argmax(const float* x, std::span<Pick> picks);
  /// After so many tokens that the full head decided, head_argmax() makes a screen of a head of at least
  /// min_bytes; tokens below 0: never.
  void screen_after(std::int64_t tokens, std::int64_t min_bytes) {
    screen_after_ = tokens;
    screen_min_bytes_ = min_bytes;
  }
  const HeadWork& head_work() const { return head_work_; }
  /// Where operations are recorded from now on; nullptr: nowhere. It must be made for as many threads.
  void record(Profile* profile) { profile_ = profile; }
  Profile* profile() const { return profile_; }

 private:
  // Neighbouring rows of one sequence, whose queries are taken together.
  struct RowGroup {
    std::size_t first;
    std::int64_t rows;
  };
  // Query heads of one KV head, in a group of rows.
  struct Heads {
    const VisibleCells& cells;  // of the first row
    QueryGroup group;
    std::size_t row;         // the first
    std::int64_t head;       // the first
    std::int64_t at;         // of its channels in q and context
    std::int64_t kv_offset;  // of the KV head's channels in a row of keys or values
    int worker;
  };
  bool screened_argmax(const float* x, std::span<Pick> picks);
  void group_rows(std::span<const VisibleCells> rows, std::int64_t most);
  template <class F>
  void for_each_group(std::span<const VisibleCells> rows, std::int64_t most, F&& f);

  const Config& config_;
  const Weights& weights_;
  CountedKernels kernels_;
  ThreadPool pool_;
  RopeTable rope_;
  float kq_scale_;  // 1 / sqrt(hd)

  std::vector<std::int8_t> codes_;          // what follows lies in them
  std::int8_t* quantized_codes_ = nullptr;  // [T][n]: the rows quantized last
  std::vector<float> scales_;               // [T]
  std::vector<std::int32_t> sums_;          // [T]
  std::int64_t quantized_rows_ = 0;
  std::int64_t quantized_width_ = 0;
  // The head's input, [T][n_embd], in the form that its type takes.
  std::vector<f16> half_;
  std::vector<ActivationBlock> blocks_;
  std::vector<std::vector<float>> scores_;  // per worker: [rows * heads of a group][cells]
  std::vector<RowGroup> groups_;
  std::vector<float> logits_;  // [T][n_vocab]: of the full head, where it decides
  std::optional<ScreenedHead> screen_;
  std::int64_t screen_after_ = -1;
  std::int64_t screen_min_bytes_ = 0;
  Backoff screen_pays_;
  HeadWork head_work_;
  Profile* profile_ = nullptr;
};

}  // namespace bitnet
