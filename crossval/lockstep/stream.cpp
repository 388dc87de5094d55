#include "crossval/lockstep/stream.h"

#include <chrono>

#include "crossval/errors.h"

namespace crossval {
namespace {

// About one layer of taps.
constexpr std::size_t kQueueLength = 24;

struct Cancelled {};

}  // namespace

Stream::Stream(Participant& participant, std::span<const Token> tokens, std::function<bool(TapId)> wanted)
    : name_(participant.identity().name) {
  thread_ = std::thread(
      [this, &participant, tokens, wanted = std::move(wanted)] { run(participant, tokens, wanted); });
}

Stream::~Stream() {
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Stream::run(Participant& participant, std::span<const Token> tokens,
                 const std::function<bool(TapId)>& wanted) {
  const auto start = std::chrono::steady_clock::now();
  std::exception_ptr error;
  try {
    participant.eval(tokens, wanted, [this](Tensor&& tensor) { push(std::move(tensor)); });
  } catch (const Cancelled&) {
  } catch (...) {
    error = std::current_exception();
  }
  {
    const std::lock_guard lock(mutex_);
    seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    error_ = error;
    ended_ = true;
  }
  changed_.notify_all();
}

void Stream::push(Tensor&& tensor) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return cancelled_ || queue_.size() < kQueueLength; });
  if (cancelled_) throw Cancelled{};
  queue_.push_back(std::move(tensor));
  lock.unlock();
  changed_.notify_all();
}

std::optional<Tensor> Stream::pop() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return ended_ || !queue_.empty(); });
  if (queue_.empty()) {
    if (error_) std::rethrow_exception(error_);
    return std::nullopt;
  }
  Tensor tensor = std::move(queue_.front());
  queue_.pop_front();
  lock.unlock();
  changed_.notify_all();
  return tensor;
}

std::optional<Tensor> Stream::next() {
  return pop();
}

Tensor Stream::take(TapId id) {
  if (auto node = aside_.extract(id); !node.empty()) return std::move(node.mapped());
  while (auto tensor = pop()) {
    if (tensor->id == id) return std::move(*tensor);
    const TapId other = tensor->id;
    aside_.insert_or_assign(other, std::move(*tensor));
  }
  throw Incomparable(name_ + " promised the tap " + bitnet::to_string(id) + " but did not show it");
}

void Stream::finish() {
  while (auto tensor = pop()) {
    const TapId id = tensor->id;
    aside_.insert_or_assign(id, std::move(*tensor));
  }
}

}  // namespace crossval
