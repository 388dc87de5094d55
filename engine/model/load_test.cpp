// What may stand in a model and what not, where the variations of a case count; a table of damaged and
// foreign files is in engine/cli/damaged_files_test.cpp.

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <limits>

#include "engine/error.h"
#include "engine/gguf/gguf.h"
#include "engine/gguf/writer.h"
#include "engine/model/test_contents.h"
#include "engine/model/test_model.h"

namespace bitnet {
namespace {

namespace fs = std::filesystem;
using test::Contents;

class Load : public testing::Test {
 protected:
  fs::path path_ = fs::temp_directory_path() / ("crossval-load-" + std::to_string(::getpid()) + ".gguf");
  void TearDown() override { fs::remove(path_); }

  Contents tiny() const {
    synth(test::tiny_shape(), 1, path_);
    return test::read_contents(gguf::File::open(path_));
  }

  // The error that loading the changed model gives.
  std::string error_of(const std::function<void(Contents&)>& change) {
    Contents contents = tiny();
    change(contents);
    test::write_contents(contents, path_);
    try {
      Model::load(path_);
    } catch (const InputError& e) {
      const std::string message = e.what();
      EXPECT_NE(message.find(path_.filename().string()), std::string::npos) << message;
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
      return message;
    }
    return "loaded";
  }

  void refused(const std::string& field, const std::string& what,
               const std::function<void(Contents&)>& change) {
    const std::string message = error_of(change);
    EXPECT_NE(message.find(field), std::string::npos) << message;
    EXPECT_NE(message.find(what), std::string::npos) << message;
  }
};

TEST_F(Load, AnUnchangedCopyLoads) {
  EXPECT_EQ(error_of([](Contents&) {}), "loaded");
}

TEST_F(Load, NumbersThatAreNone) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    refused("blk.1.attn_q.weight", "scale", [&](Contents& c) {
      auto& t = c.tensor("blk.1.attn_q.weight");
      std::memcpy(t.bytes.data() + t.ne[0] * t.ne[1] / 4, &bad, sizeof bad);
    });
    refused("output_norm.weight", "", [&](Contents& c) {
      std::memcpy(c.tensor("output_norm.weight").bytes.data() + 8, &bad, sizeof bad);
    });
  }
}

TEST_F(Load, TheActivationIsTheArchitecturesUnlessAKeyNamesOne) {
  const auto activation = [&](const char* architecture, const char* key, const char* name) {
    SynthShape shape = test::tiny_shape();
    shape.architecture = architecture;
    synth(shape, 1, path_);
    const gguf::File file = gguf::File::open(path_);
    const fs::path copy = path_.string() + ".named";
    {
      gguf::Writer writer(copy);
      for (const auto& kv : file.key_values()) writer.add(kv);
      if (key) writer.add(std::string(architecture) + "." + key, std::string(name));
      for (const auto& t : file.tensors())
        writer.add_tensor(std::string(t.name), {t.ne, t.ne + t.n_dims}, t.type);
      writer.begin();
      for (const auto& t : file.tensors()) writer.append(t.data);
      writer.finish();
    }
    const Activation found = read_config(gguf::File::open(copy)).activation;
    fs::remove(copy);
    return found;
  };
  for (const char* architecture : {"bitnet", "bitnet-25", "bitnet-b1.58", "llama"}) {
    const bool squared =
        architecture == std::string("bitnet-25") || architecture == std::string("bitnet-b1.58");
    EXPECT_EQ(activation(architecture, nullptr, nullptr),
              squared ? Activation::relu_squared : Activation::silu);
    for (const char* key : {"hidden_activation", "hidden_act"}) {
      EXPECT_EQ(activation(architecture, key, "relu2"), Activation::relu_squared) << architecture << key;
      EXPECT_EQ(activation(architecture, key, "silu"), Activation::silu) << architecture << key;
    }
  }
}

TEST_F(Load, WhatBitnetCppDoesOtherwiseIsWarnedOf) {
  const auto warnings = [&](const char* architecture, auto change) {
    SynthShape shape = test::tiny_shape();
    shape.architecture = architecture;
    change(shape);
    const Model model = test::make_model(shape);
    std::string all;
    for (const std::string& line : model.weights().warnings) all += line + "\n";
    return all;
  };
  const auto nothing = [](SynthShape&) {};
  const auto head = [](SynthShape& s) { s.untied = true; };
  const auto biases = [](SynthShape& s) { s.biases = true; };
  const auto factors = [](SynthShape& s) { s.factors = true; };
  for (const char* architecture : {"bitnet", "bitnet-25", "bitnet-b1.58", "llama"})
    EXPECT_EQ(warnings(architecture, nothing), "") << architecture;
  EXPECT_EQ(warnings("llama", head), "");
  EXPECT_EQ(warnings("llama", biases), "");
  EXPECT_EQ(warnings("bitnet-25", biases), "");  // of attention only
  EXPECT_EQ(warnings("bitnet", factors), "");
  EXPECT_NE(warnings("bitnet-b1.58", head).find("ignores it"), std::string::npos);
  EXPECT_NE(warnings("bitnet", head).find("output.weight is used as the head; bitnet.cpp refuses"),
            std::string::npos);
  EXPECT_NE(warnings("llama", factors).find("blk.0.attn_q.scale multiplies"), std::string::npos);

  const auto with_bias = [&](const char* name) {
    Contents c = tiny();
    c.tensors.push_back({name, {512}, TensorType::f32, std::vector<std::byte>(2048)});
    test::write_contents(c, path_);
    return Model::load(path_).weights().warnings;
  };
  const auto ffn = with_bias("blk.1.ffn_up.bias");
  ASSERT_EQ(ffn.size(), 1u);
  EXPECT_NE(
      ffn[0].find("blk.1.ffn_up.bias is added to what its matrix gives; bitnet.cpp reads it and does not"),
      std::string::npos)
      << ffn[0];
}

TEST_F(Load, TernaryShapesThatBitnetCppWouldCutInSilence) {
  // FFN width 320 = 2.5 blocks of 128; 510 rows are no multiple of four.
  refused("ffn_down.weight", "128", [](Contents& c) {
    c.set("bitnet-b1.58.feed_forward_length", std::uint32_t{320});
    for (int i = 0; i < 2; ++i)
      for (const char* name : {"ffn_gate", "ffn_up", "ffn_down"}) {
        auto& t = c.tensor("blk." + std::to_string(i) + "." + name + ".weight");
        for (auto& n : t.ne) n = n == 256 ? 256 : 320;
        t.bytes.resize(t.ne[0] * t.ne[1] / 4 + 32);
      }
    for (int i = 0; i < 2; ++i) {
      auto& t = c.tensor("blk." + std::to_string(i) + ".ffn_sub_norm.weight");
      t.ne[0] = 320;
      t.bytes.resize(320 * 4);
    }
  });
}

TEST_F(Load, HeadsOfEveryType) {
  // 256 x 512 zeros of each type: whole blocks of all of them.
  const auto retyped = [](TensorType type) {
    return [type](Contents& c) {
      auto& t = c.tensor("token_embd.weight");
      t.type = type;
      t.bytes.assign(tensor_bytes(type, t.ne[0], t.ne[1]).value(), std::byte{0});
    };
  };
  for (const auto type :
       {TensorType::f32, TensorType::f16, TensorType::bf16, TensorType::q8_0, TensorType::q6_k,
        TensorType::q5_0, TensorType::q4_k, TensorType::q4_0, TensorType::i2_s})
    EXPECT_EQ(error_of(retyped(type)), "loaded");
  refused("token_embd.weight",
          "TQ2_0, which is not supported here; expected F32, F16, BF16, Q8_0, Q6_K, Q5_0, Q4_K, Q4_0 or I2_S",
          retyped(TensorType::tq2_0));
}

TEST_F(Load, HeadsWhoseRowsAreNoWholeBlocks) {
  // Together the rows would be whole blocks. The writer refuses such a shape; a damaged file may have it.
  const auto cut = [&](TensorType type, std::uint64_t width) {
    tiny();
    std::string bytes;
    {
      std::ifstream in(path_, std::ios::binary);
      bytes.assign(std::istreambuf_iterator<char>(in), {});
    }
    const std::string name = "token_embd.weight";
    const std::size_t at = bytes.find(name) + name.size() + 4;  // behind the number of dimensions
    std::memcpy(bytes.data() + at, &width, 8);
    std::memcpy(bytes.data() + at + 16, &type, 4);
    std::ofstream(path_, std::ios::binary) << bytes;
    try {
      Model::load(path_);
    } catch (const InputError& e) {
      return std::string(e.what());
    }
    return std::string("loaded");
  };
  for (const auto& [type, width, text] :
       {std::tuple{TensorType::q6_k, 128u, "a row of 128 elements does not divide into the blocks of 256"},
        std::tuple{TensorType::q8_0, 240u, "a row of 240 elements does not divide into the blocks of 32"}}) {
    const std::string message = cut(type, width);
    EXPECT_NE(message.find("token_embd.weight"), std::string::npos) << message;
    EXPECT_NE(message.find(text), std::string::npos) << message;
    EXPECT_NE(message.find(type_name(type)), std::string::npos) << message;
  }
}

TEST_F(Load, FeedForwardLengthMayBeAnArray) {
  EXPECT_EQ(error_of([](Contents& c) {
              std::uint32_t n_ff = 0;
              for (auto& k : c.keys)
                if (k.name == "bitnet-b1.58.feed_forward_length") n_ff = std::get<std::uint32_t>(k.value);
              c.set("bitnet-b1.58.feed_forward_length", std::vector<std::uint32_t>{n_ff, n_ff});
            }),
            "loaded");
  refused("feed_forward_length", "one entry per layer",
          [](Contents& c) { c.set("bitnet-b1.58.feed_forward_length", std::vector<std::uint32_t>{512}); });
}

}  // namespace
}  // namespace bitnet
