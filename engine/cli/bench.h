#pragma once
// `bitnet bench`: tokens per second of prefill and decode.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/kernels/limits.h"
#include "engine/model/context.h"
#include "engine/model/model.h"

namespace bitnet {

struct BenchOptions {
  std::string isa;
  int threads = 0;                   // 0: physical cores
  bool pin = false;                  // threads to physical cores
  std::int64_t prompt_tokens = 512;  // P; 0: no prefill
  std::int64_t gen_tokens = 64;      // G; 0: no decode
  std::int64_t depth = 0;            // D: tokens in the cache when decoding begins
  int sequences = 1;                 // S: decoded side by side
  int repetitions = 5;               // R
  bool full_head = false;            // decode without the screen of the head
  bool profile = false;              // what each kind of work costs, against the limits
  bool limits = false;               // what the machine can do at most, measured afterwards
};

/// The counted repetitions of prefill, or of decode, taken apart.
struct PhaseProfile {
  explicit PhaseProfile(int threads) : work(threads) {}
  Profile work;
  double seconds = 0;  // of the whole phase
};

struct BenchResult {
  std::string isa;
  int threads = 0;
  std::vector<double> prefill;  // tokens per second, one figure per repetition
  std::vector<double> decode;   // the same, summed over the sequences
  HeadWork head;                // of the counted decode runs; the screen is made while warming up
  std::int64_t body_bytes = 0;  // of the layers' weights, which each step of decoding reads once
  std::int64_t peak_rss_bytes = 0;
  std::optional<PhaseProfile> prefill_profile;  // when asked for, and there was such a phase
  std::optional<PhaseProfile> decode_profile;
  std::optional<Limits> limits;  // when asked for, or with a profile

  bool screened() const { return head.screens > 0; }
  /// Rows of the head that each token decided by the screen multiplied exactly; 0 where there are none.
  double survivors_per_token() const;
  /// Weights read for one token of the counted decode runs: layers, screen and head; 0 without such runs.
  double bytes_per_token(int sequences) const;
};

/// One repetition to warm up, then the counted ones. Throws InputError when the context cannot hold what is
/// asked for.
BenchResult bench(const Model& model, const BenchOptions& options);

double median(std::vector<double> values);

}  // namespace bitnet
