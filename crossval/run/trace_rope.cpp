#include "crossval/run/trace_rope.h"

#include <bit>

#include "crossval/errors.h"
#include "crossval/records/sha256.h"

namespace crossval {

std::optional<bitnet::RopeMath> rope_math_of(const ParticipantSpec& spec) {
  if (spec.kind == "oracle") return std::nullopt;
  const auto it = spec.options.find("rope");
  // The engine's default is its own; bitnet.cpp and what imitates it take the host's libm.
  const bool libm = it == spec.options.end() ? spec.kind != "engine" : it->second == "libm";
  return libm ? bitnet::RopeMath::libm : bitnet::RopeMath::own;
}

bitnet::RecordedRope rope_rows(const bitnet::Model& model, bitnet::RopeMath math, std::int64_t positions) {
  bitnet::RopeTable table(model.config(), model.weights().rope_freqs, math);
  table.prepare(positions);
  bitnet::RecordedRope rows;
  const std::int64_t half = model.config().n_rot / 2;
  for (std::int64_t p = 0; p < positions; ++p) {
    const auto row = table.row(p);
    rows.cos.insert(rows.cos.end(), row.cos, row.cos + half);
    rows.sin.insert(rows.sin.end(), row.sin, row.sin + half);
  }
  return rows;
}

std::int64_t rope_values_differing(const Trace& trace, const bitnet::Model& model) {
  if (!trace.rope())
    trace.fail("metadata rope", "is missing; record the trace from a participant that has one");
  const bitnet::RecordedRope here = rope_rows(model, bitnet::RopeMath::libm, trace.rope()->positions);
  if (here.cos.size() != trace.rope()->cosines.size())
    throw Incomparable("the trace " + trace.name() +
                       " has a RoPE table of other dimensions than the model's");
  std::int64_t differing = 0;
  const auto differs = [](float a, float b) {
    return std::bit_cast<std::uint32_t>(a) != std::bit_cast<std::uint32_t>(b);
  };
  for (std::size_t i = 0; i < here.cos.size(); ++i)
    differing +=
        differs(here.cos[i], trace.rope()->cosines[i]) + differs(here.sin[i], trace.rope()->sines[i]);
  return differing;
}

std::string rope_table_sha256(bitnet::RopeMath math) {
  constexpr std::int64_t kPositions = 4096;
  bitnet::Config config;
  config.n_ctx = kPositions;
  config.n_rot = 128;
  config.rope_freq_base = 500000;
  bitnet::RopeTable table(config, {}, math);
  table.prepare(kPositions);
  const auto bytes = static_cast<std::size_t>(kPositions * config.n_rot / 2) * sizeof(float);
  std::string text(reinterpret_cast<const char*>(table.row(0).cos), bytes);
  text.append(reinterpret_cast<const char*>(table.row(0).sin), bytes);
  return sha256_hex(text);
}

}  // namespace crossval
