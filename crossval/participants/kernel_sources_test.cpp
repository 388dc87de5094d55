// What is said of the sources must be found there.
#include "crossval/participants/kernel_sources.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "engine/kernels/kernels.h"
#include "engine/model/taps.h"

namespace crossval {
namespace {

namespace fs = std::filesystem;

std::string line_of(const SourceLine& source) {
  std::ifstream in(fs::path(CROSSVAL_SOURCE_DIR) / source.file);
  std::string line;
  for (int i = 0; i < source.line; ++i) std::getline(in, line);
  return in ? line : "";
}

TEST(KernelSources, EveryTapOfAModelIsComputedWhereItIsSaid) {
  const auto model = bitnet::Model::load(fs::path(CROSSVAL_SOURCE_DIR) / "fixtures/model/bundled.gguf");
  for (const bitnet::Kernels* kernels : bitnet::compiled_kernels()) {
    const auto sources = engine_sources(model, kernels->name);
    for (const bitnet::TapId tap : bitnet::canonical_taps(model.config())) {
      const auto it = sources.find(std::string(bitnet::base_name(tap.tap)));
      ASSERT_NE(it, sources.end()) << bitnet::to_string(tap);
      const std::string& name = it->second.function;
      EXPECT_NE(line_of(it->second).find(" " + name.substr(name.rfind(':') + 1) + "("), std::string::npos)
          << it->second.file << ":" << it->second.line;
    }
    EXPECT_TRUE(sources.at("ffn_act").function.ends_with("::relu_squared"));
  }
}

TEST(KernelSources, InheritedKernelsAreThoseOfTheBase) {
  for (const bitnet::Kernels* kernels : bitnet::compiled_kernels()) {
    const auto source = kernel_source(kernels->name, "quantize_blocks");
    ASSERT_TRUE(source);
    EXPECT_EQ(source->file, "engine/kernels/scalar/q6_k.cpp") << kernels->name;
    EXPECT_EQ(kernel_source(kernels->name, "ternary_matmul")->file,
              "engine/kernels/" + std::string(kernels->name) + "/ternary.cpp");
  }
  EXPECT_FALSE(kernel_source("scalar", "no_such_operation"));
  EXPECT_FALSE(kernel_source("no_such_isa", "silu"));
}

}  // namespace
}  // namespace crossval
