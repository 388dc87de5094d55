#include "crossval/lockstep/stream.h"

#include <gtest/gtest.h>

#include <atomic>

#include "crossval/errors.h"

namespace crossval {
namespace {

using bitnet::Tap;

// Shows `taps` in order, one value each, then throws if told to.
class Scripted final : public Participant {
 public:
  std::vector<TapId> order;
  std::string failure;
  std::atomic<int> shown = 0;

  Identity identity() const override {
    return {.name = "scripted", .version = "", .build = "", .details = {}};
  }
  std::int64_t n_vocab() const override { return 1; }
  std::vector<TapId> taps() const override { return order; }
  std::vector<Token> tokenize(std::string_view, bool, bool) override { return {}; }
  std::string piece(Token) override { return {}; }
  void reset() override {}
  void eval(std::span<const Token>, const std::function<bool(TapId)>& wanted,
            const TensorSink& sink) override {
    for (const TapId id : order) {
      if (!wanted(id)) continue;
      sink(Tensor{.id = id, .offsets = {0, 1}, .values = {static_cast<float>(id.layer)}});
      ++shown;
    }
    if (!failure.empty()) throw std::runtime_error(failure);
  }
  std::vector<float> evaluate(const bitnet::Operation&) override { return {}; }
};

std::vector<TapId> many(int n) {
  std::vector<TapId> taps;
  for (int i = 0; i < n; ++i) taps.push_back({Tap::l_out, i});
  return taps;
}

const std::vector<Token> kTokens = {1};
const auto kAll = [](TapId) { return true; };

TEST(Stream, TakesInAnyOrder) {
  Scripted p;
  p.order = many(5);
  Stream stream(p, kTokens, kAll);
  EXPECT_EQ(stream.take({Tap::l_out, 3}).values[0], 3);
  EXPECT_EQ(stream.take({Tap::l_out, 0}).values[0], 0);
  EXPECT_EQ(stream.take({Tap::l_out, 4}).values[0], 4);
  stream.finish();
}

TEST(Stream, NextFollowsTheParticipantsOrder) {
  Scripted p;
  p.order = many(100);
  Stream stream(p, kTokens, kAll);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(stream.next()->id.layer, i);
  EXPECT_FALSE(stream.next().has_value());
}

TEST(Stream, MissingTapIsIncomparableAndNamed) {
  Scripted p;
  p.order = many(3);
  Stream stream(p, kTokens, kAll);
  try {
    stream.take({Tap::ffn_act, 0});
    FAIL() << "a tap that never came was taken";
  } catch (const Incomparable& e) {
    EXPECT_NE(std::string(e.what()).find("ffn_act-0"), std::string::npos);
  }
}

TEST(Stream, FailureComesThroughAfterWhatWasShown) {
  Scripted p;
  p.order = many(2);
  p.failure = "died";
  Stream stream(p, kTokens, kAll);
  EXPECT_TRUE(stream.next().has_value());
  EXPECT_TRUE(stream.next().has_value());
  EXPECT_THROW(stream.next(), std::runtime_error);
}

TEST(Stream, HoldsOnlyAboutOneLayerAndStopsWhenDropped) {
  Scripted p;
  p.order = many(10000);
  {
    Stream stream(p, kTokens, kAll);
    ASSERT_TRUE(stream.next().has_value());
    // The participant is held back by the queue; it cannot have run far ahead.
    EXPECT_LT(p.shown, 100);
  }
  EXPECT_LT(p.shown, 100);
}

}  // namespace
}  // namespace crossval
