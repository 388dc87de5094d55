#include "engine/cli/layout_search.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/cli/quantize.h"
#include "engine/cli/synth.h"
#include "engine/gguf/temporary_directory.h"
#include "engine/gguf/writer.h"

namespace bitnet {
namespace {

using testing::TemporaryDirectory;
using Path = std::filesystem::path;

const Path kBundled = Path(CROSSVAL_SOURCE_DIR) / "fixtures/model/bundled.gguf";

void quantized(const std::string& type, const Path& out) {
  QuantizeOptions options;
  options.type = type;
  quantize(gguf::File::open(kBundled), options, out);
}

// The same file without the key that says it, as bitnet.cpp writes it.
void without_key(const Path& from, const Path& to) {
  const gguf::File file = gguf::File::open(from);
  gguf::Writer writer(to);
  for (const auto& kv : file.key_values())
    if (kv.key != gguf::kI2sLayoutKey) writer.add(kv);
  for (const auto& t : file.tensors())
    writer.add_tensor(std::string(t.name), {t.ne, t.ne + t.n_dims}, t.type);
  writer.begin();
  for (const auto& t : file.tensors()) writer.append(t.data);
  writer.finish();
}

TEST(FindLayout, ByWhatTheModelMakesOfAText) {
  const TemporaryDirectory dir;
  for (const auto& [type, layout] : {std::pair{"i2_s", I2sLayout::x86},
                                     {"i2_s-arm", I2sLayout::arm},
                                     {"i2_s-4-row", I2sLayout::four_row}}) {
    quantized(type, dir / "keyed");
    without_key(dir / "keyed", dir / "m");
    const LayoutFinding found = find_layout(dir / "m");
    EXPECT_EQ(found.layout, layout) << found.because;
    ASSERT_EQ(found.readings.size(), 3u);
    EXPECT_EQ(found.readings[0].layout, layout);
    EXPECT_LT(found.readings[0].nats_per_token + 1, found.readings[1].nats_per_token);
    EXPECT_NE(found.because.find("standard errors apart"), std::string::npos);
  }
}

TEST(FindLayout, ByTheFilesOwnKey) {
  const TemporaryDirectory dir;
  quantized("i2_s-arm", dir / "m");
  const LayoutFinding found = find_layout(dir / "m");
  EXPECT_EQ(found.layout, I2sLayout::arm);
  EXPECT_TRUE(found.readings.empty());
  quantized("tq2_0", dir / "m");
  EXPECT_EQ(find_layout(dir / "m").because, "the file has no I2_S");
}

TEST(FindLayout, WhatHasLearnedNothingTellsNothing) {
  const TemporaryDirectory dir;
  synth("tiny", "i2_s", 1, dir / "m");
  const LayoutFinding found = find_layout(dir / "m");
  EXPECT_EQ(found.layout, std::nullopt) << found.because;
  EXPECT_EQ(found.readings.size(), 3u);
}

}  // namespace
}  // namespace bitnet
