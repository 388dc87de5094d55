#pragma once
// For an attempt that may not pay: where it failed once it will probably fail again, so that after each
// failure it is left out for a while, longer each time.

#include <algorithm>

namespace bitnet {

class Backoff {
 public:
  /// Whether to try this time.
  bool ready() {
    if (left_out_ == 0) return true;
    --left_out_;
    return false;
  }
  void succeeded() { next_ = 1; }
  void failed() {
    left_out_ = next_;
    next_ = std::min(2 * next_, 64);
  }

 private:
  int left_out_ = 0;  // times
  int next_ = 1;      // after the next failure
};

}  // namespace bitnet
