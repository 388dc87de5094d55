#pragma once
// `bitnet bench`: tokens per second of prefill and decode.

#include <cstdint>
#include <string>
#include <vector>

#include "engine/model/context.h"
#include "engine/model/model.h"

namespace bitnet {

struct BenchOptions {
  std::string isa;
  int threads = 0;                   // 0: physical cores
  std::int64_t prompt_tokens = 512;  // P; 0: no prefill
  std::int64_t gen_tokens = 64;      // G; 0: no decode
  std::int64_t depth = 0;            // D: tokens in the cache when decoding begins
  int sequences = 1;                 // S: decoded side by side
  int repetitions = 5;               // R
};

struct BenchResult {
  std::string isa;
  int threads = 0;
  std::vector<double> prefill;  // tokens per second, one figure per repetition
  std::vector<double> decode;   // the same, summed over the sequences
  std::int64_t peak_rss_bytes = 0;
};

/// One repetition to warm up, then the counted ones. Throws InputError when the context cannot hold what is
/// asked for.
BenchResult bench(const Model& model, const BenchOptions& options);

double median(std::vector<double> values);

}  // namespace bitnet
