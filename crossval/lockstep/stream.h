#pragma once
// The tensors of one evaluation, produced on a thread of their own and taken as they come.

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "reference/participant.h"

namespace crossval {

/// Starts `participant.eval` at once. Holds a bounded number of tensors: the participant waits when it is
/// ahead, so memory is needed for about one layer, not for a model. Tensors that come before their turn are
/// kept aside.
class Stream {
 public:
  /// `tokens` and `participant` must outlive the stream.
  Stream(Participant& participant, std::span<const Token> tokens, std::function<bool(TapId)> wanted);
  /// Stops the evaluation where it is, if it has not ended.
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  /// The next tensor in the participant's order; nothing when the evaluation has ended. Rethrows its
  /// exception.
  std::optional<Tensor> next();
  /// This tensor, whenever it comes. Throws Incomparable when the evaluation ends without it.
  Tensor take(TapId id);
  /// Waits for the end. Rethrows the evaluation's exception.
  void finish();
  /// Seconds that the evaluation took, once finished (time spent waiting for the comparison included).
  double seconds() const { return seconds_; }

 private:
  void run(Participant& participant, std::span<const Token> tokens, const std::function<bool(TapId)>& wanted);
  void push(Tensor&& tensor);
  std::optional<Tensor> pop();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Tensor> queue_;
  std::map<TapId, Tensor> aside_;
  bool ended_ = false;
  bool cancelled_ = false;
  std::exception_ptr error_;
  double seconds_ = 0;
  std::string name_;
  std::thread thread_;
};

}  // namespace crossval
