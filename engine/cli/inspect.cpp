#include "engine/cli/inspect.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "engine/base64.h"
#include "engine/cli/compatibility.h"
#include "engine/error.h"
#include "engine/formats/i2s.h"
#include "engine/gguf/checks.h"
#include "engine/gguf/printable.h"
#include "engine/gguf/value_type.h"
#include "engine/model/config.h"
#include "engine/model/weights.h"
#include "engine/tokenizer/tokenizer.h"

namespace bitnet {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxText = 4096;
constexpr std::uint64_t kArrayHead = 4;

std::string type_label(TensorType type) {
  return std::string(type_name(type));
}

Json number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

// A float by its shortest decimal form, not by the digits of the double next to it.
Json number(float value) {
  if (!std::isfinite(value)) return number(static_cast<double>(value));
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  double shortest = 0;
  std::from_chars(text, end, shortest);
  return shortest;
}

// Cut where a code point ends, if it is UTF-8.
std::string_view shortened(std::string_view text) {
  if (text.size() <= kMaxText) return text;
  std::size_t end = kMaxText;
  for (int i = 0; i < 3 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80; ++i) --end;
  return text.substr(0, end);
}

void put_text(Json& object, const std::string& field, std::string_view text) {
  const std::string_view part = shortened(text);
  if (gguf::valid_utf8(part)) {
    object[field] = part;
  } else {
    object[field] = gguf::printable(part);
    object[field + "_b64"] = base64_encode(part);
  }
  if (part.size() < text.size()) object["bytes"] = text.size();
}

template <class T>
Json first_elements(const gguf::Array& array) {
  gguf::Array part = array;
  part.count = std::min(array.count, kArrayHead);
  part.bytes = array.bytes.first(part.count * gguf::value_type_bytes(array.type));
  Json head = Json::array();
  for (const T x : part.as<T>()) {
    if constexpr (std::is_floating_point_v<T>)
      head.push_back(number(x));
    else
      head.push_back(x);
  }
  return head;
}

Json array_head(const gguf::Array& array) {
  using gguf::ValueType;
  Json head = Json::array();
  switch (array.type) {
    case ValueType::string:
      for (std::uint64_t i = 0; i < std::min(array.count, kArrayHead); ++i)
        head.push_back(gguf::printable(array.strings[i], 200));
      return head;
    case ValueType::u8:
      return first_elements<std::uint8_t>(array);
    case ValueType::i8:
      return first_elements<std::int8_t>(array);
    case ValueType::u16:
      return first_elements<std::uint16_t>(array);
    case ValueType::i16:
      return first_elements<std::int16_t>(array);
    case ValueType::u32:
      return first_elements<std::uint32_t>(array);
    case ValueType::i32:
      return first_elements<std::int32_t>(array);
    case ValueType::u64:
      return first_elements<std::uint64_t>(array);
    case ValueType::i64:
      return first_elements<std::int64_t>(array);
    case ValueType::f32:
      return first_elements<float>(array);
    case ValueType::f64:
      return first_elements<double>(array);
    case ValueType::boolean:
      return first_elements<bool>(array);
    case ValueType::array:
      break;
  }
  return head;
}

Json key_value(const gguf::File::KeyValue& kv) {
  Json entry;
  put_text(entry, "key", kv.key);
  entry["type"] = gguf::value_type_name(gguf::value_type(kv.value));
  std::visit(
      [&](const auto& v) {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::string_view>) {
          put_text(entry, "value", v);
        } else if constexpr (std::is_same_v<T, gguf::Array>) {
          entry["element_type"] = gguf::value_type_name(v.type);
          entry["count"] = v.count;
          entry["head"] = array_head(v);
        } else if constexpr (std::is_floating_point_v<T>) {
          entry["value"] = number(v);
        } else {
          entry["value"] = v;
        }
      },
      kv.value);
  return entry;
}

Json tensor_entry(const gguf::Tensor& tensor) {
  Json entry;
  put_text(entry, "name", tensor.name);
  entry["type"] = type_label(tensor.type);
  entry["type_number"] = tensor.number;
  entry["shape"] = std::vector<std::uint64_t>(tensor.ne, tensor.ne + tensor.n_dims);
  entry["bytes"] = tensor.data.size();
  entry["offset"] = tensor.offset;
  if (tensor.type == TensorType::i2_s) entry["scale"] = number(i2s::scale(tensor.data, tensor.elements()));
  return entry;
}

Json types(const gguf::File& file) {
  struct Total {
    std::uint64_t tensors = 0, elements = 0, bytes = 0;
  };
  std::map<std::string, Total> totals;
  for (const auto& tensor : file.tensors()) {
    Total& t = totals[type_label(tensor.type)];
    ++t.tensors;
    t.elements += tensor.elements();
    t.bytes += tensor.data.size();
  }
  Json list = Json::array();
  for (const auto& [type, t] : totals)
    list.push_back({{"type", type}, {"tensors", t.tensors}, {"elements", t.elements}, {"bytes", t.bytes}});
  return list;
}

// What there is of it can be decoded. The check of the values says why not.
std::optional<gguf::TernaryWeights> decoded(const gguf::File& file, const gguf::Tensor& tensor,
                                            const gguf::TernaryOptions& options) {
  try {
    return gguf::decode_ternary(file, tensor, options);
  } catch (const InputError&) {
    return std::nullopt;
  }
}

// Null when there is nothing ternary in the file.
Json ternary_summary(const gguf::File& file, const InspectOptions& options) {
  std::uint64_t tensors = 0;
  std::uint64_t weights = 0;
  i2s::Census sum;
  float low = INFINITY;
  float high = -INFINITY;
  const auto add_scale = [&](float scale) {
    low = std::fmin(low, scale);
    high = std::fmax(high, scale);
  };
  for (const auto& tensor : file.tensors()) {
    if (!is_ternary(tensor.type)) continue;
    ++tensors;
    weights += tensor.elements();
    if (tensor.type == TensorType::i2_s) {
      add_scale(i2s::scale(tensor.data, tensor.elements()));
      if (!options.read_weights) continue;
      const auto c = i2s::census(tensor.data, tensor.elements());  // in any layout
      for (int code = 0; code < 4; ++code) sum.count[code] += c.count[code];
    } else if (options.read_weights) {
      const auto w = decoded(file, tensor, options.ternary);
      if (!w) continue;
      add_scale(w->scale);
      for (const std::int8_t weight : w->weights) ++sum.count[weight + 1];
    }
  }
  if (tensors == 0) return nullptr;
  Json out = {{"tensors", tensors}, {"weights", weights}};
  if (options.read_weights) {
    out["minus"] = sum.count[0];
    out["zero"] = sum.count[1];
    out["plus"] = sum.count[2];
    out["invalid"] = sum.count[3];
  }
  out["scale_min"] = number(low);
  out["scale_max"] = number(high);
  return out;
}

class Checks {
 public:
  explicit Checks(const gguf::File& file) : file_(file) {}

  // `action` returns what to say when it passes, and throws InputError when it does not.
  template <class Action>
  bool run(const char* name, Action action) {
    bool ok = true;
    std::string message;
    try {
      message = action();
    } catch (const InputError& e) {
      ok = false;
      message = e.what();
      const std::string prefix = gguf::printable_message(file_.name()) + ": ";
      if (message.starts_with(prefix)) message.erase(0, prefix.size());
    }
    list_.push_back({{"name", name}, {"ok", ok}, {"message", gguf::printable_message(message)}});
    return ok;
  }

  Json take() { return std::move(list_); }

 private:
  const gguf::File& file_;
  Json list_ = Json::array();
};

std::string check_vocabulary(const gguf::File& file) {
  const Tokenizer tokenizer(file);
  const gguf::Tensor* embedding = file.find_tensor("token_embd.weight");
  if (embedding == nullptr) file.fail("token_embd.weight", "the tensor is missing");
  const auto rows = embedding->ne[1];
  if (static_cast<std::uint64_t>(tokenizer.size()) != rows)
    file.fail("tokenizer.ggml.tokens", "has " + std::to_string(tokenizer.size()) +
                                           " entries, but token_embd.weight has " + std::to_string(rows) +
                                           " rows");
  const std::string tokens = std::to_string(rows) + " tokens, ";
  if (tokenizer.pre().empty()) return tokens + "SentencePiece, which has no pre-tokenizer";
  return tokens + "pre-tokenizer " + std::string(tokenizer.pre()) +
         (tokenizer.pre_from_file() ? "" : " (the file names none)");
}

std::string check_scales(const gguf::File& file, const gguf::TernaryOptions& options) {
  std::map<std::string, std::size_t> counts;
  for (const auto& tensor : file.tensors()) {
    if (!is_ternary(tensor.type)) continue;
    ++counts[type_label(tensor.type)];
    gguf::ternary_format(file, tensor, options);
    if (tensor.type != TensorType::i2_s) continue;
    gguf::check_i2s(file, tensor);
    if (!(i2s::scale(tensor.data, tensor.elements()) > 0))
      file.fail(tensor.name, "its weight scale is not positive; the file is damaged");
  }
  std::string text;
  for (const auto& [type, n] : counts)
    text += (text.empty() ? "" : ", ") + std::to_string(n) + " " + type + " tensors";
  return text.empty() ? "no ternary tensors" : text;
}

std::string check_values(const gguf::File& file, const gguf::TernaryOptions& options) {
  for (const auto& tensor : file.tensors()) {
    gguf::check_finite(file, tensor);
    if (tensor.type == TensorType::i2_s && gguf::ternary_format(file, tensor, options).i2s == I2sLayout::x86)
      gguf::check_i2s_codes(file, tensor);
    else if (is_ternary(tensor.type))
      gguf::decode_ternary(file, tensor, options);
  }
  return "every float is finite, no ternary code is invalid";
}

Json checks(const gguf::File& file, const InspectOptions& options) {
  Checks list(file);
  list.run("container", [&] {
    return "GGUF version " + std::to_string(file.version()) + ", " +
           std::to_string(file.key_values().size()) + " keys, " + std::to_string(file.tensors().size()) +
           " tensors, nothing cut or overlapping";
  });
  std::optional<Config> config;
  list.run("hyper-parameters", [&] {
    config = read_config(file);
    return config->architecture_name + ", " + std::to_string(config->n_layer) + " layers, " +
           std::to_string(config->n_embd) + " wide, " + std::to_string(config->n_head) + " heads of " +
           std::to_string(config->head_dim) + ", " + std::to_string(config->n_head_kv) +
           " for keys and values";
  });
  if (config) {
    list.run("tensors", [&] {
      const Weights weights = load_weights(file, *config, {.ternary = options.ternary, .decode = false});
      return weights.warnings.empty() ? "all there, of the right shapes and types" : weights.warnings.front();
    });
  }
  list.run("vocabulary", [&] { return check_vocabulary(file); });
  list.run("ternary shapes and scales", [&] { return check_scales(file, options.ternary); });
  if (options.read_weights) list.run("values", [&] { return check_values(file, options.ternary); });
  return list.take();
}

Json layout(const LayoutFinding& finding) {
  Json entry = {{"layout", nullptr}, {"because", finding.because}, {"readings", Json::array()}};
  if (finding.layout) entry["layout"] = to_string(*finding.layout);
  for (const LayoutReading& r : finding.readings) {
    Json reading = {{"layout", to_string(r.layout)}};
    if (finding.recorded)
      reading["worst_cosine"] = number(r.worst_cosine);
    else
      reading["nats_per_token"] = number(r.nats_per_token);
    entry["readings"].push_back(reading);
  }
  return entry;
}

Json compatibility(const gguf::File& file) {
  Json list = Json::array();
  for (const Compatibility& c : judge_compatibility(file)) {
    const auto printable = [](const std::vector<std::string>& lines) {
      Json out = Json::array();
      for (const auto& line : lines) out.push_back(gguf::printable_message(line));
      return out;
    };
    list.push_back({{"program", c.program},
                    {"loads", c.loads},
                    {"because", printable(c.because)},
                    {"remarks", printable(c.remarks)}});
  }
  return list;
}

}  // namespace

Json inspect(const gguf::File& file, const InspectOptions& options) {
  Json report;
  report["schema"] = "bitnet.inspect/1";
  put_text(report, "file", file.name());
  report["file_bytes"] = file.file_bytes();
  report["version"] = file.version();
  report["alignment"] = file.alignment();
  report["data_offset"] = file.data_offset();
  report["keys"] = Json::array();
  for (const auto& kv : file.key_values()) report["keys"].push_back(key_value(kv));
  report["tensors"] = Json::array();
  for (const auto& tensor : file.tensors()) report["tensors"].push_back(tensor_entry(tensor));
  report["types"] = types(file);
  if (Json t = ternary_summary(file, options); !t.is_null()) report["ternary"] = std::move(t);
  if (options.layout) report["i2s_layout"] = layout(*options.layout);
  report["checks"] = checks(file, options);
  report["compatibility"] = compatibility(file);
  const auto repeated = options.repeated_input ? options.repeated_input() : std::nullopt;
  if (repeated && repeated->steps > 0)
    report["repeated_input"] = {
        {"steps", repeated->steps},
        {"repeats", repeated->repeats},
        {"share", static_cast<double>(repeated->repeats) / static_cast<double>(repeated->steps)}};
  return report;
}

bool sound(const Json& report) {
  return std::ranges::all_of(report.at("checks"),
                             [](const Json& check) { return check.at("ok").get<bool>(); });
}

}  // namespace bitnet
