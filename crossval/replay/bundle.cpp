#include "crossval/replay/bundle.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/error.h"
#include "engine/gguf/printable.h"
#include "engine/safetensors/encode.h"
#include "engine/safetensors/safetensors.h"

namespace crossval {
namespace {

using bitnet::Safetensors;
using bitnet::TensorType;
using bitnet::gguf::printable;
using nlohmann::json;

constexpr const char* kSchema = "crossval.bundle/1";
constexpr const char* kAgain = "; copy or save the bundle again";
// Larger than any model's, small enough for every product of them.
constexpr std::int64_t kMostNumber = std::int64_t{1} << 24;
// RoPE needs the angles of all positions up to its own.
constexpr std::int64_t kMostAngles = std::int64_t{1} << 25;

constexpr std::array kTableTypes = {TensorType::f32,  TensorType::f16,  TensorType::bf16,
                                    TensorType::q8_0, TensorType::q6_k, TensorType::q5_0,
                                    TensorType::q4_k, TensorType::q4_0, TensorType::i2_s};

std::string text_of(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

json gates_json(const GateSet& gates) {
  json list = json::array();
  for (const Gate& gate : gates.gates) {
    list.push_back(to_json(gate));
    list.back().erase("limit");  // the threshold once more, for people
  }
  return list;
}

json operation_json(const SmallOperation& o) {
  return {{"kind", to_string(operation_kind(o.tap.tap))},
          {"position", o.position},
          {"width", o.width},
          {"heads", o.heads},
          {"head_dim", o.head_dim},
          {"n_rot", o.n_rot},
          {"epsilon", o.epsilon},
          {"rope_base", o.rope_base},
          {"rope_scale", o.rope_scale},
          {"pairing", o.pairing == bitnet::RopePairing::neox ? "neox" : "adjacent"},
          {"activation", o.activation == bitnet::Activation::silu ? "silu" : "relu2"},
          {"scale", o.scale},
          {"factor", o.factor},
          {"table_type", bitnet::type_name(o.table_type)}};
}

// Bytes of a file, with all that is known of them.
class Reader {
 public:
  explicit Reader(const Safetensors& file) : file_(file) {}

  Bundle read() {
    if (text("schema") != kSchema)
      fail("schema", "is `" + printable(text("schema"), 60) + "`, not " + kSchema +
                         "; save the bundle with this version of crossval");
    Bundle b;
    read_texts(b);
    read_operation(b.operation);
    read_tensors(b);
    read_gates(b);
    return b;
  }

 private:
  [[noreturn]] void fail(const std::string& key, const std::string& what) const {
    file_.fail("metadata " + key, what);
  }
  [[noreturn]] void fail_tensor(const char* name, const std::string& what) const {
    file_.fail(name, what + kAgain);
  }

  const std::string& text(const char* key) const {
    const auto it = file_.metadata().find(key);
    if (it == file_.metadata().end()) fail(key, std::string("is missing") + kAgain);
    return it->second;
  }
  bool flag(const char* key) const {
    if (text(key) != "true" && text(key) != "false")
      fail(key, "is `" + printable(text(key), 60) + "`, neither true nor false" + kAgain);
    return text(key) == "true";
  }
  std::int64_t count(const char* key) const {
    return number_in(parse(text(key)), key, 0, std::numeric_limits<std::int32_t>::max());
  }
  static json parse(const std::string& text) {
    return json::parse(text, nullptr, /*allow_exceptions=*/false);
  }
  std::int64_t number_in(const json& value, const std::string& field, std::int64_t least,
                         std::int64_t most) const {
    // Unsigned: a number that is none, or beyond 64 bits, is of another type.
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > static_cast<std::uint64_t>(most) ||
        value.get<std::int64_t>() < least)
      fail(field,
           "must be a whole number from " + std::to_string(least) + " to " + std::to_string(most) + kAgain);
    return value.get<std::int64_t>();
  }

  void read_texts(Bundle& b) const {
    b.case_id = text("case");
    b.step = count("step");
    b.row = count("row");
    if (text("side") != "candidate" && text("side") != "reference")
      fail("side", "is `" + printable(text("side"), 60) + "`, neither candidate nor reference" + kAgain);
    b.side = text("side") == "candidate" ? Side::candidate : Side::reference;
    b.participant = {
        .name = text("participant"), .version = text("version"), .build = text("build"), .details = {}};
    const json details = parse(text("details"));
    if (!details.is_object()) fail("details", std::string("is no JSON object of texts") + kAgain);
    for (const auto& [key, value] : details.items()) {
      if (!value.is_string()) fail("details", std::string("is no JSON object of texts") + kAgain);
      b.participant.details[key] = value.get<std::string>();
    }
    b.reproduced = flag("reproduced");
    b.both_failed = flag("both_failed");
    b.integers = flag("integers");
    b.evaluator = text("evaluator");
    if (b.evaluator != "emulator" && b.evaluator != "oracle")
      fail("evaluator", "is `" + printable(b.evaluator, 60) + "`, neither emulator nor oracle" + kAgain);
    b.arbiter = text("arbiter");
    for (const auto& [key, into] :
         {std::pair("who", &b.who), std::pair("why", &b.why), std::pair("likeness", &b.likeness),
          std::pair("program", &b.program), std::pair("model_sha256", &b.model_sha256),
          std::pair("command", &b.command)})
      *into = text(key);
  }

  void read_operation(SmallOperation& o) const {
    const auto tap = bitnet::parse_tap(text("tap"));
    if (!tap) fail("tap", "is `" + printable(text("tap"), 60) + "`, no tap's name" + kAgain);
    o.tap = *tap;
    const OperationKind kind = operation_kind(tap->tap);
    const json all = parse(text("operation"));
    if (!all.is_object()) fail("operation", std::string("is no JSON object") + kAgain);
    const auto value = [&](const char* key) -> const json& {
      const auto it = all.find(key);
      if (it == all.end()) fail("operation", std::string(key) + " is missing" + kAgain);
      return *it;
    };
    const auto whole = [&](const char* key, std::int64_t least, std::int64_t most) {
      return number_in(value(key), std::string("operation ") + key, least, most);
    };
    const auto real = [&](const char* key, bool valid_zero) {
      const json& number = value(key);
      const float x = number.is_number() ? number.get<float>() : std::numeric_limits<float>::quiet_NaN();
      if (!std::isfinite(x) || !(x > 0 || valid_zero))
        fail(std::string("operation ") + key,
             std::string("must be a finite number") + (valid_zero ? "" : " above 0") + kAgain);
      return x;
    };
    const auto word = [&](const char* key, const char* one, const char* other) {
      if (value(key) != one && value(key) != other)
        fail(std::string("operation ") + key, "must be " + std::string(one) + " or " + other + kAgain);
      return value(key) == other;
    };
    if (value("kind") != to_string(kind))
      fail("operation kind", "must be " + std::string(to_string(kind)) + ", as metadata tap says" + kAgain);
    o.position = whole("position", 0, kMostNumber);
    o.width = whole("width", 0, kMostNumber);
    o.heads = whole("heads", heads_part(kind) ? 1 : 0, 4096);
    o.head_dim = whole("head_dim", heads_part(kind) ? 1 : 0, 4096);
    o.n_rot = whole("n_rot", 0, 4096);
    o.epsilon = real("epsilon", true);
    if (o.epsilon < 0) fail("operation epsilon", std::string("must not be negative") + kAgain);
    o.rope_base = real("rope_base", kind != OperationKind::rope);
    o.rope_scale = real("rope_scale", false);
    o.pairing =
        word("pairing", "neox", "adjacent") ? bitnet::RopePairing::adjacent : bitnet::RopePairing::neox;
    o.activation =
        word("activation", "relu2", "silu") ? bitnet::Activation::silu : bitnet::Activation::relu_squared;
    o.scale = real("scale", true);
    o.factor = real("factor", true);
    const auto type = std::ranges::find_if(
        kTableTypes, [&](TensorType t) { return value("table_type") == bitnet::type_name(t); });
    if (type == kTableTypes.end())
      fail("operation table_type", std::string("is no type that a head can have") + kAgain);
    o.table_type = *type;
    check_shape(kind, o);
  }

  // What a model must have that can hold the operation.
  void check_shape(OperationKind kind, const SmallOperation& o) const {
    const bool rows = kind == OperationKind::embedding || kind == OperationKind::norm ||
                      kind == OperationKind::projection || kind == OperationKind::head;
    if (rows && (o.width < 128 || o.width % 128 != 0))
      fail("operation width", "must be a multiple of 128, not " + std::to_string(o.width) + kAgain);
    if ((kind == OperationKind::scores || kind == OperationKind::softmax) && o.head_dim % 2 != 0)
      fail("operation head_dim", std::string("must be even") + kAgain);
    if (kind != OperationKind::rope) return;
    const bool partly = o.pairing == bitnet::RopePairing::neox && o.weight.empty();
    if (o.head_dim % 2 != 0 || o.n_rot < 2 || o.n_rot % 2 != 0 || o.n_rot > o.head_dim ||
        (o.n_rot != o.head_dim && !partly))
      fail("operation n_rot", "must be even and at most head_dim, " + std::to_string(o.head_dim) + kAgain);
    if (o.cells() * o.n_rot > kMostAngles)
      fail("operation position",
           "asks for more than " + std::to_string(kMostAngles) + " angles of RoPE" + kAgain);
  }

  const Safetensors::Tensor* find(const char* name) const {
    const auto it = std::ranges::find(file_.tensors(), name, &Safetensors::Tensor::name);
    return it == file_.tensors().end() ? nullptr : &*it;
  }

  // A list of values; `n` of them, or as many as there are.
  template <class T>
  std::vector<T> list(const char* name, Safetensors::Type type, std::optional<std::int64_t> n) {
    ++seen_;
    const Safetensors::Tensor* tensor = find(name);
    if (!tensor) fail_tensor(name, "the tensor is missing");
    if (tensor->type != type || tensor->shape.size() != 1 ||
        (n && tensor->elements() != static_cast<std::uint64_t>(*n)))
      fail_tensor(name, "must be " + std::string(Safetensors::type_name(type)) + " of shape [" +
                            (n ? std::to_string(*n) : std::string("values")) + "]");
    std::vector<T> values(tensor->elements());
    if (!values.empty()) std::memcpy(values.data(), tensor->data.data(), tensor->data.size());
    return values;
  }
  // Values that belong to the operation or do not: `n` of them.
  std::vector<float> floats(const char* name, std::int64_t n) {
    return n == 0 ? std::vector<float>() : list<float>(name, Safetensors::Type::f32, n);
  }
  std::vector<float> finite(const char* name, std::int64_t n) {
    std::vector<float> values = floats(name, n);
    if (!std::ranges::all_of(values, [](float x) { return std::isfinite(x); }))
      fail_tensor(name, "holds a weight that is not finite");
    return values;
  }

  void read_tensors(Bundle& b) {
    SmallOperation& o = b.operation;
    o.columns = list<std::int64_t>("columns", Safetensors::Type::i64, std::nullopt);
    if (o.columns.empty()) fail_tensor("columns", "is empty");
    if (!std::ranges::all_of(o.columns, [](std::int64_t c) { return c >= 0 && c <= INT32_MAX; }))
      fail_tensor("columns", "holds a number that is no column");
    // Each of these is a value in the file at least, so that no product leaves 63 bits.
    const SmallSizes sizes = sizes_of(o);
    if (sizes.outputs >= 0 && sizes.outputs != o.outputs())
      fail_tensor("columns", "must have " + std::to_string(sizes.outputs) + " entries, not " +
                                 std::to_string(o.outputs()));
    o.a = floats("input", sizes.a);
    o.b = floats("second", sizes.b);
    o.history = floats("history", sizes.history);
    b.shown = floats("shown", o.outputs());
    b.evaluated = floats("evaluated", o.outputs());
    read_weights(o, sizes);
    if (seen_ != file_.tensors().size())
      file_.fail("data", std::string("holds a tensor that this operation does not have") + kAgain);
  }

  void read_weights(SmallOperation& o, const SmallSizes& sizes) {
    const OperationKind kind = operation_kind(o.tap.tap);
    if (kind == OperationKind::norm) o.weight = finite("weight", o.width);
    if (kind == OperationKind::rope && find("weight")) {
      o.weight = finite("weight", o.n_rot / 2);
      if (std::ranges::find(o.weight, 0.0f) != o.weight.end())
        fail_tensor("weight", "holds a zero, by which angles would be divided");
      check_shape(kind, o);
    }
    if (kind == OperationKind::projection && find("bias")) o.bias = finite("bias", o.outputs());
    if (sizes.table_rows == 0) return;
    const bool table = kind == OperationKind::embedding || kind == OperationKind::head;
    if (table && o.table_type != TensorType::i2_s) {
      const auto bytes = bitnet::tensor_bytes(o.table_type, static_cast<std::uint64_t>(o.width),
                                              static_cast<std::uint64_t>(sizes.table_rows));
      if (!bytes)
        fail("operation width",
             "is no whole number of blocks of " + std::string(bitnet::type_name(o.table_type)) + kAgain);
      for (const std::uint8_t x :
           list<std::uint8_t>("table", Safetensors::Type::u8, static_cast<std::int64_t>(*bytes)))
        o.table.push_back(std::byte{x});
      return;
    }
    o.ternary = list<std::int8_t>("ternary", Safetensors::Type::i8, sizes.table_rows * o.width);
    if (!std::ranges::all_of(o.ternary, [](std::int8_t w) { return w >= -1 && w <= 1; }))
      fail_tensor("ternary", "holds a weight that is not -1, 0 or 1");
  }

  void read_gates(Bundle& b) const {
    try {
      b.gates = parse_gates(parse(text("gates")), "gates");
    } catch (const bitnet::InputError& e) {
      file_.fail("metadata", e.what());
    }
    const TapId tap = b.operation.tap;
    if (std::ranges::none_of(b.gates.gates,
                             [&](const Gate& gate) { return gate.covers(Mode::local, tap, b.step); }))
      fail("gates", "has none for " + bitnet::to_string(tap) + ": nothing would be judged" + kAgain);
  }

  const Safetensors& file_;
  std::size_t seen_ = 0;  // tensors that were asked for and there
};

Bundle read(const Safetensors& file, std::uint64_t bytes) {
  if (bytes > kMostBundleBytes)
    file.fail("file", "has " + std::to_string(bytes) + " bytes, more than the " +
                          std::to_string(kMostBundleBytes) + " of any bundle; is this a bundle?");
  return Reader(file).read();
}

}  // namespace

std::string bundle_name(const Bundle& bundle) {
  const auto plain = [](const std::string& text, std::size_t most) {
    std::string out = text.substr(0, most);
    for (char& c : out)
      if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
            c == '_'))
        c = '_';
    return out;
  };
  return plain(bundle.case_id, 80) + "-" + plain(bitnet::to_string(bundle.operation.tap), 40) +
         ".crossval-bundle";
}

std::string encode_bundle(const Bundle& b) {
  const SmallOperation& o = b.operation;
  const auto word = [](bool value) { return std::string(value ? "true" : "false"); };
  json details = json::object();
  for (const auto& [key, value] : b.participant.details) details[key] = value;
  const std::map<std::string, std::string> metadata = {{"schema", kSchema},
                                                       {"tap", bitnet::to_string(o.tap)},
                                                       {"operation", text_of(operation_json(o))},
                                                       {"case", b.case_id},
                                                       {"step", std::to_string(b.step)},
                                                       {"row", std::to_string(b.row)},
                                                       {"side", std::string(to_string(b.side))},
                                                       {"participant", b.participant.name},
                                                       {"version", b.participant.version},
                                                       {"build", b.participant.build},
                                                       {"details", text_of(details)},
                                                       {"reproduced", word(b.reproduced)},
                                                       {"both_failed", word(b.both_failed)},
                                                       {"integers", word(b.integers)},
                                                       {"evaluator", b.evaluator},
                                                       {"arbiter", b.arbiter},
                                                       {"gates", text_of(gates_json(b.gates))},
                                                       {"who", b.who},
                                                       {"why", b.why},
                                                       {"likeness", b.likeness},
                                                       {"model_sha256", b.model_sha256},
                                                       {"program", b.program},
                                                       {"command", b.command}};
  std::vector<bitnet::TensorToEncode> tensors;
  const auto add = [&](const char* name, Safetensors::Type type, const auto& values) {
    if (!values.empty()) tensors.push_back({name, type, {values.size()}, std::as_bytes(std::span(values))});
  };
  add("columns", Safetensors::Type::i64, o.columns);
  add("input", Safetensors::Type::f32, o.a);
  add("second", Safetensors::Type::f32, o.b);
  add("history", Safetensors::Type::f32, o.history);
  add("shown", Safetensors::Type::f32, b.shown);
  add("evaluated", Safetensors::Type::f32, b.evaluated);
  add("weight", Safetensors::Type::f32, o.weight);
  add("bias", Safetensors::Type::f32, o.bias);
  add("ternary", Safetensors::Type::i8, o.ternary);
  add("table", Safetensors::Type::u8, o.table);
  return bitnet::encode_safetensors(metadata, tensors);
}

Bundle open_bundle(const std::filesystem::path& path) {
  std::error_code ignored;
  const std::uintmax_t bytes = std::filesystem::file_size(path, ignored);
  return read(Safetensors::open(path), ignored ? 0 : bytes);
}

Bundle parse_bundle(std::span<const std::byte> bytes, const std::string& name) {
  return read(Safetensors::parse(bytes, name), bytes.size());
}

}  // namespace crossval
