#pragma once
// A small bundle, made by hand, to be replayed and damaged in tests: two rows of a ternary product, of which
// the first is twice what it should be.

#include <string>
#include <vector>

#include "crossval/replay/bundle.h"

namespace crossval::testing {

/// One gate for everything.
inline GateSet test_gates() {
  Gate gate;
  gate.name = "local.nmse";
  gate.mode = Mode::local;
  gate.metric = Metric::nmse;
  gate.taps = {"*"};
  gate.threshold = 1e-6;
  gate.source = "the test";
  GateSet gates;
  gates.gates = {gate};
  return gates;
}

inline Bundle test_bundle() {
  Bundle b;
  SmallOperation& o = b.operation;
  o.tap = {bitnet::Tap::ffn_up, 2};
  o.width = 128;
  o.columns = {3, 70};
  for (int k = 0; k < 128; ++k) o.a.push_back(static_cast<float>(k - 64) / 64);
  for (int k = 0; k < 256; ++k) o.ternary.push_back(static_cast<std::int8_t>(k % 3 - 1));
  o.scale = 0.5f;
  b.shown = {1, 2};
  b.evaluated = {0.5f, 2};
  b.case_id = "copper";
  b.step = 1;
  b.row = 4;
  b.side = Side::candidate;
  b.participant = {.name = "engine", .version = "0", .build = "test", .details = {{"isa", "scalar"}}};
  b.evaluator = "emulator";
  b.arbiter = "oracle";
  b.gates = test_gates();
  b.who = "candidate wrong";
  b.why = "nmse 0.25 > 1e-06";
  return b;
}

}  // namespace crossval::testing
