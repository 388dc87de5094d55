#include "reference/process/messages.h"

#include <algorithm>
#include <limits>

#include "engine/base64.h"
#include "engine/gguf/printable.h"
#include "reference/errors.h"

namespace crossval {
namespace {

using bitnet::gguf::printable;
using nlohmann::json;

std::string shown(const json& value) {
  return printable(value.dump(-1, ' ', false, json::error_handler_t::replace), 80);
}

const json& member(const json& message, const char* key) {
  const auto it = message.find(key);
  if (it == message.end()) throw Breach(std::string("its answer has no `") + key + "`");
  return *it;
}

std::string text_member(const json& message, const char* key) {
  const json& value = member(message, key);
  if (!value.is_string()) throw Breach(std::string("`") + key + "` is no text but " + shown(value));
  return value.get<std::string>();
}

// Numbers in JSON may be written 3.0; those of no fraction and within range are taken.
std::optional<std::int64_t> integer(const json& value) {
  if (value.is_number_unsigned()) {
    const auto n = value.get<std::uint64_t>();
    if (n <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      return static_cast<std::int64_t>(n);
  } else if (value.is_number_integer()) {
    return value.get<std::int64_t>();
  } else if (value.is_number_float()) {
    const double x = value.get<double>();
    if (x >= -9e15 && x <= 9e15 && x == static_cast<double>(static_cast<std::int64_t>(x)))
      return static_cast<std::int64_t>(x);
  }
  return std::nullopt;
}

std::int64_t integer_member(const json& message, const char* key) {
  const json& value = member(message, key);
  const auto n = integer(value);
  if (!n) throw Breach(std::string("`") + key + "` is no whole number but " + shown(value));
  return *n;
}

std::vector<std::string> texts(const json& message, const char* key) {
  std::vector<std::string> list;
  const auto it = message.find(key);
  if (it == message.end()) return list;
  if (!it->is_array()) throw Breach(std::string("`") + key + "` is no list but " + shown(*it));
  for (const json& item : *it) {
    if (!item.is_string()) throw Breach(std::string("`") + key + "` holds " + shown(item) + ", no text");
    list.push_back(item.get<std::string>());
  }
  return list;
}

std::map<std::string, std::string> details_of(const json& message) {
  std::map<std::string, std::string> details;
  const auto it = message.find("details");
  if (it == message.end()) return details;
  if (!it->is_object()) throw Breach("`details` is no object but " + shown(*it));
  for (const auto& [key, value] : it->items())
    details[key] = value.is_string() ? value.get<std::string>() : value.dump();
  return details;
}

}  // namespace

json parse_line(std::string_view line) {
  json message = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (message.is_discarded()) throw Breach("a line that is no JSON: `" + printable(line, 80) + "`");
  if (!message.is_object()) throw Breach("a line that is no JSON object: `" + printable(line, 80) + "`");
  return message;
}

void put_message_text(nlohmann::ordered_json& message, const std::string& key, std::string_view text) {
  if (bitnet::gguf::valid_utf8(text))
    message[key] = text;
  else
    message[key + "_b64"] = bitnet::base64_encode(text);
}

std::string message_text(const json& message, const std::string& key) {
  const std::string twin = key + "_b64";
  if (!message.contains(twin)) return text_member(message, key.c_str());
  const auto bytes = bitnet::base64_decode(text_member(message, twin.c_str()));
  if (!bytes) throw Breach("`" + twin + "` is not base64: " + shown(message.at(twin)));
  return *bytes;
}

Hello parse_hello(const json& answer) {
  const std::int64_t version = integer_member(answer, "protocol");
  if (version != kProtocol)
    throw Incomparable("it speaks version " + std::to_string(version) + " of the participant protocol, not " +
                       std::to_string(kProtocol));
  return {.identity = {.name = text_member(answer, "name"),
                       .version = text_member(answer, "version"),
                       .build = text_member(answer, "build"),
                       .details = details_of(answer)},
          .taps = texts(answer, "taps"),
          .options = texts(answer, "options")};
}

Loaded parse_loaded(const json& answer) {
  return {.n_vocab = integer_member(answer, "n_vocab"),
          .n_layer = integer_member(answer, "n_layer"),
          .n_embd = integer_member(answer, "n_embd"),
          .n_ctx = integer_member(answer, "n_ctx"),
          .taps = texts(answer, "taps"),
          .names_taps = answer.contains("taps"),
          .details = details_of(answer)};
}

std::vector<TapId> taps_named(const std::vector<std::string>& names, const bitnet::Config& config) {
  std::vector<TapId> taps;
  for (const TapId id : bitnet::canonical_taps(config))
    for (const std::string& name : names)
      if (name == bitnet::base_name(id.tap) || name == bitnet::to_string(id)) {
        taps.push_back(id);
        break;
      }
  return taps;
}

bool announces_tensor(const json& message) {
  return message.contains("tensor");
}

Tensor announced_tensor(const json& message, const bitnet::Config& config, std::int64_t position,
                        std::int64_t rows) {
  const std::string name = text_member(message, "tensor");
  const std::string quoted = "tensor `" + printable(name, 60) + "`";
  const auto id = bitnet::parse_tap(name);
  if (!id || id->layer >= config.n_layer) throw Breach(quoted + " was not asked for");
  const auto other_shape = [&](const std::string& what, std::int64_t got, std::int64_t want) {
    throw Breach(quoted + " of another shape: " + what + " " + std::to_string(got) + ", must be " +
                 std::to_string(want));
  };
  if (const std::int64_t n = integer_member(message, "rows"); n != rows) other_shape("rows", n, rows);
  Tensor tensor{.id = *id, .offsets = {0}, .values = {}};
  const auto widths = message.find("widths");
  if (widths != message.end() && !widths->is_array()) throw Breach(quoted + ": `widths` is no list");
  if (widths != message.end() && static_cast<std::int64_t>(widths->size()) != rows)
    other_shape("number of widths", static_cast<std::int64_t>(widths->size()), rows);
  const std::int64_t width = widths == message.end() ? integer_member(message, "width") : 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    const auto got = widths == message.end() ? width : integer((*widths)[static_cast<std::size_t>(i)]);
    if (!got) throw Breach(quoted + ": a width that is no whole number");
    const std::int64_t want = bitnet::tap_width(config, id->tap, position + i);
    if (*got != want) other_shape("width of row " + std::to_string(i), *got, want);
    tensor.offsets.push_back(tensor.offsets.back() + want);
  }
  tensor.values.resize(static_cast<std::size_t>(tensor.offsets.back()));
  return tensor;
}

std::vector<Token> parse_tokens(const json& answer) {
  const json& list = member(answer, "tokens");
  if (!list.is_array()) throw Breach("`tokens` is no list but " + shown(list));
  std::vector<Token> tokens;
  for (const json& item : list) {
    const auto n = integer(item);
    if (!n || *n < 0 || *n > std::numeric_limits<Token>::max())
      throw Breach("`tokens` holds " + shown(item) + ", no token id");
    tokens.push_back(static_cast<Token>(*n));
  }
  return tokens;
}

std::vector<std::string> parse_pieces(const json& answer, std::size_t count) {
  const json& list = member(answer, "pieces");
  if (!list.is_array() || list.size() != count)
    throw Breach("`pieces` must be a list of " + std::to_string(count) + ", not " + shown(list));
  std::vector<std::string> pieces;
  for (const json& item : list) {
    if (!item.is_object()) throw Breach("`pieces` holds " + shown(item) + ", no object");
    pieces.push_back(message_text(item, "piece"));
  }
  return pieces;
}

}  // namespace crossval
