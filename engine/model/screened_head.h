#pragma once
// The arg max of a head without reading all of it: bounds of every logit from int8 rows, then the exact
// product for the rows that could still win.
//
// For a weight row w and an activation row x (both binary16, n long) let w = s c + e with int8 codes c, and
// x = a q + d with integer codes q. Then
//     <w, x> = s a <c, q> + <s c, d> + <e, x>,
// where <c, q> is an exact int32 sum and, by Cauchy and Schwarz, |<s c, d>| <= |s c| |d|, |<e, x>| <= |e|
// |x|.
//
// The head's logit is not <w, x> but matmul_f16's sum of the products w_k x_k, which are exact in binary32
// and multiples of 2^-48, so that no addition underflows, and n * 65504^2 is far from overflow. A product
// passes through at most K = n / 64 (steps) + 2 (accumulators) + 4 (fold) + 1 (the final rounding) additions
// in binary32 and up to 63 in double, which round by less than one more of those; with u = 2^-24 the classic
// bound of a sum in any tree of depth K (Higham, Accuracy and Stability, 4.2) is
//     |logit - <w, x>| <= g sum |w_k x_k| <= g |w| |x|,  g = K u / (1 - K u),  K = n / 64 + 8.
// Together:  |logit - s a <c, q>| <= |e| |x| + max(|w|, |s c|) (|d| + g |x|).
// The kernel adds what its own arithmetic rounds (kernels.h: kScreenUp, kScreenWiden, kScreenLeast).
//
// The codes q are of 16 bits, so that |d| hardly counts, or of 8 where so many rows of activations are
// screened that the products take longer than memory does: half the time for some twice the radius, and so
// for more survivors. The bound is the same; which of the two, the survivors decide that it left before.
//
// A row is out when its upper bound is below the greatest lower bound, so the winner and every row that ties
// with it stay. Rows with infinity or NaN have infinite bounds and stay; activations with infinity or NaN,
// and more survivors than pay, are left to the full head.

#include <cstdint>
#include <span>
#include <vector>

#include "engine/kernels/counted_kernels.h"
#include "engine/kernels/huge_pages.h"
#include "engine/kernels/kernels.h"
#include "engine/kernels/thread_pool.h"
#include "engine/model/backoff.h"
#include "engine/model/profile.h"
#include "engine/model/weights.h"

namespace bitnet {

/// The token with the greatest logit; of equal ones the lowest id; NaN never, 0 where all are NaN.
struct Pick {
  std::int32_t token = 0;
  float logit = 0;
};

class ScreenedHead {
 public:
  /// Whether a head can be screened: binary16 rows, not so long that the codes of the activations get coarse.
  static bool possible(const FloatMatrix& head);

  /// The g of above: how far matmul_f16 over n elements may be from the exact sum, in parts of sum |w_k x_k|.
  static double rounding(std::int64_t n);

  /// Makes the screen: reads the whole head once, in all threads of the pool, and takes rows * (cols + 12)
  /// bytes. The head, the kernels and the pool must outlive it. Throws std::bad_alloc.
  ScreenedHead(const FloatMatrix& head, const Kernels& kernels, ThreadPool& pool);

  /// The arg max of each row of x, [picks.size()][cols]. False, and `picks` is unchanged, where the full head
  /// must decide: an activation that is not finite, or more survivors than max_survivors() per row, overall
  /// or in what one thread has seen. Allocates nothing once it has seen as many rows. Recorded in `profile`,
  /// where there is one.
  bool pick(const f16* x, std::span<Pick> picks, Profile* profile = nullptr);

  /// Survivors of all rows together in the last call of pick(), whatever it returned; where there were too
  /// many to note them all, of those noted.
  std::int64_t survivors() const { return survivors_; }
  /// Of head and screen, that call.
  std::int64_t bytes_read() const { return bytes_read_; }
  /// Above an eighth of the rows, scattered reads would cost what the screen saves.
  std::int64_t max_survivors() const { return (head_.rows + 7) / 8; }
  /// Memory of the screen.
  std::int64_t bytes() const { return head_.rows * (head_.cols + 12); }

  /// What it was made and screens with.
  const CountedKernels& kernels() const { return kernels_; }

  /// Codes of activations: int16 or int8.
  enum class Codes : std::uint8_t { wide, narrow };
  /// The bounds of every logit, [rows][head rows] each. False for activations that are not finite.
  bool bounds(const f16* x, std::int64_t rows, Codes codes, float* lower, float* upper);

 private:
  template <class Code>
  struct Activations {
    std::vector<Code> memory;
    Code* codes = nullptr;       // (T, cols), in memory
    std::vector<double> scales;  // (T)
    std::vector<double> norms;   // (T)
    std::vector<double> slacks;  // (T)
    ScreenRows<Code> view(std::int64_t rows) const {
      return {codes, scales.data(), norms.data(), slacks.data(), rows};
    }
  };
  /// A row of the head that may win.
  struct Candidate {
    std::int32_t t;  // row of x
    std::int32_t m;  // row of the head
    float value;     // the upper bound; the logit, once it is known
  };
  /// What one worker finds in its parts of the head.
  struct Found {
    std::vector<float> bounds;    // (2, T, kBlock): lower and upper, of a block of rows
    std::vector<float> greatest;  // (T): lower bounds
    std::vector<Candidate> candidates;
    bool overflow = false;
  };

  template <class Code>
  bool quantize(const f16* x, std::int64_t rows, Activations<Code>& a);
  /// Leaves the survivors of the rows of x in candidates_; false where they are more than `limit`.
  template <class Code>
  bool screen(const f16* x, std::int64_t rows, std::int64_t limit, Activations<Code>& a, Profile* profile);
  template <class Code>
  using BoundsKernel = void (*)(const ScreenMatrix& w, std::int64_t row_begin, std::int64_t row_end,
                                const ScreenRows<Code>& x, float* lower, float* upper, std::int64_t stride);
  template <class Code>
  BoundsKernel<Code> bounds_kernel();
  template <class Code>
  void screen_block(BoundsKernel<Code> kernel, std::int64_t m, std::int64_t count, const ScreenRows<Code>& x,
                    std::size_t limit, Found& found) const;
  bool merge(std::int64_t rows, std::int64_t limit);
  ScreenMatrix rows_from(std::int64_t m) const;

  FloatMatrix head_;
  CountedKernels kernels_;
  ThreadPool& pool_;
  HugePages memory_;
  std::int8_t* codes_;         // (rows, cols), in memory_
  std::vector<float> scales_;  // (rows)
  std::vector<float> errors_;  // (rows)
  std::vector<float> sizes_;   // (rows)

  Activations<std::int16_t> wide_;
  Activations<std::int8_t> narrow_;
  Backoff narrow_pays_;
  std::vector<Found> found_;  // (workers)
  std::vector<Candidate> candidates_;
  std::int64_t survivors_ = 0;
  std::int64_t bytes_read_ = 0;
};

}  // namespace bitnet
