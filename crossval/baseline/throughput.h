#pragma once
// How fast a participant is, alone: prompts read and tokens generated per second.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "reference/participant.h"

namespace crossval {

/// One kind of work, measured several times.
struct Speed {
  std::string phase;                      // "prefill", "decode"
  std::int64_t tokens = 0;                // of one prompt, or generated behind it
  std::int64_t processed = 0;             // all measurements together
  double seconds = 0;                     // all measurements together
  std::vector<double> tokens_per_second;  // one for each measurement, in their order
};

/// How the measurements go. A measurement repeats the prompt until it lasts long enough to be told from the
/// clock; of slow participants there are fewer.
struct SpeedOptions {
  std::int64_t prompt = 128;
  std::int64_t generated = 32;
  int measurements = 7;
  int fewest = 3;              // however long they take
  double least_seconds = 0.1;  // of prefill and decode each, in a measurement
  double enough_seconds = 60;  // no further measurement is begun
};

/// Prompts are made of `tokens`, over and over; both phases fit `n_ctx`. The first measurement warms up and
/// is not counted. The participant forgets what it knew.
std::vector<Speed> measure_speed(Participant& participant, std::span<const Token> tokens, std::int64_t n_ctx,
                                 SpeedOptions options = {});

/// Takes in further measurements of the same phases.
void add_speeds(std::vector<Speed>& all, const std::vector<Speed>& more);

double median(std::vector<double> values);
/// How far two measurements of the same thing are apart: the greatest over the least, less 1. Of five and
/// more the outermost two are left out: one disturbance of the machine is no noise.
double spread(std::vector<double> values);

}  // namespace crossval
