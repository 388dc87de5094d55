// Damaged and foreign files, each named for what is wrong with it. Every one is refused, in one line that
// names the file, the field and the mend.

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <limits>
#include <ostream>

#include "engine/cli/quantize.h"
#include "engine/cli/synth.h"
#include "engine/convert/convert.h"
#include "engine/convert/test_checkpoint.h"
#include "engine/error.h"
#include "engine/formats/f16.h"
#include "engine/formats/test_ternary.h"
#include "engine/gguf/temporary_directory.h"
#include "engine/model/model.h"
#include "engine/model/test_contents.h"

namespace bitnet {
namespace {

using test::Contents;
using testing::read_file;
using testing::TemporaryDirectory;
using testing::TestCheckpoint;
using testing::write_file;
using testing_support::error_of;
using Path = std::filesystem::path;
using Words = std::vector<const char*>;

const Path kModel = Path(CROSSVAL_SOURCE_DIR) / "fixtures/model/bundled.gguf";
// 256 columns, 768 rows; not the last tensor of the file.
constexpr const char* kMatrix = "blk.1.ffn_up.weight";

void expect_words(const std::string& message, const Words& words) {
  EXPECT_FALSE(message.empty()) << "it was accepted";
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  for (const char* word : words)
    EXPECT_NE(message.find(word), std::string::npos) << "no \"" << word << "\" in: " << message;
}

/// A sound model's file, to be spoiled.
class ModelFile {
 public:
  explicit ModelFile(Path path) : path_(std::move(path)) {}
  const Path& path() const { return path_; }

  void replace_by(const std::string& bytes) { write_file(path_, bytes); }

  void bytes(const std::function<void(std::string&)>& change) {
    std::string all = read_file(path_);
    change(all);
    write_file(path_, all);
  }

  void contents(const std::function<void(Contents&)>& change) {
    Contents all = test::read_contents(gguf::File::open(path_));
    change(all);
    test::write_contents(all, path_);
  }

  template <class T>
  void key(const std::string& name, T value) {
    contents([&](Contents& c) { c.set(name, value); });
  }

  /// Overwrites bytes of a tensor.
  template <class T>
  void put(std::size_t at, T value, const char* tensor = kMatrix) {
    const std::size_t begin = data_of(tensor);
    bytes([&](std::string& all) { std::memcpy(all.data() + begin + at, &value, sizeof value); });
  }

  std::size_t size_of(const char* tensor) const {
    return gguf::File::open(path_).find_tensor(tensor)->data.size();
  }

  /// Another type, the bytes as they are.
  void renumber(std::uint32_t number) {
    bytes([&](std::string& all) {
      // Behind the name stand the number of dimensions, the dimensions, the type.
      const std::size_t at = all.find(kMatrix) + std::strlen(kMatrix) + 4 + 2 * 8;
      std::memcpy(all.data() + at, &number, sizeof number);
    });
  }

 private:
  std::size_t data_of(const char* tensor) const {
    const gguf::File file = gguf::File::open(path_);
    const std::span<const std::byte> data = file.find_tensor(tensor)->data;
    const std::string all = read_file(path_);
    return all.find(std::string_view(reinterpret_cast<const char*>(data.data()), data.size()));
  }

  Path path_;
};

struct ModelCase {
  const char* name;
  std::function<void(ModelFile&)> spoil;
  Words words;
  const char* type = "i2_s";  // of the projections; or an architecture
};
void PrintTo(const ModelCase& c, std::ostream* out) {
  *out << c.name;
}

// What is no GGUF file, or not all of one.
ModelCase foreign(const char* name, std::string bytes, Words words) {
  return {name, [bytes = std::move(bytes)](ModelFile& f) { f.replace_by(bytes); }, std::move(words)};
}

template <class T>
ModelCase key(const char* name, const char* field, T value, Words words) {
  words.push_back(field);
  return {name, [=](ModelFile& f) { f.key(field, value); }, std::move(words)};
}

ModelCase no_key(const char* name, const char* field, const char* type = "i2_s") {
  return {name, [=](ModelFile& f) { f.contents([&](Contents& c) { c.erase_key(field); }); }, {field}, type};
}

ModelCase number(const char* name, std::uint32_t number, Words words, const char* type = "i2_s") {
  words.push_back(kMatrix);
  return {name, [=](ModelFile& f) { f.renumber(number); }, std::move(words), type};
}

// `value` at a byte of the matrix.
template <class T>
ModelCase matrix(const char* name, const char* type, std::size_t at, T value, Words words) {
  words.push_back(kMatrix);
  return {name, [=](ModelFile& f) { f.put(at, value); }, std::move(words), type};
}

// The matrix's scale, which stands `before_end` bytes before its end.
ModelCase no_number(const char* name, const char* type, std::size_t before_end) {
  return {
      name,
      [=](ModelFile& f) { f.put(f.size_of(kMatrix) - before_end, std::numeric_limits<float>::quiet_NaN()); },
      {kMatrix, "scale", "not finite"},
      type};
}

ModelCase retyped(const char* name, const char* tensor, TensorType type, Words words,
                  const char* base = "i2_s") {
  words.push_back(tensor);
  return {name,
          [=](ModelFile& f) {
            f.contents([&](Contents& c) {
              auto& t = c.tensor(tensor);
              t.type = type;
              t.bytes.assign(tensor_bytes(type, t.ne[0], t.ne.size() > 1 ? t.ne[1] : 1).value(),
                             std::byte{0});
            });
          },
          std::move(words), base};
}

ModelCase extra(const char* name, const char* tensor, std::uint64_t width, Words words) {
  words.push_back(tensor);
  return {name,
          [=](ModelFile& f) {
            f.contents([&](Contents& c) {
              c.tensors.push_back({tensor, {width}, TensorType::f32, std::vector<std::byte>(4 * width)});
            });
          },
          std::move(words)};
}

constexpr std::size_t kTq1Block = 54, kTq2Block = 66, kIq1Row = 2 + 4 * 13, kIq2Row = 4 + 4 * 16,
                      kBitNet32Block = 10;
const auto kNan = std::numeric_limits<float>::quiet_NaN();

const std::vector<ModelCase> kModels = {
    // Other files under the name of a model.
    foreign("Empty", "", {"file: is empty", "download or copy it again"}),
    {"Directory",
     [](ModelFile& f) {
       std::filesystem::remove(f.path());
       std::filesystem::create_directory(f.path());
     },
     {"directory"}},
    {"Missing",
     [](ModelFile& f) { std::filesystem::remove(f.path()); },
     {"file: does not exist", "check the path"}},
    foreign("WebPage", "\n  <!DOCTYPE HTML><html><title>Log in</title></html>",
            {"header: is a web page", "download"}),
    foreign("GitLfsPointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0",
            {"is a Git LFS pointer", "git lfs pull"}),
    foreign("GgmlMagic", "lmgg1234", {"old GGML format", "convert_llama_ggml_to_gguf.py"}),
    foreign("GgmfMagic", "fmgg1234", {"old GGMF format", "convert_llama_ggml_to_gguf.py"}),
    foreign("GgjtMagic", "tjgg1234", {"old GGJT format", "convert_llama_ggml_to_gguf.py"}),
    foreign("GgmlAdapter", "algg1234", {"adapter, not a model"}),
    foreign("SwappedBytes", "FUGG1234", {"bytes swapped", "little-endian"}),
    foreign("Safetensors", std::string("\x40\0\0\0\0\0\0\0{\"a\":{}}", 16),
            {"is a safetensors file", "convert"}),
    foreign("PyTorchZip", "PK\x03\x04 rest", {"is a zip archive"}),
    foreign("PyTorchPickle", "\x80\x02}q", {"is a Python pickle"}),
    foreign("Gzip", "\x1f\x8b\x08 ", {"compressed with gzip", "unpack"}),
    foreign("Program",
            "\x7f"
            "ELF\x02\x01",
            {"is a program or library"}),
    foreign("JsonOfAnError", "{\"error\": \"Entry not found\"}", {"is a JSON text", "give the .gguf file"}),
    foreign("NothingButZeros", std::string(4096, '\0'), {"nothing but zero bytes", "download"}),
    foreign("SomeText", "Invalid user name or password", {"starts with \"Inva\"", "give a GGUF model"}),
    // GGUF, but not all of it, or another.
    {"CutInTheHeader", [](ModelFile& f) { f.bytes([](std::string& b) { b.resize(20); }); }, {"header"}},
    {"CutInTheKeys",
     [](ModelFile& f) { f.bytes([](std::string& b) { b.resize(1000); }); },
     {"header: claims 46 tensors", "cut short"}},
    {"CutInTheTensors",
     [](ModelFile& f) { f.bytes([](std::string& b) { b.resize(b.size() / 2); }); },
     {"tensor `", "cut short"}},
    {"LastByteCut",
     [](ModelFile& f) { f.bytes([](std::string& b) { b.resize(b.size() - 40); }); },
     {"tensor `", "cut short"}},
    {"VersionOne",
     [](ModelFile& f) { f.bytes([](std::string& b) { b[4] = 1; }); },
     {"version: is 1", "convert the model again"}},
    {"VersionToCome", [](ModelFile& f) { f.bytes([](std::string& b) { b[4] = 9; }); }, {"version: is 9"}},
    {"BigEndian",
     [](ModelFile& f) { f.bytes([](std::string& b) { b[4] = 0, b[7] = 3; }); },
     {"version: the file is big-endian", "gguf_convert_endian.py"}},
    {"TensorsWithoutEnd",
     [](ModelFile& f) { f.bytes([](std::string& b) { b.replace(8, 8, 8, '\xff'); }); },
     {"header: claims 18446744073709551615 tensors", "damaged"}},
    key("OneOfThreeSplits", "split.count", std::uint32_t{3},
        {"split into 3 files", "llama-gguf-split --merge"}),
    key("AlignmentOfThree", "general.alignment", std::uint32_t{3}, {"power of two"}),
    // Keys.
    no_key("NoArchitecture", "general.architecture"),
    key("Gemma", "general.architecture", std::string("gemma"), {"`gemma` is not supported"}),
    key("Qwen2", "general.architecture", std::string("qwen2"), {"`qwen2` is not supported"}),
    key("ArchitectureThatIsANumber", "general.architecture", std::uint32_t{1}, {"u32", "string"}),
    no_key("NoContextLength", "bitnet-b1.58.context_length"),
    no_key("NoEmbeddingLength", "bitnet-b1.58.embedding_length"),
    no_key("NoBlockCount", "bitnet-b1.58.block_count"),
    no_key("NoFeedForwardLength", "bitnet-b1.58.feed_forward_length"),
    no_key("NoHeadCount", "bitnet-b1.58.attention.head_count"),
    no_key("NoEpsilon", "bitnet-b1.58.attention.layer_norm_rms_epsilon"),
    key("BlockCountOfAnotherType", "bitnet-b1.58.block_count", std::int32_t{4}, {"i32"}),
    key("NoBlocks", "bitnet-b1.58.block_count", std::uint32_t{0}, {"between 1"}),
    key("BlocksWithoutEnd", "bitnet-b1.58.block_count", std::uint32_t{4000000000u}, {}),
    {"MoreBlocksThanTensors",
     [](ModelFile& f) { f.key("bitnet-b1.58.block_count", std::uint32_t{5}); },
     {"blk.4.attn_norm.weight", "is missing"}},
    key("KvHeadsThatDoNotDivide", "bitnet-b1.58.attention.head_count_kv", std::uint32_t{3}, {"must divide"}),
    key("EpsilonThatIsNoNumber", "bitnet-b1.58.attention.layer_norm_rms_epsilon", kNan, {"finite"}),
    key("RopeOfHalfAHead", "bitnet-b1.58.rope.dimension_count", std::uint32_t{32},
        {"must equal the head size"}),
    key("RopeBaseOfZero", "bitnet-b1.58.rope.freq_base", 0.0f, {"must be positive"}),
    key("RopeScalingOfYarn", "bitnet-b1.58.rope.scaling.type", std::string("yarn"),
        {"`yarn` is not supported"}),
    key("UnknownActivation", "bitnet-b1.58.hidden_activation", std::string("gelu"),
        {"`gelu` is not supported; supported are relu2 and silu"}),
    key("ActivationThatIsANumber", "bitnet-b1.58.hidden_act", 1.0f, {}),
    {"ActivationsThatContradict",
     [](ModelFile& f) {
       f.contents([](Contents& c) {
         c.set("bitnet-b1.58.hidden_activation", std::string("relu2"));
         c.set("bitnet-b1.58.hidden_act", std::string("silu"));
       });
     },
     {"bitnet-b1.58.hidden_act", "contradicts"}},
    key("VocabularySizeOfAnotherModel", "bitnet-b1.58.vocab_size", std::uint32_t{3},
        {"token_embd.weight has"}),
    key("LayoutOfANameUnknown", "crossval.i2_s.layout", std::string("mips"),
        {"x86, arm or 4-row, not `mips`"}),
    // The vocabulary.
    no_key("NoVocabulary", "tokenizer.ggml.tokens"),
    {"OneTokenTooMany",
     [](ModelFile& f) {
       f.contents([](Contents& c) {
         for (auto& k : c.keys)
           if (k.name == "tokenizer.ggml.tokens")
             std::get<std::vector<std::string>>(k.value).push_back("one too many");
       });
     },
     {"tokenizer.ggml.token_type", "1280 types for 1281 tokens"}},
    key("UnknownPreTokenizer", "tokenizer.ggml.pre", std::string("zork"), {"zork"}),
    key("UnknownTokenizer", "tokenizer.ggml.model", std::string("t5"), {"t5"}),
    no_key("NoMerges", "tokenizer.ggml.merges"),
    key("EndBeyondTheVocabulary", "tokenizer.ggml.eos_token_id", std::uint32_t{400000}, {"400000"}),
    key("ChatTemplateThatIsANumber", "tokenizer.chat_template", std::uint32_t{7}, {"u32", "string"}),
    // Tensors.
    {"NoMatrix",
     [](ModelFile& f) { f.contents([](Contents& c) { c.erase_tensor(kMatrix); }); },
     {kMatrix, "is missing"}},
    {"NoEmbedding",
     [](ModelFile& f) { f.contents([](Contents& c) { c.erase_tensor("token_embd.weight"); }); },
     {"token_embd.weight", "is missing"}},
    {"NormOfAnotherWidth",
     [](ModelFile& f) {
       f.contents([](Contents& c) {
         auto& t = c.tensor("blk.0.attn_norm.weight");
         t.ne[0] += 32;
         t.bytes.resize(t.bytes.size() + 128);
       });
     },
     {"blk.0.attn_norm.weight", "its shape is [288"}},
    {"NormThatIsNoNumber",
     [](ModelFile& f) { f.put(8, kNan, "output_norm.weight"); },
     {"output_norm.weight", "row 0"}},
    retyped("NormInF16", "blk.0.attn_norm.weight", TensorType::f16, {"F16", "expected F32"}),
    retyped("MatrixInF32", kMatrix, TensorType::f32, {"F32", "expected I2_S, TL1"}),
    retyped("DenseLlamaInQ4K", "blk.0.ffn_up.weight", TensorType::q4_k,
            {"has type Q4_K, which is not supported here"}, "llama"),
    retyped("HeadInTq2", "token_embd.weight", TensorType::tq2_0, {"TQ2_0", "expected F32, F16"}),
    extra("ATensorMore", "blk.0.extra.weight", 32, {"no such tensor"}),
    extra("ANormsBias", "blk.0.attn_norm.bias", 256, {"no such tensor"}),
    extra("ABiasOfAnotherWidth", "blk.0.attn_q.bias", 128, {"its shape is [128"}),
    extra("ScalesOfSplit32", "blk.0.attn_q.weight_scale", 2048, {"no such tensor"}),
    // Numbers of types.
    number("UnknownType", 9999, {"type 9999 (unknown)"}),
    number("TypeThatIsNotSupported", 3, {"type 3 (Q4_1)"}),
    number("Nvfp4", 40, {"type 40 (NVFP4) is not supported"}),
    number("Activations", 37, {"type 37 (I8_S) is for activations"}),
    number("RowsInterleavedByIk", 337, {"type 337 (IQ2_K_R4)"}),
    number("Q2OrTl2", 42, {"type 42", "its space does not fit TL2, so it is Q2_0"}, "tq2_0"),
    number("Tl2WithoutTiles", 39, {"TL2 tiles of a matrix of 768 x 256", "--tl-config"}),
    number("Tq2InTheSpaceOfI2s", 35, {"they overlap"}),
    number("Tq1InTheSpaceOfI2s", 34, {"TQ1_0: its scales differ"}),
    // Blocks of each format.
    no_number("I2sScale", "i2_s", 32),
    matrix("ArmCodeThree", "i2_s-arm", 0, std::uint8_t{0xff}, {"code"}),
    matrix("FourRowCodeThree", "i2_s-4-row", 0, std::uint8_t{0xff}, {"code"}),
    matrix("Tl1NibbleFifteen", "tl1", 0, std::uint8_t{0xff},
           {"TL1: the weight in row 0, column 0 has a code"}),
    no_number("Tl1Scale", "tl1", 32),
    {"Tl1TilesMissing",
     [](ModelFile& f) { f.contents([](Contents& c) { c.erase_key("crossval.tl1.tiles"); }); },
     {"TL1 tiles of a matrix of 256 x 256 are not known", "--tl-config"},
     "tl1"},
    matrix("Tl2MagnitudeFifteen", "tl2", 0, std::uint8_t{0xff},
           {"TL2: the weight in row 0, column 0 has a code"}),
    no_number("Tl2Scale", "tl2", 32),
    {"Tl2TilesOfThreeNumbers",
     [](ModelFile& f) {
       f.key("crossval.tl2.tiles", std::vector<std::uint32_t>{768, 256, 32});
     },
     {"crossval.tl2.tiles", "five for each shape"},
     "tl2"},
    {"Tl2TilesThatDoNotFit",
     [](ModelFile& f) {
       f.key("crossval.tl2.tiles",
             std::vector<std::uint32_t>{256, 256, 48, 96, 32, 768, 256, 48, 96, 32, 256, 768, 48, 96, 32});
     },
     {"cannot be TL2"},
     "tl2"},
    matrix("Tq1ScalesThatDiffer", "tq1_0", 3 * kTq1Block + 52, f32_to_f16(77.0f),
           {"TQ1_0: its scales differ", "77 from row 3"}),
    matrix("Tq2ScalesThatDiffer", "tq2_0", 3 * kTq2Block + 64, f32_to_f16(77.0f),
           {"TQ2_0: its scales differ", "77 from row 3"}),
    matrix("Tq2CodeThree", "tq2_0", 0, std::uint8_t{0xff},
           {"TQ2_0: the weight in row 0, column 0 has a code"}),
    matrix("Iq1ScalesThatDiffer", "iq1_bn", 2 * kIq1Row, f32_to_f16(77.0f), {"IQ1_BN: its scales differ"}),
    matrix("Iq2ScalesThatDiffer", "iq2_bn", 2 * kIq2Row, 77.0f, {"IQ2_BN: its scales differ"}),
    matrix("Iq2CodeThree", "iq2_bn", 4, std::uint8_t{0xff},
           {"IQ2_BN: the weight in row 0, column 0 has a code"}),
    matrix("BitNet32CodeZero", "bitnet32_f16", 0, std::uint8_t{0},
           {"BitNet32-F16: the weight in row 0, column 0 has a code"}),
    matrix("BitNet32ScalesThatDiffer", "bitnet32_f16", kBitNet32Block + 8, f32_to_f16(77.0f),
           {"BitNet32-F16: its scales differ"}),
};

class DamagedModel : public ::testing::TestWithParam<ModelCase> {};

TEST_P(DamagedModel, IsRefused) {
  const ModelCase& c = GetParam();
  const TemporaryDirectory dir;
  ModelFile file(dir / "spoiled.gguf");
  if (std::string(c.type) == "llama") {
    SynthShape shape = synth_shape("tiny");
    shape.architecture = "llama";
    synth(shape, 1, file.path());
  } else if (std::string(c.type) == "i2_s") {
    write_file(file.path(), read_file(kModel));
  } else {
    QuantizeOptions options;
    options.type = c.type;
    quantize(gguf::File::open(kModel), options, file.path());
  }
  ASSERT_EQ(error_of([&] { Model::load(file.path()); }), "");
  c.spoil(file);
  const std::string message = error_of([&] { Model::load(file.path()); });
  expect_words(message, c.words);
  expect_words(message, {"spoiled.gguf"});
}

INSTANTIATE_TEST_SUITE_P(Files, DamagedModel, ::testing::ValuesIn(kModels),
                         [](const auto& c) { return c.param.name; });

/// The folder of a sound checkpoint, to be spoiled before it is written or afterwards.
struct FolderCase {
  const char* name;
  std::function<void(TestCheckpoint&)> before;
  std::function<void(const Path& folder)> after;
  Words words;
};
void PrintTo(const FolderCase& c, std::ostream* out) {
  *out << c.name;
}

FolderCase before(const char* name, std::function<void(TestCheckpoint&)> change, Words words) {
  return {name, std::move(change), [](const Path&) {}, std::move(words)};
}

FolderCase file(const char* name, const char* file, const std::function<void(std::string&)>& change,
                Words words) {
  words.push_back(file);
  return {name, [](TestCheckpoint&) {},
          [=](const Path& folder) {
            std::string bytes = read_file(folder / file);
            change(bytes);
            write_file(folder / file, bytes);
          },
          std::move(words)};
}

const std::vector<FolderCase> kFolders = {
    {"NoConfig",
     [](TestCheckpoint&) {},
     [](const Path& p) { std::filesystem::remove(p / "config.json"); },
     {"config.json"}},
    {"NoTokenizer",
     [](TestCheckpoint&) {},
     [](const Path& p) { std::filesystem::remove(p / "tokenizer.json"); },
     {"tokenizer.json"}},
    {"NoWeights",
     [](TestCheckpoint&) {},
     [](const Path& p) { std::filesystem::remove(p / "model.safetensors"); },
     {"safetensors"}},
    file("ConfigCut", "config.json", [](std::string& b) { b.resize(b.size() / 2); }, {"is no JSON"}),
    file("ConfigThatIsALfsPointer", "config.json",
         [](std::string& b) { b = "version https://git-lfs.github.com/spec/v1\n"; },
         {"is a Git LFS pointer", "git lfs pull"}),
    file("TokenizerThatIsAWebPage", "tokenizer.json", [](std::string& b) { b = "<!DOCTYPE html>"; },
         {"is no JSON"}),
    file("WeightsCut", "model.safetensors", [](std::string& b) { b.resize(b.size() - 100); },
         {"data_offsets"}),
    file("WeightsThatAreALfsPointer", "model.safetensors",
         [](std::string& b) { b = "version https://git-lfs.github.com/spec/v1\n"; },
         {"is a Git LFS pointer", "git lfs pull"}),
    file("WeightsThatAreEmpty", "model.safetensors", [](std::string& b) { b.clear(); }, {}),
    file("WeightsOfNoJson", "model.safetensors", [](std::string& b) { b[9] = '\xff'; }, {"JSON"}),
    before("MixtureOfExperts", [](TestCheckpoint& c) { c.config["architectures"] = {"MixtralForCausalLM"}; },
           {"config.json", "architectures", "MixtralForCausalLM"}),
    before("NoHiddenSize", [](TestCheckpoint& c) { c.config.erase("hidden_size"); },
           {"config.json", "hidden_size: missing"}),
    before("HeadsThatDoNotDivide", [](TestCheckpoint& c) { c.config["num_attention_heads"] = 7; },
           {"config.json"}),
    before("OtherQuantization",
           [](TestCheckpoint& c) {
             c.config["quantization_config"] = {{"quant_method", "gptq"}};
           },
           {"quant_method", "`gptq`"}),
    before("WordPiece", [](TestCheckpoint& c) { c.tokenizer["model"]["type"] = "WordPiece"; },
           {"tokenizer.json", "`WordPiece` is not supported"}),
    before("MergesOfOnePiece", [](TestCheckpoint& c) { c.tokenizer["model"]["merges"][0] = "alone"; },
           {"model.merges[0]", "two texts"}),
    before("TokenBeyondTheEmbedding",
           [](TestCheckpoint& c) {
             c.tokenizer["added_tokens"].push_back({{"id", 400000}, {"content", "<x>"}});
           },
           {"tokenizer.json", "400000"}),
    before("NoNorm", [](TestCheckpoint& c) { c.weights.remove("model.norm.weight"); },
           {"model.norm.weight: missing"}),
    before("CodeThree",
           [](TestCheckpoint& c) {
             c.weights.tensor("model.layers.0.self_attn.q_proj.weight").bytes[5] = '\xff';
           },
           {"q_proj.weight: has code 3"}),
    before("NoScale",
           [](TestCheckpoint& c) { c.weights.remove("model.layers.0.self_attn.q_proj.weight_scale"); },
           {"is packed, but has no"}),
};

class DamagedCheckpoint : public ::testing::TestWithParam<FolderCase> {};

TEST_P(DamagedCheckpoint, IsRefused) {
  const FolderCase& c = GetParam();
  const TemporaryDirectory dir;
  TestCheckpoint checkpoint = testing::test_checkpoint(gguf::File::open(kModel));
  c.before(checkpoint);
  checkpoint.write(dir / "hf");
  c.after(dir / "hf");
  expect_words(error_of([&] { convert(dir / "hf", {}, dir / "out.gguf"); }), c.words);
  EXPECT_FALSE(std::filesystem::exists(dir / "out.gguf"));
}

INSTANTIATE_TEST_SUITE_P(Folders, DamagedCheckpoint, ::testing::ValuesIn(kFolders),
                         [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace bitnet
