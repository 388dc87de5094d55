#include "engine/model/taps.h"

#include <gtest/gtest.h>

#include <set>

#include "engine/kernels/rounded_math.h"
#include "engine/model/operation.h"
#include "engine/model/rope_table.h"

namespace bitnet {
namespace {

Config config(bool sub_norms) {
  Config c;
  c.n_layer = 3;
  c.n_embd = 256;
  c.n_ff = 512;
  c.n_head = 4;
  c.n_head_kv = 2;
  c.head_dim = 64;
  c.n_rot = 64;
  c.n_vocab = 1000;
  c.n_ctx = 128;
  c.sub_norms = sub_norms;
  return c;
}

TEST(Taps, NamesAreThoseOfTheContractAndParseBack) {
  EXPECT_EQ(to_string({Tap::q_rope, 3}), "Qcur-3#2");
  EXPECT_EQ(to_string({Tap::attn_norm, 0}), "attn_norm-0");
  EXPECT_EQ(to_string({Tap::result_output, -1}), "result_output");
  std::set<std::string> names;
  for (const TapId id : canonical_taps(config(true))) {
    EXPECT_EQ(parse_tap(to_string(id)), id);
    EXPECT_TRUE(names.insert(to_string(id)).second);
  }
  for (const char* bad : {"", "attn_norm", "attn_norm-", "attn_norm--1", "attn_norm-x", "Qcur-3", "Qcur-3#3",
                          "result_norm-1", "inp_embd-0", "l_out-3 ", "l_out-99999999999"})
    EXPECT_FALSE(parse_tap(bad).has_value()) << bad;
}

TEST(Taps, ArchitecturesWithoutSubNormsHaveNone) {
  EXPECT_EQ(canonical_taps(config(true)).size(), 3u * 20 + 3);
  EXPECT_EQ(canonical_taps(config(false)).size(), 3u * 18 + 3);
}

TEST(Operations, EveryInputStandsBeforeItsOutput) {
  for (const bool sub_norms : {true, false}) {
    const Config c = config(sub_norms);
    std::set<TapId> seen;
    for (const TapId id : canonical_taps(c)) {
      const OperationInputs in = inputs_of(c, id);
      for (const TapId input : in.taps())
        EXPECT_TRUE(seen.contains(input)) << to_string(id) << " reads " << to_string(input);
      seen.insert(id);
    }
  }
}

TEST(RopeTable, RowsFollowTheRecurrence) {
  const Config c = config(true);
  RopeTable table(c, {}, RopeMath::own);
  table.prepare(100);
  float theta = 99;
  const float step = rounded_pow(c.rope_freq_base, -2.0f / 64);
  for (int i = 0; i < 32; ++i) {
    EXPECT_EQ(table.row(99).cos[i], rounded_cos(theta));
    EXPECT_EQ(table.row(99).sin[i], rounded_sin(theta));
    theta *= step;
  }
  EXPECT_EQ(table.row(0).cos[7], 1.0f);
  EXPECT_EQ(table.row(0).sin[7], 0.0f);
}

TEST(RopeTable, ARecordedTableIsUsedAndContinued) {
  const Config c = config(true);
  RopeTable table(c, {}, std::vector<float>(64, 0.25f), std::vector<float>(64, 0.5f));
  table.prepare(3);
  EXPECT_EQ(table.row(1).cos[31], 0.25f);
  EXPECT_EQ(table.row(1).sin[0], 0.5f);
  EXPECT_EQ(table.row(2).cos[0], rounded_cos(2));
}

}  // namespace
}  // namespace bitnet
