#include "crossval/run/noise_json.h"

namespace crossval {

nlohmann::json to_json(const SelfNoise& noise) {
  nlohmann::json taps = nlohmann::json::object();
  for (std::size_t i = 0; i < noise.taps.size(); ++i)
    taps[std::string(bitnet::base_name(static_cast<bitnet::Tap>(i)))] = {noise.taps[i].cosine,
                                                                         noise.taps[i].norm};
  return {{"taps", taps}, {"logit", noise.logit}};
}

SelfNoise noise_from_json(const nlohmann::json& json) {
  SelfNoise noise;
  noise.measured = true;
  for (std::size_t i = 0; i < noise.taps.size(); ++i) {
    const auto& pair = json.at("taps").at(std::string(bitnet::base_name(static_cast<bitnet::Tap>(i))));
    noise.taps[i] = {pair.at(0).get<double>(), pair.at(1).get<double>()};
  }
  noise.logit = json.at("logit").get<double>();
  return noise;
}

}  // namespace crossval
