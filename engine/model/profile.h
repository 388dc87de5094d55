#pragma once
// What the operations of the forward pass cost, by kind: who wants to know hands Operations a Profile;
// without one no clock is read.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace bitnet {

/// Kinds of work. What the forward pass does besides them is the rest of its time.
enum class Work : std::uint8_t {
  embedding,
  norm,
  quantize,
  attn_q,
  attn_k,
  attn_v,
  attn_output,
  ffn_gate,
  ffn_up,
  ffn_down,
  rope,
  cache,        // keys and values laid into their pages
  scores,       // of attention
  softmax,      // of attention
  context,      // of attention
  elementwise,  // activation, sums, products, rounding to binary16
  head,         // in full, with its arg max
  screen,       // of the head: bounds of every logit
  exact_rows,   // of the head: those that the screen left
};
inline constexpr std::size_t kWorks = static_cast<std::size_t>(Work::exact_rows) + 1;
std::string_view to_string(Work work);

/// The least that a piece of work can cost: each operand read once, each result written once; a product and
/// the addition that takes it count as two operations.
struct Amount {
  std::int64_t bytes = 0;
  std::int64_t int_operations = 0;    // on int8, or int16 where the activations of a screen have it
  std::int64_t float_operations = 0;  // an exponential counts as 12

  Amount& operator+=(const Amount& other) {
    bytes += other.bytes;
    int_operations += other.int_operations;
    float_operations += other.float_operations;
    return *this;
  }
};

struct WorkCost {
  std::int64_t calls = 0;
  double seconds = 0;
  Amount amount;
};

/// Filled by one Operations at a time. Adding allocates nothing.
class Profile {
 public:
  using Clock = std::chrono::steady_clock;
  using Duration = Clock::duration;

  /// For a pool of so many threads.
  explicit Profile(int threads) : laps_(static_cast<std::size_t>(threads)) {}

  const WorkCost& operator[](Work work) const { return costs_[static_cast<std::size_t>(work)]; }
  void add(Work work, Duration duration, const Amount& amount) {
    WorkCost& cost = costs_[static_cast<std::size_t>(work)];
    ++cost.calls;
    cost.seconds += std::chrono::duration<double>(duration).count();
    cost.amount += amount;
  }

  /// The three steps of attention follow each other within a chunk of work, so each worker times its own.
  static constexpr std::array kSteps = {Work::scores, Work::softmax, Work::context};
  struct alignas(64) Laps {
    std::array<Duration, kSteps.size()> steps{};
  };
  Laps& laps(int worker) { return laps_[static_cast<std::size_t>(worker)]; }
  /// Divides the time of an attention among its steps as the workers' laps say, and clears those.
  void add_steps(Duration duration, const std::array<Amount, kSteps.size()>& amounts);

 private:
  std::array<WorkCost, kWorks> costs_{};
  std::vector<Laps> laps_;  // by worker
};

/// Times its own scope as one call of a kind of work, where there is a profile.
class Timed {
 public:
  Timed(Profile* profile, Work work, const Amount& amount) : profile_(profile), work_(work), amount_(amount) {
    if (profile_) start_ = Profile::Clock::now();
  }
  ~Timed() {
    if (profile_) profile_->add(work_, Profile::Clock::now() - start_, amount_);
  }
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;

 private:
  Profile* profile_;
  Work work_;
  Amount amount_;
  Profile::Clock::time_point start_;
};

/// Times one worker's steps of attention, where there is a profile: each call of done() ends a step.
class StepTimer {
 public:
  StepTimer(Profile* profile, int worker) : laps_(profile ? &profile->laps(worker) : nullptr) {
    if (laps_) start_ = Profile::Clock::now();
  }
  void done(Work step) {
    if (!laps_) return;
    const auto now = Profile::Clock::now();
    laps_->steps[static_cast<std::size_t>(step) - static_cast<std::size_t>(Work::scores)] += now - start_;
    start_ = now;
  }

 private:
  Profile::Laps* laps_;
  Profile::Clock::time_point start_;
};

}  // namespace bitnet
