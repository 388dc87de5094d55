#include "reference/oracle/participant.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "engine/error.h"
#include "reference/oracle/test_model.h"

namespace crossval {
namespace {

using bitnet::Tap;

class OracleParticipantTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::path(::testing::TempDir()) /
            ("oracle-participant-" + std::to_string(::getpid()) + ".gguf");
    testing::TestModel{testing::TestShape{}}.write(path_);
  }
  void TearDown() override { std::filesystem::remove(path_); }

  std::filesystem::path path_;
};

TEST_F(OracleParticipantTest, SaysWhatItIs) {
  const auto oracle = make_oracle(path_, {.threads = 2, .round_taps = false});
  EXPECT_EQ(oracle->identity().name, "oracle");
  EXPECT_FALSE(oracle->identity().version.empty());
  EXPECT_FALSE(oracle->identity().build.empty());
  EXPECT_EQ(oracle->identity().details.at("threads"), "2");
  EXPECT_EQ(oracle->n_vocab(), 260);
  EXPECT_TRUE(oracle->can_evaluate());
  EXPECT_EQ(oracle->taps().size(), 1u + 2 * 20 + 2);
}

TEST_F(OracleParticipantTest, ReadsTextAsTheFilePrescribes) {
  const auto oracle = make_oracle(path_, {});
  const auto tokens = oracle->tokenize("Hi", true, false);
  EXPECT_EQ(tokens, (std::vector<Token>{256, 'H', 'i'}));
  EXPECT_EQ(oracle->piece('H'), "H");
  EXPECT_EQ(oracle->piece(256), "");
  EXPECT_THROW(oracle->piece(260), bitnet::InputError);
  EXPECT_THROW(oracle->piece(-1), bitnet::InputError);
}

TEST_F(OracleParticipantTest, StreamsTheWantedTapsAsRoundedDoubles) {
  const auto oracle = make_oracle(path_, {});
  const std::vector<Token> prompt = {256, 'H', 'i'};
  std::vector<TapId> order;
  std::map<TapId, Tensor> tensors;
  const auto keep = [&](Tensor&& tensor) {
    order.push_back(tensor.id);
    tensors[tensor.id] = std::move(tensor);
  };
  oracle->eval(
      prompt, [](TapId) { return true; }, keep);
  EXPECT_EQ(order, oracle->taps());
  EXPECT_EQ(tensors.at({Tap::result_output, -1}).rows(), 3);
  EXPECT_EQ(tensors.at({Tap::result_output, -1}).row(2).size(), 260u);
  EXPECT_EQ(tensors.at({Tap::kq, 1}).row(0).size(), 4u);
  EXPECT_EQ(tensors.at({Tap::kq, 1}).row(2).size(), 12u);

  // One operation on what was streamed: the doubles behind the first tap are the file's own numbers, so the
  // norm of layer 0 has the same inputs both ways.
  const std::vector<std::int32_t> positions = {0, 1, 2};
  const Tensor& embedding = tensors.at({Tap::inp_embd, -1});
  EXPECT_EQ(oracle->evaluate({{Tap::attn_norm, 0}, positions, {}, embedding.values.data(), nullptr, nullptr}),
            tensors.at({Tap::attn_norm, 0}).values);

  // The next token, some taps only.
  order.clear();
  oracle->eval(
      {{'!'}}, [](TapId id) { return id.tap == Tap::kq || id.tap == Tap::result_output; }, keep);
  EXPECT_EQ(order, (std::vector<TapId>{{Tap::kq, 0}, {Tap::kq, 1}, {Tap::result_output, -1}}));
  EXPECT_EQ(tensors.at({Tap::kq, 0}).rows(), 1);
  EXPECT_EQ(tensors.at({Tap::kq, 0}).row(0).size(), 4u * 4);

  // And again from the start.
  const auto logits = tensors.at({Tap::result_output, -1}).values;
  oracle->reset();
  oracle->eval(
      {{256, 'H', 'i', '!'}}, [](TapId id) { return id.tap == Tap::result_output; }, keep);
  const auto last = tensors.at({Tap::result_output, -1}).row(3);
  EXPECT_EQ(std::vector<float>(last.begin(), last.end()), logits);
}

TEST_F(OracleParticipantTest, RefusesWhatIsNoModel) {
  EXPECT_THROW(make_oracle(path_.string() + ".absent", {}), bitnet::InputError);
}

}  // namespace
}  // namespace crossval
