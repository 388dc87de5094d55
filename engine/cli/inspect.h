#pragma once
// What is in a GGUF file, and whether it is sound: `bitnet inspect`.

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "engine/cli/layout_search.h"
#include "engine/gguf/gguf.h"
#include "engine/gguf/ternary_tensor.h"

namespace bitnet {

/// In how many steps of greedy decoding the arg max was the very token that went in.
struct RepeatedInput {
  std::int64_t steps = 0;
  std::int64_t repeats = 0;
};

struct InspectOptions {
  bool read_weights = true;      // count ternary weights, look for damaged values; reads the whole file
  gguf::TernaryOptions ternary;  // how they lie, where the file does not say it
  std::optional<LayoutFinding> layout;  // what was found out of it
  /// Runs the model; left out, or nothing returned: the share is not reported.
  std::function<std::optional<RepeatedInput>()> repeated_input;
};

/// Schema "bitnet.inspect/1", every key in a fixed order:
///   file, file_bytes, version, alignment, data_offset,
///   keys: [{key, type, value}] (strings that are no UTF-8 have a twin value_b64; long ones are cut and have
///   `bytes`),
///         arrays: [{key, type: "array", element_type, count, head}] with the first few elements,
///   tensors: [{name, type, type_number, shape, bytes, offset, scale?}],
///   types: [{type, tensors, elements, bytes}],
///   ternary: {tensors, weights, minus, zero, plus, invalid, scale_min, scale_max} (when there are ternary
///   tensors; `invalid` counts codes 3 of I2_S), i2s_layout: {layout (null: not determined), because,
///   readings: [{layout, nats_per_token or worst_cosine}]} (when it was looked for), checks: [{name, ok,
///   message}], compatibility: [{program, loads, because, remarks}], repeated_input: {steps, repeats, share}.
/// Numbers that are not finite are the strings "nan", "inf", "-inf".
nlohmann::ordered_json inspect(const gguf::File& file, const InspectOptions& options = {});

/// The same for people: everything in it is harmless on a terminal.
std::string inspect_text(const nlohmann::ordered_json& report);

/// Whether every check passed.
bool sound(const nlohmann::ordered_json& report);

}  // namespace bitnet
