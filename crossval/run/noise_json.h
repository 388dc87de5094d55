#pragma once
// Self-noise in records: {"taps": {"attn_norm": [1 - cosine, abs(norm ratio - 1)], ...}, "logit": x}.

#include <nlohmann/json.hpp>

#include "crossval/lockstep/lockstep.h"

namespace crossval {

nlohmann::json to_json(const SelfNoise& noise);
SelfNoise noise_from_json(const nlohmann::json& json);

}  // namespace crossval
