#pragma once
// Which layout the I2_S tensors of a model have, weighed by running it: `bitnet inspect --layout auto`.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/formats/i2s_layout.h"

namespace bitnet {

/// How a model read in one layout takes some built-in sentences.
struct LayoutReading {
  I2sLayout layout = I2sLayout::x86;
  double nats_per_token = 0;  // ln of its perplexity
};

struct LayoutFinding {
  std::optional<I2sLayout> layout;      // nothing: it could not be determined
  std::string because;                  // one line
  std::vector<LayoutReading> readings;  // the likeliest first; none where the file itself names its layout
};

/// Loads the model in each layout and reads them. One layout is found where they are likelier in it than by
/// chance, and likelier than in any other by many standard errors. Throws InputError where the model does not
/// load in any.
LayoutFinding find_layout(const std::filesystem::path& model);

}  // namespace bitnet
