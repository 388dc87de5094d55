#include "engine/generate/batcher.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "engine/error.h"
#include "engine/model/test_model.h"
#include "engine/model/test_rows.h"

namespace bitnet {
namespace {

using namespace test;

class BatcherTest : public testing::Test {
 protected:
  Model model_ = make_model(tiny_shape());
  std::int64_t n_vocab_ = model_.config().n_vocab;

  Request request(std::int64_t prompt_tokens, std::uint32_t seed, int max_tokens) {
    Request r{.prompt = some_tokens(prompt_tokens, seed, n_vocab_)};
    r.options.stop.max_tokens = max_tokens;
    r.options.sampling.seed = seed;
    return r;
  }
  /// Greedy, sampled and penalised requests of many lengths.
  std::vector<Request> requests() {
    std::vector<Request> all;
    for (std::uint32_t i = 0; i < 9; ++i) {
      Request r = request(1 + 23 * i, i, 5 + 7 * static_cast<int>(i % 4));
      if (i % 3 == 1) r.options.sampling.temperature = 1;
      if (i % 3 == 2) r.options.sampling.repetition_penalty = 1.5f;
      all.push_back(r);
    }
    return all;
  }
  Generation alone(const Request& r) {
    Context context(model_, {.threads = 1});
    const auto evaluate = [&](std::span<const Token> tokens) {
      auto rows = rows_of(tokens);
      for (BatchRow& row : rows) row.logits = &row == &rows.back();
      return context.forward(rows);
    };
    return generate(model_.tokenizer(), evaluate, r.prompt, r.options);
  }
  void expect_as_alone(const std::map<int, Generation>& got, const std::vector<Request>& wanted) {
    ASSERT_EQ(got.size(), wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const Generation expected = alone(wanted[i]);
      EXPECT_EQ(got.at(static_cast<int>(i)).tokens, expected.tokens) << i;
      EXPECT_EQ(got.at(static_cast<int>(i)).text, expected.text) << i;
      EXPECT_EQ(got.at(static_cast<int>(i)).reason, expected.reason) << i;
    }
  }
};

void collect(Batcher& batcher, std::map<int, Generation>& into) {
  for (Finished& f : batcher.take_finished()) {
    EXPECT_FALSE(f.error);
    EXPECT_TRUE(into.emplace(f.id, std::move(f.generation)).second);
  }
}

std::map<int, Generation> finish(Batcher& batcher) {
  std::map<int, Generation> got;
  while (!batcher.idle()) {
    batcher.step();
    collect(batcher, got);
  }
  return got;
}

TEST_F(BatcherTest, EachGetsWhatItWouldGetAlone) {
  const std::vector<Request> all = requests();
  for (const int running : {1, 2, 32})
    for (const std::int64_t rows : {1, 10, 500}) {
      Context context(model_, {.threads = 2, .sequences = 0, .pool_tokens = 64 * 64});
      Batcher batcher(context, {.running = running, .rows = rows});
      for (const Request& r : all) batcher.submit(r);
      expect_as_alone(finish(batcher), all);
      EXPECT_EQ(context.pool_use().used, 0) << "sequences left behind";
    }
}

TEST_F(BatcherTest, RequestsJoinARunningBatch) {
  const std::vector<Request> all = requests();
  Context context(model_, {.threads = 2, .sequences = 0, .pool_tokens = 64 * 64});
  Batcher batcher(context, {.running = 4, .rows = 16});
  std::map<int, Generation> got;
  int most = 0;
  for (std::size_t at = 0; at < all.size() || !batcher.idle();) {
    if (at < all.size()) batcher.submit(all[at++]);
    for (int i = 0; i < 3; ++i) batcher.step();
    most = std::max(most, batcher.running());
    collect(batcher, got);
  }
  EXPECT_EQ(most, 4);
  expect_as_alone(got, all);
}

TEST_F(BatcherTest, GreedyOnesPickByTheScreenedHead) {
  SynthShape shape = tiny_shape();
  shape.untied = true;
  model_ = make_model(shape);
  std::vector<Request> all;
  for (std::uint32_t i = 0; i < 4; ++i) all.push_back(request(10, i, 20));
  Context context(model_, {.threads = 2, .sequences = 4, .screen_after = 0, .screen_min_bytes = 0});
  Batcher batcher(context);
  for (const Request& r : all) batcher.submit(r);
  expect_as_alone(finish(batcher), all);
  EXPECT_GT(context.head_work().screened, 0);
}

TEST_F(BatcherTest, WaitsForPagesAndSharesThem) {
  // Room for two at a time, or three where they share what they have in common.
  std::vector<Request> all;
  const std::vector<Token> common = some_tokens(128, 77, n_vocab_);
  for (std::uint32_t i = 0; i < 4; ++i) {
    Request r = request(10, i, 100);
    r.options.stop.eog = false;
    if (i != 1) r.prompt.insert(r.prompt.begin(), common.begin(), common.end());
    all.push_back(r);
  }
  Context context(model_, {.threads = 2, .n_ctx = 256, .sequences = 0, .pool_tokens = 8 * 64});
  Batcher batcher(context, {.rows = 1000});
  for (const Request& r : all) batcher.submit(r);
  std::map<int, Generation> got;
  int most = 0;
  while (!batcher.idle()) {
    batcher.step();
    most = std::max(most, batcher.running());
    collect(batcher, got);
  }
  EXPECT_EQ(most, 3);
  EXPECT_EQ(batcher.shared_tokens(), 256);
  expect_as_alone(got, all);
}

TEST_F(BatcherTest, TextComesAsItGrows) {
  Request r = request(5, 3, 30);
  std::string text;
  r.on_text = [&](std::string_view part) { text += part; };
  Context context(model_, {.threads = 1});
  Batcher batcher(context);
  batcher.submit(r);
  const auto got = finish(batcher);
  EXPECT_EQ(text, got.at(0).text);
  EXPECT_FALSE(text.empty());
}

TEST_F(BatcherTest, LogitsOfEveryTokenAreShown) {
  std::vector<Request> all = {request(80, 3, 30), request(90, 4, 10), request(70, 5, 20)};
  all[1].prompt = all[0].prompt;  // shared, were it not for the logits
  std::vector<std::vector<float>> shown(2);
  for (std::size_t i = 0; i < 2; ++i)
    all[i].on_logits = [&, i](std::span<const float> logits) {
      shown[i].insert(shown[i].end(), logits.begin(), logits.end());
    };
  Context context(model_, {.threads = 2, .sequences = 3});
  Batcher batcher(context, {.rows = 60});
  batcher.submit(all[0]);
  batcher.step();
  batcher.step();
  batcher.submit(all[1]);
  batcher.submit(all[2]);
  const auto got = finish(batcher);
  expect_as_alone(got, all);
  for (std::size_t i = 0; i < 2; ++i) {
    std::vector<Token> text = all[i].prompt;
    const std::vector<Token>& answer = got.at(static_cast<int>(i)).tokens;
    text.insert(text.end(), answer.begin(), answer.end() - 1);
    Context lone(model_, {.threads = 1});
    EXPECT_TRUE(same_bits(shown[i], lone.forward(rows_of(text)))) << i;
  }
}

TEST_F(BatcherTest, AFailureIsOneRequestsOwn) {
  std::vector<Request> all = {request(5, 3, 30), request(5, 4, 10)};
  Request bad = all[0];
  bad.on_text = [](std::string_view) { throw std::runtime_error("closed"); };
  Context context(model_, {.threads = 1, .sequences = 0, .pool_tokens = 1000});
  Batcher batcher(context);
  batcher.submit(bad);
  batcher.submit(all[1]);
  std::map<int, Generation> got;
  int failed = 0;
  while (!batcher.idle()) {
    batcher.step();
    for (Finished& f : batcher.take_finished()) {
      if (f.error) {
        EXPECT_EQ(f.id, 0);
        EXPECT_THROW(std::rethrow_exception(f.error), std::runtime_error);
        ++failed;
      } else {
        got.emplace(f.id, std::move(f.generation));
      }
    }
  }
  EXPECT_EQ(failed, 1);
  EXPECT_EQ(got.at(1).tokens, alone(all[1]).tokens);
  EXPECT_EQ(context.pool_use().used, 0);
}

TEST_F(BatcherTest, ARequestCanBeCancelled) {
  Context context(model_, {.threads = 1, .sequences = 0, .pool_tokens = 1000});
  Batcher batcher(context, {.running = 1});
  const Request r = request(5, 3, 30);
  const int first = batcher.submit(r), second = batcher.submit(r), third = batcher.submit(r);
  for (int i = 0; i < 3; ++i) batcher.step();
  EXPECT_TRUE(batcher.cancel(first));
  EXPECT_TRUE(batcher.cancel(second));
  EXPECT_FALSE(batcher.cancel(first));
  EXPECT_FALSE(batcher.cancel(99));
  const std::vector<Finished> ended = batcher.take_finished();
  ASSERT_EQ(ended.size(), 2u);
  const Generation expected = alone(r);
  EXPECT_EQ(ended[0].generation.tokens,
            std::vector<Token>(expected.tokens.begin(), expected.tokens.begin() + 3));
  EXPECT_TRUE(ended[1].generation.tokens.empty());
  EXPECT_EQ(finish(batcher).at(third).tokens, expected.tokens);
}

TEST_F(BatcherTest, RefusesWhatCanNeverBeServed) {
  Context context(model_, {.threads = 1, .n_ctx = 200, .sequences = 1, .pool_tokens = 128});
  Batcher batcher(context);
  EXPECT_THROW(batcher.submit(request(0, 1, 5)), InputError);
  EXPECT_THROW(batcher.submit(request(200, 1, 5)), InputError);
  EXPECT_THROW(batcher.submit(request(130, 1, 5)), InputError);  // more than the pool
  EXPECT_THROW(batcher.submit(request(5, 1, -1)), InputError);
  Request outside = request(5, 1, 5);
  outside.prompt[2] = static_cast<Token>(n_vocab_);
  EXPECT_THROW(batcher.submit(outside), InputError);
  EXPECT_THROW(Batcher(context, {.running = 0}), InputError);
  EXPECT_TRUE(batcher.idle());

  // Nothing to generate is an answer too.
  const int id = batcher.submit(request(5, 1, 0));
  const std::vector<Finished> ended = batcher.take_finished();
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].id, id);

  // Pages that somebody else holds.
  context.forward(rows_of(some_tokens(100, 1, n_vocab_)));
  batcher.submit(request(5, 1, 5));
  EXPECT_THROW(batcher.step(), InputError);
  context.truncate(0, 0);
  EXPECT_EQ(finish(batcher).size(), 1u);
}

}  // namespace
}  // namespace bitnet
