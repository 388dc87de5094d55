#include "engine/convert/convert.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "engine/convert/checkpoint.h"
#include "engine/convert/hf_config.h"
#include "engine/convert/hf_vocabulary.h"
#include "engine/convert/plan.h"
#include "engine/convert/scale_rule.h"
#include "engine/error.h"
#include "engine/formats/float_format.h"
#include "engine/formats/i2s.h"
#include "engine/gguf/printable.h"
#include "engine/gguf/writer.h"
#include "engine/model/config.h"
#include "engine/model/weights.h"
#include "engine/tokenizer/tokenizer.h"

namespace bitnet {
namespace {

using hf::ProjectionFacts;
using hf::ScaleRule;
using hf::Storage;
using hf::Target;

constexpr std::uint32_t kFileTypeI2s = 40;
constexpr std::uint64_t kPieceElements = std::uint64_t{1} << 20;
constexpr std::uintmax_t kMaxTemplateBytes = 1 << 20;
constexpr std::string_view kPointer = "version https://git-lfs";

std::string read_text(const std::filesystem::path& path) {
  std::error_code ignored;
  const auto size = std::filesystem::file_size(path, ignored);
  std::ifstream in(path, std::ios::binary);
  if (!in || size > kMaxTemplateBytes)
    throw InputError(gguf::printable_message(path.string()) +
                     ": file: " + (in ? "is larger than 1 MiB; is this a chat template?" : "cannot be read"));
  return {std::istreambuf_iterator<char>(in), {}};
}

// What `git clone` leaves of the large files of a folder where Git LFS is not installed.
void refuse_pointers(const std::filesystem::path& folder) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    std::string start(kPointer.size(), '\0');
    if (!entry.is_regular_file(error)) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    if (in.read(start.data(), static_cast<std::streamsize>(start.size())) && start == kPointer)
      throw InputError(gguf::printable_message(entry.path().string()) +
                       ": file: is a Git LFS pointer, not the file itself; run `git lfs pull` in the folder");
  }
}

hf::TokenizerFiles tokenizer_files(const std::filesystem::path& folder, const hf::JsonObject& config) {
  hf::TokenizerFiles files;
  files.tokenizer = hf::JsonObject::find_file(folder / "tokenizer.json");
  // Beside a byte-level tokenizer.json it is a file of tiktoken's.
  std::error_code ignored;
  const auto pieces = folder / "tokenizer.model";
  if (std::filesystem::exists(pieces, ignored) && (!files.tokenizer || is_sentence_piece(*files.tokenizer)))
    files.pieces = hf::SentencePieceModel::open(pieces);
  if (!files.tokenizer && !files.pieces)
    throw InputError(gguf::printable_message(folder.string()) +
                     ": tokenizer.json: missing, and tokenizer.model too; download the missing file");
  files.tokenizer_config = hf::JsonObject::find_file(folder / "tokenizer_config.json");
  files.generation_config = hf::JsonObject::find_file(folder / "generation_config.json");
  files.added_tokens = hf::JsonObject::find_file(folder / "added_tokens.json");
  files.config = config;
  if (const auto path = folder / "chat_template.jinja"; std::filesystem::exists(path, ignored))
    files.chat_template = read_text(path);
  return files;
}

class Converter {
 public:
  Converter(const std::filesystem::path& folder, const ConvertOptions& options,
            const ConvertProgress& progress)
      : folder_(folder),
        options_(options),
        progress_(progress),
        config_file_(hf::JsonObject::open(folder / "config.json")),
        config_(hf::read_hf_config(config_file_)),
        checkpoint_(hf::Checkpoint::open(folder)),
        plan_(hf::make_plan(checkpoint_, config_, options.embedding)),
        vocabulary_(
            hf::read_hf_vocabulary(tokenizer_files(folder, config_file_), config_.n_vocab, options.pre)) {
    if (!is_float(options.embedding)) throw std::invalid_argument("embedding and head are of a float type");
    (void)Tokenizer(vocabulary_.data(), {});
    report_.architecture = plan_.architecture;
    report_.notes = plan_.notes;
    std::ranges::copy(vocabulary_.notes, std::back_inserter(report_.notes));
    for (const Target& t : plan_.targets) total_ += bytes_of(t);
  }

  ConvertReport run(const std::filesystem::path& out) {
    gguf::Writer writer(out);  // first, because what is wrong with the name is cheap to find
    examine();
    choose_rule();
    add_keys(writer);
    add_vocabulary(writer);
    for (const Target& t : plan_.targets) writer.add_tensor(t.name, t.ne, t.type);
    writer.begin();
    for (std::size_t i = 0; i < plan_.targets.size(); ++i) write(writer, i);
    if (report_.rounded > 0)
      note(std::to_string(report_.rounded) + " numbers of embedding and head are not exact in " +
           std::string(type_name(options_.embedding)) + " and were rounded");
    writer.finish([&](const std::filesystem::path& temporary) { verify(gguf::File::open(temporary)); });
    return std::move(report_);
  }

 private:
  void note(std::string text) { report_.notes.push_back(std::move(text)); }

  static std::uint64_t bytes_of(const Target& t) {
    return t.source.weight != nullptr ? t.source.weight->data.size() : t.values.size() * sizeof(float);
  }

  // Three times: when examined, written and read back.
  void advance(const Target& t) {
    done_ += bytes_of(t);
    if (progress_) progress_(done_, 3 * total_);
  }

  void examine() {
    hf::ScaleEvidence& e = evidence_;
    e.quantized_by_bitnet = config_.quantized_by_bitnet;
    e.linear_class = config_.linear_class;
    for (const Target& t : plan_.targets) {
      facts_.emplace_back();
      ProjectionFacts& f = facts_.back();
      if (t.type == TensorType::i2_s) {
        f = hf::examine(checkpoint_, t.source);
        count(t, f);
        if (f.weight_scale) e.scales.push_back(*f.weight_scale);
        if (f.weight_scale && f.storage == Storage::master)
          e.masters.emplace_back(*f.weight_scale, f.absmean);
      } else {
        ++report_.others;
      }
      advance(t);
    }
  }

  void count(const Target& t, const ProjectionFacts& f) {
    if (f.storage == Storage::packed || f.storage == Storage::codes) ++report_.packed;
    if (f.storage == Storage::ternary) ++report_.ternary;
    if (f.storage != Storage::master) return;
    ++report_.master;
    if (!config_.ternary)
      checkpoint_.fail(t.source.weight->name,
                       "has weights that are not ternary, and config.json has no quantization_config with "
                       "quant_method bitnet: this model was not trained to be ternary");
  }

  void choose_rule() {
    if (report_.master > 0)
      note(std::to_string(report_.master) +
           " projections are master weights: made ternary by their mean magnitude");
    if (report_.ternary > 0)
      note(std::to_string(report_.ternary) +
           " projections are ternary already: their magnitude is the scale");
    // Master weights and floats that are ternary have their scale in themselves.
    if (report_.packed == 0 && evidence_.scales.empty()) return;
    const hf::ScaleFinding finding = hf::weigh(evidence_);
    if (options_.scales) {
      rule_ = *options_.scales;
      note("weight scales " + std::string(scale_rule_name(rule_)) +
           ": as given; the evidence: " + finding.reason);
      return;
    }
    if (!finding.rule)
      checkpoint_.fail("weight_scale", "whether they multiply or divide cannot be told (" + finding.reason +
                                           "); if you know it, give --weight-scale multiply or divide");
    rule_ = *finding.rule;
    note("weight scales " + std::string(scale_rule_name(rule_)) + ", because " + finding.reason);
  }

  // What the checkpoint says of itself, by the names of the modelspec convention.
  std::string described(const char* key) const {
    const auto it = checkpoint_.metadata().find(std::string("modelspec.") + key);
    return it == checkpoint_.metadata().end() ? "" : it->second;
  }

  std::string model_name() const {
    std::error_code ignored;
    const auto canonical = std::filesystem::weakly_canonical(folder_, ignored);
    for (const std::string& name :
         {options_.name, described("title"), config_.name, canonical.filename().string()})
      if (!name.empty()) return name;
    return "converted";
  }

  void add_keys(gguf::Writer& writer) const {
    const hf::HfConfig& c = config_;
    writer.add("general.architecture", plan_.architecture);
    writer.add("general.name", model_name());
    for (const char* key : {"description", "license"})
      if (const std::string text = described(key); !text.empty())
        writer.add(std::string("general.") + key, text);
    writer.add("general.file_type", kFileTypeI2s);
    const auto add = [&](const char* key, auto value) { writer.add(plan_.architecture + "." + key, value); };
    add("vocab_size", c.n_vocab);
    add("context_length", c.n_ctx);
    add("embedding_length", c.n_embd);
    add("block_count", c.n_layer);
    add("feed_forward_length", c.n_ff);
    add("attention.head_count", c.n_head);
    add("attention.head_count_kv", c.n_head_kv);
    if (std::uint64_t{c.n_head} * c.head_dim != c.n_embd) {
      add("attention.key_length", c.head_dim);
      add("attention.value_length", c.head_dim);
    }
    add("rope.dimension_count", c.head_dim);
    add("attention.layer_norm_rms_epsilon", c.rms_eps);
    add("rope.freq_base", c.rope_theta);
    if (c.rope_scaling.kind != hf::RopeScaling::Kind::linear) return;
    add("rope.scaling.type", std::string("linear"));
    add("rope.scaling.factor", static_cast<float>(c.rope_scaling.factor));
  }

  void add_vocabulary(gguf::Writer& writer) const {
    const hf::HfVocabulary& v = vocabulary_;
    writer.add("tokenizer.ggml.model", v.model);
    writer.add("tokenizer.ggml.pre", v.pre);
    writer.add("tokenizer.ggml.tokens", v.tokens);
    if (v.model == "llama") writer.add("tokenizer.ggml.scores", v.scores);
    writer.add("tokenizer.ggml.token_type", v.types);
    if (v.model == "gpt2") writer.add("tokenizer.ggml.merges", v.merges);
    for (const auto& [key, id] : v.ids) writer.add("tokenizer.ggml." + key, id);
    writer.add("tokenizer.ggml.add_bos_token", v.add_bos);
    if (v.add_eos) writer.add("tokenizer.ggml.add_eos_token", true);
    if (v.model == "llama") writer.add("tokenizer.ggml.add_space_prefix", v.add_space_prefix);
    if (!v.chat_template.empty()) writer.add("tokenizer.chat_template", v.chat_template);
  }

  void write(gguf::Writer& writer, std::size_t i) {
    const Target& t = plan_.targets[i];
    if (t.type == TensorType::i2_s) {
      const gguf::TernaryWeights w = hf::ternary_weights(checkpoint_, t.source, facts_[i], rule_);
      std::vector<std::byte> bytes(i2s::tensor_bytes(w.weights.size()));
      i2s::pack(w.weights, w.scale, bytes);
      writer.append(bytes);
    } else {
      for_each_piece(t, [&](std::span<const std::byte> bytes, std::span<const float> values, std::uint64_t) {
        writer.append(bytes);
        if (t.source.weight != nullptr) count_rounded(t, bytes, values);
      });
    }
    advance(t);
  }

  void count_rounded(const Target& t, std::span<const std::byte> bytes, std::span<const float> values) {
    if (t.type == TensorType::f32) return;
    std::vector<float> stored(values.size());
    decode_floats(t.type, bytes, stored);
    for (std::size_t k = 0; k < values.size(); ++k) report_.rounded += stored[k] != values[k];
  }

  // Calls f with the bytes of some rows at a time in the target's type, their values, and where they begin.
  template <class F>
  void for_each_piece(const Target& t, F f) const {
    if (t.source.weight == nullptr) return f(std::as_bytes(std::span(t.values)), std::span(t.values), 0);
    const Safetensors::Tensor& from = *t.source.weight;
    const TensorType type = hf::float_type_of(checkpoint_, from);
    const TernaryShape shape = t.source.shape;
    const std::uint64_t row_bytes = tensor_bytes(type, shape.cols, 1).value();
    const std::uint64_t rows = std::clamp<std::uint64_t>(kPieceElements / shape.cols, 1, shape.rows);
    std::vector<float> values;
    std::vector<std::byte> bytes;
    std::uint64_t at = 0;
    for (std::uint64_t row = 0; row < shape.rows; row += rows) {
      const std::uint64_t n = std::min(rows, shape.rows - row);
      values.resize(n * shape.cols);
      for (std::uint64_t i = 0; i < n; ++i) {
        const std::uint64_t source = hf::source_row(row + i, shape.rows, t.source.heads_to_interleave);
        decode_floats(type, from.data.subspan(source * row_bytes, row_bytes),
                      std::span(values).subspan(i * shape.cols, shape.cols));
      }
      const auto bad = std::ranges::find_if_not(values, [](float x) { return std::isfinite(x); });
      if (bad != values.end())
        checkpoint_.fail(from.name,
                         "is not finite in " +
                             ternary::place_text(
                                 shape, row * shape.cols + static_cast<std::uint64_t>(bad - values.begin())) +
                             "; the checkpoint is damaged");
      bytes.resize(bytes_in_target(t, values.size()));
      try {
        encode_floats(t.type, values, bytes);
      } catch (const std::invalid_argument& e) {
        checkpoint_.fail(from.name, std::string("cannot be written: ") + e.what() +
                                        "; choose another type with --embedding-type");
      }
      f(std::span<const std::byte>(bytes), std::span<const float>(values), at);
      at += bytes.size();
    }
  }

  // Whole rows, so whole blocks.
  std::uint64_t bytes_in_target(const Target& t, std::uint64_t elements) const {
    const auto bytes = tensor_bytes(t.type, t.ne[0], 1);
    if (!bytes)
      checkpoint_.fail(t.source.weight->name, "has rows of " + std::to_string(t.ne[0]) + " numbers, which " +
                                                  std::string(type_name(t.type)) +
                                                  " cannot hold; choose another type with --embedding-type");
    return t.ne.size() == 1 ? elements * sizeof(float) : elements / t.ne[0] * *bytes;
  }

  // Everything in the new file, decoded by the rules for files, against the checkpoint; and the engine must
  // take it.
  void verify(const gguf::File& written) {
    for (std::size_t i = 0; i < plan_.targets.size(); ++i) {
      const Target& t = plan_.targets[i];
      const gguf::Tensor* tensor = written.find_tensor(t.name);
      if (tensor == nullptr || tensor->type != t.type || !holds(written, *tensor, i))
        throw SystemError(gguf::printable_message(written.name()) + ": tensor `" + t.name +
                          "`: does not read back as it was written; is the disk or the memory faulty?");
      advance(t);
    }
    (void)load_weights(written, read_config(written));
    (void)Tokenizer(written);
  }

  bool holds(const gguf::File& written, const gguf::Tensor& tensor, std::size_t i) const {
    const Target& t = plan_.targets[i];
    if (t.type == TensorType::i2_s) {
      const gguf::TernaryWeights expected = hf::ternary_weights(checkpoint_, t.source, facts_[i], rule_);
      const gguf::TernaryWeights got = gguf::decode_ternary(written, tensor, {});
      return got.weights == expected.weights && got.scale == expected.scale;
    }
    bool same = true;
    for_each_piece(t, [&](std::span<const std::byte> bytes, std::span<const float>, std::uint64_t at) {
      same = same && std::ranges::equal(tensor.data.subspan(at, bytes.size()), bytes);
    });
    return same;
  }

  const std::filesystem::path& folder_;
  const ConvertOptions& options_;
  const ConvertProgress& progress_;
  hf::JsonObject config_file_;
  hf::HfConfig config_;
  hf::Checkpoint checkpoint_;
  hf::Plan plan_;
  hf::HfVocabulary vocabulary_;
  std::vector<ProjectionFacts> facts_;  // of each target
  hf::ScaleEvidence evidence_;
  ScaleRule rule_ = ScaleRule::multiply;
  ConvertReport report_;
  std::uint64_t total_ = 0;
  std::uint64_t done_ = 0;
};

}  // namespace

ConvertReport convert(const std::filesystem::path& folder, const ConvertOptions& options,
                      const std::filesystem::path& out, const ConvertProgress& progress) {
  refuse_pointers(folder);
  return Converter(folder, options, progress).run(out);
}

}  // namespace bitnet
