#include "crossval/participants/one_by_one.h"

#include <gtest/gtest.h>

#include "crossval/lockstep/self_noise.h"
#include "engine/model/model.h"
#include "reference/emulator/participant.h"

namespace crossval {
namespace {

const std::string kModel = std::string(CROSSVAL_SOURCE_DIR) + "/fixtures/model/awkward.gguf";
const std::vector<Token> kTokens = {5, 9, 17, 33, 65};

std::unique_ptr<Participant> emulator() {
  return make_emulator(kModel, {.rope = emulation::Rope::own, .threads = 1});
}

std::vector<Tensor> shown(Participant& participant, std::span<const Token> tokens) {
  std::vector<Tensor> out;
  participant.eval(
      tokens, [](TapId) { return true; }, [&](Tensor&& t) { out.push_back(std::move(t)); });
  return out;
}

TEST(OneByOne, ShowsWhatSingleEvaluationsShow) {
  const bitnet::Model model = bitnet::Model::load(kModel);
  const auto plain = emulator();
  const auto one_by_one = make_one_by_one(emulator(), model.config());
  const auto taps = bitnet::canonical_taps(model.config());
  for (const std::size_t begin : {std::size_t{0}, std::size_t{3}}) {  // twice: positions go on
    const std::span<const Token> tokens(kTokens.data() + begin, begin == 0 ? 3U : 2U);
    const auto together = shown(*one_by_one, tokens);
    ASSERT_EQ(together.size(), taps.size());
    for (std::size_t row = 0; row < tokens.size(); ++row) {
      const auto single = shown(*plain, tokens.subspan(row, 1));
      for (std::size_t k = 0; k < taps.size(); ++k) {
        EXPECT_EQ(together[k].id, taps[k]);
        const auto got = together[k].row(static_cast<std::int64_t>(row)), want = single[k].row(0);
        EXPECT_TRUE(std::equal(got.begin(), got.end(), want.begin(), want.end()));
      }
    }
  }
}

TEST(OneByOne, KeepsTheLastRowsThatFitAndTheNoiseIsTakenOfThem) {
  const bitnet::Model model = bitnet::Model::load(kModel);
  const auto one_by_one = make_one_by_one(emulator(), model.config(), /*room=*/1);
  const auto again = shown(*one_by_one, kTokens);
  for (const Tensor& t : again) EXPECT_EQ(t.rows(), 1);

  const auto several = emulator();
  const auto reference = shown(*several, kTokens);
  SelfNoise noise;
  for (std::size_t k = 0; k < again.size(); ++k) note_noise(noise, reference[k], again[k]);
  EXPECT_TRUE(noise.measured);
  EXPECT_GT(noise.logit, 0);  // one token per evaluation and several round elsewhere
  EXPECT_LT(noise.taps[static_cast<std::size_t>(bitnet::Tap::l_out)].cosine, 1e-2);
  EXPECT_EQ(noise.taps[static_cast<std::size_t>(bitnet::Tap::inp_embd)].cosine, 0);
}

}  // namespace
}  // namespace crossval
