#pragma once
// Which layout the I2_S tensors of a model have, weighed by running it: `bitnet inspect --layout auto`, with
// --logits against what another engine made of it.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/formats/i2s_layout.h"

namespace bitnet {

/// How a model read in one layout takes some built-in sentences, or agrees with recorded logits.
struct LayoutReading {
  I2sLayout layout = I2sLayout::x86;
  double nats_per_token = 0;  // ln of its perplexity
  double worst_cosine = 0;    // of any recorded row
};

struct LayoutFinding {
  std::optional<I2sLayout> layout;      // nothing: it could not be determined
  std::string because;                  // one line
  std::vector<LayoutReading> readings;  // the likeliest first; none where the file itself names its layout
  bool recorded = false;                // cosines against recorded logits, not likelihoods of sentences
};

/// Loads the model in each layout and reads them. One layout is found where they are likelier in it than by
/// chance, and likelier than in any other by many standard errors. Throws InputError where the model does not
/// load in any.
LayoutFinding find_layout(const std::filesystem::path& model);

/// The same with a trace of the same model: one layout is found where every recorded row of logits has a
/// cosine of 0.999 in it and not in any other.
LayoutFinding find_layout(const std::filesystem::path& model, const std::filesystem::path& trace);

}  // namespace bitnet
