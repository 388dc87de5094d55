#include "reference/trace/trace_reader.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/base64.h"
#include "engine/gguf/printable.h"

namespace crossval {
namespace {

using bitnet::Tap;
using bitnet::gguf::printable;
using nlohmann::json;

constexpr const char* kAgain = "; copy or record the trace again";
constexpr std::int64_t kMaxVocabulary = std::numeric_limits<Token>::max();

bool is_sha256(std::string_view text) {
  return text.size() == 64 &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// Scores: rows grow with the position, so they lie flat.
bool is_ragged(TapId id) {
  return id.tap == Tap::kq || id.tap == Tap::kq_soft_max;
}

// JSON within a text of the metadata; nothing where it is none. Values are checked where they are used, and
// none of this recurses with the depth of what a file says.
json parse_json(const std::string& text) {
  return json::parse(text, nullptr, /*allow_exceptions=*/false);
}

}  // namespace

Trace Trace::open(const std::filesystem::path& path) {
  return Trace(bitnet::Safetensors::open(path));
}

Trace Trace::parse(std::span<const std::byte> bytes, std::string name) {
  return Trace(bitnet::Safetensors::parse(bytes, std::move(name)));
}

Trace::Trace(bitnet::Safetensors file) : file_(std::move(file)) {
  if (const std::string& schema = text("schema"); schema != "crossval.trace/1")
    fail("schema", "is `" + printable(schema, 60) +
                       "`, not crossval.trace/1; record the trace with this version of crossval");
  read_identity();
  read_taps();
  read_cases();
  read_pieces();
  read_rope();
  for (const bitnet::Safetensors::Tensor& tensor : file_.tensors()) place(tensor);
  check_complete();
}

const std::string& Trace::text(const char* key) const {
  const auto it = file_.metadata().find(key);
  if (it == file_.metadata().end()) fail(std::string("metadata ") + key, std::string("is missing") + kAgain);
  return it->second;
}

std::int64_t Trace::number(const char* key, std::int64_t largest) const {
  const json value = parse_json(text(key));
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() < 1 ||
      value.get<std::uint64_t>() > static_cast<std::uint64_t>(largest))
    fail(std::string("metadata ") + key,
         "is `" + printable(text(key), 60) + "`, not a number from 1 to " + std::to_string(largest) + kAgain);
  return value.get<std::int64_t>();
}

void Trace::read_identity() {
  model_sha256_ = text("model_sha256");
  suite_sha256_ = text("suite_sha256");
  for (const char* key : {"model_sha256", "suite_sha256"})
    if (!is_sha256(text(key)))
      fail(std::string("metadata ") + key, std::string("is no SHA-256 in 64 lower-case digits") + kAgain);
  identity_ = {
      .name = text("participant"), .version = text("version"), .build = text("build"), .details = {}};
  const json details = parse_json(text("details"));
  const auto bad = [&] { fail("metadata details", std::string("is no JSON object of texts") + kAgain); };
  if (!details.is_object()) bad();
  for (const auto& [key, value] : details.items()) {
    if (!value.is_string()) bad();
    identity_.details[key] = value.get<std::string>();
  }
  const std::string& values = text("values");
  hashed_ = values == "sha256";
  if (!hashed_ && values != "full")
    fail("metadata values", "is `" + printable(values, 60) + "`, neither full nor sha256" + kAgain);
  reference_batch_ = number("reference_batch", std::int64_t{1} << 40);
  n_vocab_ = number("n_vocab", kMaxVocabulary);
  if (const auto it = file_.metadata().find("self_noise"); it != file_.metadata().end())
    self_noise_ = it->second;
}

void Trace::read_taps() {
  const json list = parse_json(text("taps"));
  if (!list.is_array()) fail("metadata taps", std::string("is no JSON list of names") + kAgain);
  for (const json& name : list) {
    const auto tap = name.is_string() ? bitnet::parse_tap(name.get_ref<const std::string&>()) : std::nullopt;
    if (!tap) fail("metadata taps", std::string("has an entry that is no tap's name") + kAgain);
    taps_.push_back(*tap);
  }
  // Canonical order is layer by layer, with what has no layer at either end.
  const auto place_of = [](TapId id) {
    return std::pair(id.tap >= Tap::result_norm  ? std::numeric_limits<int>::max()
                     : bitnet::has_layer(id.tap) ? id.layer
                                                 : -1,
                     id.tap);
  };
  std::ranges::sort(taps_, {}, place_of);
  if (const auto twice = std::ranges::adjacent_find(taps_); twice != taps_.end())
    fail("metadata taps", "names " + bitnet::to_string(*twice) + " twice" + kAgain);
  if (taps_.empty() || taps_.back().tap != Tap::result_output)
    fail("metadata taps", std::string("lacks result_output, the logits") + kAgain);
  for (std::size_t i = 0; i < taps_.size(); ++i) tap_places_[taps_[i]] = i;
}

void Trace::read_cases() {
  const json all = parse_json(text("tokens"));
  const auto bad = [&](const std::string& what) { fail("metadata tokens", what + kAgain); };
  std::size_t places = 0;
  if (!all.is_object() || all.empty()) bad("is no JSON object of cases");
  for (const auto& [id, steps] : all.items()) {
    const std::string where = "case `" + printable(id, 100) + "` ";
    if (id.empty() || !steps.is_array() || steps.empty()) bad(where + "is no list of steps");
    Case one{.id = id, .steps = {}};
    std::int64_t position = 0;
    for (const json& ids : steps) {
      if (!ids.is_array() || ids.empty()) bad(where + "has a step that is no list of token ids");
      Step step{.position = position, .tokens = {}, .taps = {}};
      for (const json& token : ids) {
        if (!token.is_number_unsigned() || token.get<std::uint64_t>() >= static_cast<std::uint64_t>(n_vocab_))
          bad(where + "has an id outside the vocabulary of " + std::to_string(n_vocab_));
        step.tokens.push_back(token.get<Token>());
      }
      position += std::ssize(step.tokens);
      one.steps.push_back(std::move(step));
      places += taps_.size();
      // Each has a tensor at least; to make room for more would be to believe a damaged file.
      if (places > file_.tensors().size())
        bad("and metadata taps promise more tensors than the " + std::to_string(file_.tensors().size()) +
            " there are");
    }
    cases_.emplace(id, std::move(one));
  }
  for (auto& [id, one] : cases_)
    for (Step& step : one.steps) step.taps.resize(taps_.size());
}

void Trace::read_pieces() {
  const json all = parse_json(text("pieces"));
  const auto bad = [&] {
    fail("metadata pieces", std::string("is no JSON object of token ids and base64") + kAgain);
  };
  if (!all.is_object()) bad();
  for (const auto& [id, piece] : all.items()) {
    const json token = parse_json(id);
    if (!token.is_number_unsigned() || token.get<std::uint64_t>() >= static_cast<std::uint64_t>(n_vocab_) ||
        !piece.is_string())
      bad();
    auto bytes = bitnet::base64_decode(piece.get_ref<const std::string&>());
    if (!bytes) bad();
    pieces_[token.get<Token>()] = std::move(*bytes);
  }
}

void Trace::read_rope() {
  if (!file_.metadata().contains("rope")) return;
  Rope rope{.positions = number("rope_positions", std::int64_t{1} << 32),
            .source = text("rope"),
            .cosines = {},
            .sines = {}};
  for (const auto& [key, into] : {std::pair("rope_cos", &rope.cosines), std::pair("rope_sin", &rope.sines)}) {
    const auto bytes = bitnet::base64_decode(text(key));
    if (!bytes || bytes->size() % sizeof(float) != 0)
      fail(std::string("metadata ") + key, std::string("is no base64 of binary32 values") + kAgain);
    into->resize(bytes->size() / sizeof(float));
    std::memcpy(into->data(), bytes->data(), bytes->size());
    if (!std::ranges::all_of(*into, [](float x) { return std::abs(x) <= 1; }))
      fail(std::string("metadata ") + key, std::string("has a value outside -1 to 1") + kAgain);
  }
  if (rope.cosines.empty() || rope.cosines.size() != rope.sines.size() ||
      rope.cosines.size() % static_cast<std::uint64_t>(rope.positions) != 0)
    fail("metadata rope_cos", "and rope_sin have " + std::to_string(rope.cosines.size()) + " and " +
                                  std::to_string(rope.sines.size()) + " values for " +
                                  std::to_string(rope.positions) + " positions" + kAgain);
  rope_ = std::move(rope);
}

void Trace::place(const bitnet::Safetensors::Tensor& tensor) {
  const auto name = parse_trace_name(tensor.name);
  if (!name)
    fail(tensor.name,
         std::string("is no name of a trace's tensor, CASE/STEP/TAP or CASE/STEP/TAP.sha256") + kAgain);
  const auto it = cases_.find(name->case_id);
  if (it == cases_.end() || name->step >= std::ssize(it->second.steps))
    fail(tensor.name, std::string("is of a case or step that metadata tokens does not list") + kAgain);
  const auto tap = tap_places_.find(name->tap);
  if (tap == tap_places_.end())
    fail(tensor.name, std::string("is of a tap that metadata taps does not list") + kAgain);
  if (name->hashes && !hashed_)
    fail(tensor.name, std::string("holds hashes, but metadata values is full") + kAgain);
  Step& step = it->second.steps[static_cast<std::size_t>(name->step)];
  Stored& stored = step.taps[tap->second];
  const auto wrong_shape = [&](const std::string& wanted) {
    fail(tensor.name, "must be " + wanted + kAgain);
  };
  const auto rows = static_cast<std::uint64_t>(step.tokens.size());
  if (name->hashes) {
    if (tensor.type != bitnet::Safetensors::Type::u8 || tensor.shape != std::vector<std::uint64_t>{rows, 32})
      wrong_shape("U8 of shape [" + std::to_string(rows) + ", 32]");
    stored.hashes = tensor.data;
    return;
  }
  if (hashed_ && !keeps_last_row(name->tap))
    fail(tensor.name, std::string("holds values, but metadata values is sha256") + kAgain);
  const bool flat = is_ragged(name->tap);
  const std::uint64_t stored_rows = hashed_ ? 1 : rows;
  if (tensor.type != bitnet::Safetensors::Type::f32 || tensor.data.empty() ||
      tensor.shape.size() != (flat ? 1U : 2U) || (!flat && tensor.shape[0] != stored_rows))
    wrong_shape(flat ? "F32 of shape [values]" : "F32 of shape [" + std::to_string(stored_rows) + ", width]");
  if (name->tap.tap == Tap::result_output && tensor.shape[1] != static_cast<std::uint64_t>(n_vocab_))
    wrong_shape("of the vocabulary's width, " + std::to_string(n_vocab_));
  stored.values = tensor.data;
}

void Trace::check_complete() const {
  for (const auto& [id, one] : cases_)
    for (std::size_t i = 0; i < one.steps.size(); ++i)
      for (std::size_t t = 0; t < taps_.size(); ++t) {
        const Stored& stored = one.steps[i].taps[t];
        TraceName name{.case_id = id, .step = static_cast<std::int64_t>(i), .tap = taps_[t]};
        const auto missing = [&] { fail(to_string(name), std::string("is missing") + kAgain); };
        if (stored.values.empty() && (!hashed_ || keeps_last_row(taps_[t]))) missing();
        name.hashes = true;
        if (hashed_ && stored.hashes.empty()) missing();
      }
}

std::optional<std::string> Trace::piece(Token token) const {
  const auto it = pieces_.find(token);
  return it == pieces_.end() ? std::nullopt : std::optional(it->second);
}

}  // namespace crossval
