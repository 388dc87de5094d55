#pragma once
// A failed comparison computed again from its bundle, without the model and without whoever was compared.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "crossval/replay/bundle.h"
#include "crossval/verdict.h"

namespace crossval {

/// A row of outputs against another, and what the gates say.
struct Held {
  Measured measured;
  Judgement judgement;  // its gate is one of the bundle's
};

struct Replayed {
  Verdict verdict{};                // PASS: what is held agrees with the evaluator now
  std::string who;                  // "candidate wrong", ...; empty where nobody is
  bool rerun = false;               // held is what our engine makes of the inputs here, not what was recorded
  Held held;                        // against the evaluator, here
  std::int64_t evaluator_bits = 0;  // values of the evaluator that are others here than recorded
  std::string isa;                  // of the engine here
  Held engine;                      // the engine against the evaluator, both here
  std::int64_t engine_shown_bits =
      0;                        // values in which the engine differs from what was recorded of the side
  std::optional<Held> arbiter;  // what is held against the arbiter, here
};

/// `isa`: kernels of the engine; empty: those of the bundle where this machine has them, else its best. What
/// is held is the recorded output; but the engine's of today where the accused is our engine, showed then
/// what the operation computes by itself, and runs here with the kernels that it had or with those asked for.
/// The bundle must outlive the result. Throws InputError for a bundle that no model can hold and for unknown
/// kernels.
Replayed replay(const Bundle& bundle, const std::string& isa = {});

/// For people: verdict, what was held, its figures and who else was asked; one fact a line.
std::string text_of(const Bundle& bundle, const Replayed& replayed);
nlohmann::json to_json(const Bundle& bundle, const Replayed& replayed);

}  // namespace crossval
