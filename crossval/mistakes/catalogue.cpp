#include "crossval/mistakes/catalogue.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "engine/error.h"

namespace crossval {

// Compiled from fixtures/faults (CMakeLists.txt).
extern const char kCatalogueJson[];
extern const char kWitnessJson[];

namespace {

CatalogueEntry read_entry(const nlohmann::json& value) {
  CatalogueEntry entry;
  entry.fault.name = value.at("name");
  entry.fault.mistake = value.at("mistake");
  if (value.contains("tap")) {
    // A tap without its layer: that of layer 0 has the same base name.
    const std::string name = value.at("tap");
    for (int t = 0; t < bitnet::kTapCount; ++t)
      if (bitnet::base_name(static_cast<bitnet::Tap>(t)) == name)
        entry.fault.tap = static_cast<bitnet::Tap>(t);
    if (!entry.fault.tap)
      throw std::logic_error("catalogue.json: " + entry.fault.name + ": no tap is called " + name);
  }
  if (value.contains("layer")) entry.fault.layer = value.at("layer").get<int>();
  if (value.at("precedent").is_string()) entry.precedent = value.at("precedent");
  entry.blamed = value.at("blamed");
  const nlohmann::json& witness = value.at("witness");
  entry.model = witness.at("model");
  entry.cases = witness.at("case");
  entry.reference_batch = witness.value("reference_batch", std::int64_t{1});
  entry.exact_gates = witness.value("gates", "default") == "exact";
  return entry;
}

}  // namespace

const std::vector<CatalogueEntry>& catalogue() {
  static const std::vector<CatalogueEntry> kEntries = [] {
    std::vector<CatalogueEntry> entries;
    const nlohmann::json document = nlohmann::json::parse(kCatalogueJson);
    for (const nlohmann::json& value : document.at("faults")) entries.push_back(read_entry(value));
    return entries;
  }();
  return kEntries;
}

const CatalogueEntry& fault_named(std::string_view name) {
  const auto it =
      std::ranges::find_if(catalogue(), [&](const CatalogueEntry& e) { return e.fault.name == name; });
  if (it != catalogue().end()) return *it;
  std::string known;
  for (const CatalogueEntry& e : catalogue()) known.append(known.empty() ? "" : ", ").append(e.fault.name);
  throw bitnet::InputError("--inject " + std::string(name.substr(0, 60)) +
                           ": no fault has this name; there are " + known);
}

std::string_view witness_suite() {
  return kWitnessJson;
}

}  // namespace crossval
