#include "engine/cli/quantize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <stdexcept>

#include "engine/error.h"
#include "engine/formats/f16.h"
#include "engine/formats/float_format.h"
#include "engine/gguf/checks.h"
#include "engine/gguf/printable.h"
#include "engine/gguf/writer.h"
#include "engine/model/ternary_workers.h"

namespace bitnet {
namespace {

using namespace std::string_view_literals;

constexpr auto kTypes = std::to_array<QuantizeType>({
    {"i2_s", TensorType::i2_s},
    {"i2_s-arm", TensorType::i2_s, I2sLayout::arm},
    {"i2_s-4-row", TensorType::i2_s, I2sLayout::four_row},
    {"tl1", TensorType::tl1},
    {"tl2", TensorType::tl2},
    {"tq1_0", TensorType::tq1_0},
    {"tq2_0", TensorType::tq2_0},
    {"iq1_bn", TensorType::iq1_bn},
    {"iq2_bn", TensorType::iq2_bn},
    {"iq2_bn_r4", TensorType::iq2_bn_r4},
    {"bitnet32_f16", TensorType::bitnet32_f16},
    {"qk256", TensorType::qk256},
    {"f32", TensorType::f32},
    {"f16", TensorType::f16},
    {"bf16", TensorType::bf16},
});

constexpr auto kProjections =
    std::to_array({"attn_q.weight"sv, "attn_k.weight"sv, "attn_v.weight"sv, "attn_output.weight"sv,
                   "ffn_gate.weight"sv, "ffn_up.weight"sv, "ffn_down.weight"sv});

constexpr std::string_view kFileTypeKey = "general.file_type";
constexpr std::string_view kEmbedding = "token_embd.weight";
constexpr std::string_view kHead = "output.weight";
// Below it bitnet.cpp's quantizer takes a weight for zero (reference-semantics 2.5).
constexpr float kZero = 1e-6f;

const QuantizeType& type_of(std::string_view name) {
  const auto* found = std::ranges::find(kTypes, name, &QuantizeType::name);
  if (found != kTypes.end()) return *found;
  std::string list;
  for (const QuantizeType& t : kTypes) list += (list.empty() ? "" : ", ") + std::string(t.name);
  throw InputError("quantize: --type: `" + gguf::printable(name, 60) + "` is unknown; choose one of " + list);
}

// The number that bitnet.cpp, llama.cpp and ik_llama.cpp give a model of such projections.
std::uint32_t file_type_of(TensorType type) {
  switch (type) {
    case TensorType::f32:
      return 0;
    case TensorType::f16:
      return 1;
    case TensorType::bf16:
      return 32;
    case TensorType::tq1_0:
      return 36;
    case TensorType::tq2_0:
      return 37;
    case TensorType::tl1:
      return 38;
    case TensorType::tl2:
      return 39;
    case TensorType::iq1_bn:
      return 136;
    case TensorType::iq2_bn:
      return 137;
    case TensorType::iq2_bn_r4:
      return 337;
    default:
      return 40;  // I2_S
  }
}

bool is_projection(const gguf::Tensor& tensor) {
  if (!tensor.name.starts_with("blk.") || tensor.n_dims != 2) return false;
  return std::ranges::any_of(kProjections,
                             [&](std::string_view name) { return tensor.name.ends_with(name); });
}

// Ternary weights of a projection that stands as floats.
gguf::TernaryWeights ternary_of_floats(const gguf::File& file, const gguf::Tensor& tensor) {
  gguf::check_finite(file, tensor);
  std::vector<float> values(tensor.elements());
  decode_floats(tensor.type, tensor.data, values);
  gguf::TernaryWeights w;
  for (const float value : values) w.scale = std::max(w.scale, std::abs(value));
  w.weights.resize(values.size());
  for (std::size_t e = 0; e < values.size(); ++e) {
    const float magnitude = std::abs(values[e]);
    if (magnitude >= kZero && magnitude != w.scale)
      file.fail(tensor.name, "its weights are not ternary: both " + std::to_string(magnitude) + " (in " +
                                 ternary::place_text(gguf::ternary_shape(tensor), e) + ") and " +
                                 std::to_string(w.scale) +
                                 " occur; convert the checkpoint with its own quantization");
    w.weights[e] = static_cast<std::int8_t>(magnitude < kZero ? 0 : values[e] > 0 ? 1 : -1);
  }
  return w;
}

class Quantizer {
 public:
  Quantizer(const gguf::File& source, const QuantizeOptions& options, const QuantizeProgress& progress)
      : source_(source), options_(options), type_(type_of(options.type)), progress_(progress) {
    if (options.head && source.find_tensor(kHead) == nullptr)
      source.fail(kHead,
                  "the model has no head of its own: its head is the embedding; choose that one's type");
    for (const auto type : {options.embedding, options.head})
      if (type && !is_float(*type)) throw std::invalid_argument("embedding and head are of a float type");
    for (const gguf::Tensor& tensor : source.tensors()) {
      targets_.push_back(target_of(tensor));
      total_ += tensor.data.size();
    }
  }

  QuantizeReport run(const std::filesystem::path& out) {
    const auto alignment = static_cast<std::uint32_t>(source_.alignment());
    gguf::Writer writer(out, alignment);
    add_keys(writer);
    for (const Target& t : targets_)
      writer.add_tensor(std::string(t.tensor->name), {t.tensor->ne, t.tensor->ne + t.tensor->n_dims},
                        t.format.type);
    writer.begin();
    for (const Target& t : targets_) {
      write(writer, t);
      advance(t.tensor->data.size());
    }
    writer.finish([&](const std::filesystem::path& temporary) { verify(gguf::File::open(temporary)); });
    return report_;
  }

 private:
  struct Target {
    const gguf::Tensor* tensor;
    TernaryFormat format;  // for other tensors the type alone
    bool projection;
  };

  Target target_of(const gguf::Tensor& tensor) {
    const bool ternary = is_ternary(tensor.type);
    const bool floats =
        tensor.type == TensorType::f32 || tensor.type == TensorType::f16 || tensor.type == TensorType::bf16;
    if (is_projection(tensor)) {
      if (!ternary && !floats)
        source_.fail(tensor.name,
                     "has type " + std::string(type_name(tensor.type)) +
                         ", which holds no ternary weights; take the model before it was quantized");
      return {&tensor, format_of(tensor), true};
    }
    std::optional<TensorType> wanted;
    if (tensor.name == kEmbedding) wanted = options_.embedding;
    if (tensor.name == kHead) wanted = options_.head;
    if (wanted && !is_float(tensor.type))
      source_.fail(tensor.name, "has type " + std::string(type_name(tensor.type)) +
                                    ", which cannot be converted; leave its type out");
    if (ternary)
      source_.fail(tensor.name,
                   "is ternary and no projection, which is not supported; expected a float type");
    return {&tensor, {wanted.value_or(tensor.type), I2sLayout::x86, {}}, false};
  }

  TernaryFormat format_of(const gguf::Tensor& tensor) {
    TernaryFormat format = {type_.type, type_.layout, {}};
    if (!is_ternary(type_.type)) return format;
    const TernaryShape shape = gguf::ternary_shape(tensor);
    if (type_.type == TensorType::tl1 || type_.type == TensorType::tl2) {
      const auto preset = preset_tiles(type_.type, shape);
      auto tiles = find_tiles(options_.tiles, shape);
      if (!tiles && preset.size() == 1) tiles = preset[0];
      if (!tiles) tiles = fitting_tiles(type_.type, shape);
      if (!tiles)
        source_.fail(tensor.name, "no tiles of " + std::string(type_name(type_.type)) + " fit a matrix of " +
                                      std::to_string(shape.rows) + " x " + std::to_string(shape.cols));
      format.tiles = *tiles;
      if (!find_tiles(tiles_, shape)) tiles_.push_back({shape, *tiles});
    }
    if (const std::string why = misfit(format, shape); !why.empty())
      source_.fail(tensor.name, "cannot be written as " + std::string(type_.name) + ": " + why);
    return format;
  }

  // As they are, but for those that tell what the projections are.
  void add_keys(gguf::Writer& writer) const {
    const std::set<std::string_view> own = {"general.alignment", gguf::kI2sLayoutKey, gguf::kTl1TilesKey,
                                            gguf::kTl2TilesKey};
    for (const auto& kv : source_.key_values()) {
      if (own.contains(kv.key)) continue;
      if (kv.key == kFileTypeKey)
        writer.add(std::string(kv.key), file_type_of(type_.type));
      else
        writer.add(kv);
    }
    if (type_.type == TensorType::i2_s && type_.layout != I2sLayout::x86)
      writer.add(std::string(gguf::kI2sLayoutKey), std::string(to_string(type_.layout)));
    if (tiles_.empty()) return;
    std::vector<std::uint32_t> flat;
    for (const TlEntry& e : tiles_)
      for (const std::uint64_t n : {e.shape.rows, e.shape.cols, std::uint64_t{e.tiles.rows},
                                    std::uint64_t{e.tiles.cols}, std::uint64_t{e.tiles.stripe}})
        flat.push_back(static_cast<std::uint32_t>(n));
    writer.add(std::string(type_.type == TensorType::tl1 ? gguf::kTl1TilesKey : gguf::kTl2TilesKey), flat);
  }

  gguf::TernaryWeights weights_of(const gguf::File& file, const gguf::Tensor& tensor,
                                  const gguf::TernaryOptions& options) {
    if (!is_ternary(tensor.type)) return ternary_of_floats(file, tensor);
    gguf::TernaryWeights w;
    w.weights.resize(tensor.elements());
    w.scale = workers_.decode(file, tensor, options,
                              [&](std::span<const std::int8_t> weights, std::uint64_t first) {
                                std::ranges::copy(weights, w.weights.data() + first);
                              });
    return w;
  }

  // The scale as the target holds it.
  float stored(float scale) const {
    if (type_.type == TensorType::f16 || rounds_scale(type_.type)) return f16_to_f32(f32_to_f16(scale));
    if (type_.type == TensorType::bf16) {
      std::array<std::byte, 2> bytes{};
      encode_floats(TensorType::bf16, {&scale, 1}, bytes);
      decode_floats(TensorType::bf16, bytes, {&scale, 1});
    }
    return scale;
  }

  void note_rounding(const gguf::Tensor& tensor, float scale) {
    const float kept = stored(scale);
    if (kept == scale) return;
    if (kept == 0 || !std::isfinite(kept))
      source_.fail(tensor.name, "its scale is no number that " + std::string(type_.name) +
                                    " can hold; choose a type with binary32 scales");
    ++report_.rounded;
    const double relative = std::abs(static_cast<double>(kept) - static_cast<double>(scale)) /
                            std::abs(static_cast<double>(scale));
    if (relative <= report_.greatest_rounding) return;
    report_.greatest_rounding = relative;
    report_.greatest_rounding_name = gguf::printable(tensor.name);
  }

  void write(gguf::Writer& writer, const Target& t) {
    if (t.projection) {
      ++report_.ternary;
      const gguf::TernaryWeights w = weights_of(source_, *t.tensor, options_.source);
      note_rounding(*t.tensor, w.scale);
      std::vector<std::byte> bytes(tensor_bytes(t.format.type, t.tensor->ne[0], t.tensor->rows()).value());
      try {
        encode(t.format, w, gguf::ternary_shape(*t.tensor), bytes);
      } catch (const InputError& e) {
        source_.fail(t.tensor->name, e.what());
      }
      writer.append(bytes);
    } else if (t.format.type == t.tensor->type) {
      ++report_.copied;
      writer.append(t.tensor->data);
    } else {
      ++report_.converted;
      gguf::check_finite(source_, *t.tensor);
      for_each_piece(t, [&](std::span<const std::byte> bytes, std::uint64_t) { writer.append(bytes); });
    }
  }

  void encode(const TernaryFormat& format, const gguf::TernaryWeights& w, TernaryShape shape,
              std::span<std::byte> bytes) {
    if (is_ternary(format.type)) return workers_.encode(format, w.weights, shape, w.scale, bytes);
    std::vector<float> values;
    values.reserve(w.weights.size());
    for (const std::int8_t weight : w.weights) values.push_back(w.scale * static_cast<float>(weight));
    encode_floats(format.type, values, bytes);
  }

  // Calls f with the bytes of some rows at a time, in the target's type, and where they begin.
  template <class F>
  void for_each_piece(const Target& t, F f) const {
    const std::uint64_t cols = t.tensor->ne[0];
    const std::uint64_t rows = std::max<std::uint64_t>(1, (std::uint64_t{1} << 20) / cols);
    const std::uint64_t from = tensor_bytes(t.tensor->type, cols, 1).value();
    const std::uint64_t to = tensor_bytes(t.format.type, cols, 1).value();
    std::vector<float> values;
    std::vector<std::byte> bytes;
    for (std::uint64_t row = 0; row < t.tensor->rows(); row += rows) {
      const std::uint64_t n = std::min(rows, t.tensor->rows() - row);
      values.resize(n * cols);
      bytes.resize(n * to);
      decode_floats(t.tensor->type, t.tensor->data.subspan(row * from, n * from), values);
      try {
        encode_floats(t.format.type, values, bytes);
      } catch (const std::invalid_argument& e) {
        source_.fail(t.tensor->name, std::string("cannot be converted: ") + e.what());
      }
      f(std::span<const std::byte>(bytes), row * to);
    }
  }

  // Everything in the new file, decoded by the rules for files, against the source.
  void verify(const gguf::File& written) {
    for (const Target& t : targets_) {
      const gguf::Tensor* tensor = written.find_tensor(t.tensor->name);
      if (tensor == nullptr || tensor->type != t.format.type || !holds(written, *tensor, t))
        throw SystemError(gguf::printable_message(written.name()) + ": tensor `" +
                          gguf::printable(t.tensor->name, 100) +
                          "`: does not read back as it was written; is the disk or the memory faulty?");
      advance(t.tensor->data.size());
    }
  }

  bool holds(const gguf::File& written, const gguf::Tensor& tensor, const Target& t) {
    if (!t.projection) {
      if (t.format.type == t.tensor->type) return std::ranges::equal(tensor.data, t.tensor->data);
      bool same = true;
      for_each_piece(t, [&](std::span<const std::byte> bytes, std::uint64_t at) {
        same = same && std::ranges::equal(tensor.data.subspan(at, bytes.size()), bytes);
      });
      return same;
    }
    const gguf::TernaryWeights expected = weights_of(source_, *t.tensor, options_.source);
    const gguf::TernaryWeights got = weights_of(written, tensor, {});
    // A matrix of zeros may have lost its scale, which says nothing.
    const bool zero = ternary::all_zero(expected.weights);
    return got.weights == expected.weights && (zero || got.scale == stored(expected.scale));
  }

  // Once when written, once when read.
  void advance(std::uint64_t bytes) {
    done_ += bytes;
    if (progress_) progress_(done_, 2 * total_);
  }

  const gguf::File& source_;
  const QuantizeOptions& options_;
  const QuantizeType& type_;
  const QuantizeProgress& progress_;
  std::vector<Target> targets_;
  TernaryWorkers workers_;
  TlTable tiles_;
  QuantizeReport report_;
  std::uint64_t total_ = 0;
  std::uint64_t done_ = 0;
};

}  // namespace

std::vector<QuantizeType> quantize_types() {
  return {kTypes.begin(), kTypes.end()};
}

QuantizeReport quantize(const gguf::File& source, const QuantizeOptions& options,
                        const std::filesystem::path& out, const QuantizeProgress& progress) {
  return Quantizer(source, options, progress).run(out);
}

}  // namespace bitnet
