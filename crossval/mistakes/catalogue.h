#pragma once
// The catalogue of faults (fixtures/faults/catalogue.json, compiled in): mistakes that happened or could
// happen, where each is planted, who shows it and whom it must be blamed on.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "crossval/mistakes/planted.h"

namespace crossval {

struct CatalogueEntry {
  Fault fault;
  std::string precedent;  // where it happened or how it comes about; may be empty
  std::string blamed;     // the operation, or "tokens"
  // Who shows it: a model of selftest/witness_models.h, and cases of fixtures/faults/witness.json.
  std::string model;
  std::string cases;                 // glob
  std::int64_t reference_batch = 1;  // tokens per evaluation
  bool exact_gates = false;          // needs gates that allow no differing bit
};

const std::vector<CatalogueEntry>& catalogue();
/// Throws InputError that lists the names.
const CatalogueEntry& fault_named(std::string_view name);

/// The catalogue's suite of witnesses, as JSON.
std::string_view witness_suite();

}  // namespace crossval
