#include "crossval/participants/ahead.h"

#include <gtest/gtest.h>

#include <cstring>

#include "crossval/participants/engine_participant.h"

namespace crossval {
namespace {

const std::string kModel = std::string(CROSSVAL_SOURCE_DIR) + "/fixtures/model/awkward.gguf";
constexpr TapId kLogits{bitnet::Tap::result_output, -1};

/// What one evaluation showed.
std::vector<Tensor> shown(
    Participant& participant, std::span<const Token> tokens,
    const std::function<bool(TapId)>& wanted = [](TapId id) { return id == kLogits; }) {
  std::vector<Tensor> out;
  participant.eval(tokens, wanted, [&](Tensor&& t) { out.push_back(std::move(t)); });
  return out;
}

testing::AssertionResult same(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  if (a.size() != b.size()) return testing::AssertionFailure() << a.size() << " against " << b.size();
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i].id != b[i].id || a[i].offsets != b[i].offsets || a[i].values.size() != b[i].values.size() ||
        std::memcmp(a[i].values.data(), b[i].values.data(), a[i].values.size() * sizeof(float)) != 0)
      return testing::AssertionFailure() << "tensor " << i << " of " << a.size();
  return testing::AssertionSuccess();
}

class AheadTest : public testing::Test {
 protected:
  std::shared_ptr<const bitnet::Model> model_ =
      std::make_shared<const bitnet::Model>(bitnet::Model::load(kModel));
  std::unique_ptr<Participant> engine_ = make_engine(model_, {.threads = 1});

  static std::vector<AheadCase> cases() {
    std::vector<AheadCase> all;
    for (Token i = 0; i < 5; ++i) {
      AheadCase c{.id = "case-" + std::to_string(i), .prompt = {5, 9, i}, .options = {}};
      c.prompt.resize(3 + 10 * static_cast<std::size_t>(i), 17);
      c.options.stop.max_tokens = 6;
      c.options.stop.eog = false;
      all.push_back(c);
    }
    return all;
  }
  static Token best(const std::vector<Tensor>& logits) {
    const auto row = logits.at(0).row(logits[0].rows() - 1);
    return static_cast<Token>(std::ranges::max_element(row) - row.begin());
  }
  void begin(Participant& ahead, const AheadCase& c) {
    for (Participant* p : {&ahead, engine_.get()}) {
      p->begin_case(c.id);
      p->reset();
    }
  }
};

TEST_F(AheadTest, ShowsWhatTheEngineShows) {
  for (const std::size_t room : {std::size_t{1}, std::size_t{1} << 30}) {  // one by one, and all at once
    const auto ahead = make_ahead(model_, {.threads = 2}, cases(), room);
    for (const AheadCase& c : cases()) {
      begin(*ahead, c);
      std::vector<Token> fed = c.prompt;
      for (int step = 0; step < 6; ++step) {
        const auto expected = shown(*engine_, fed);
        EXPECT_TRUE(same(shown(*ahead, fed), expected)) << c.id << ", step " << step;
        fed.assign(1, best(expected));
      }
      // Beyond the limit, where nothing is known.
      EXPECT_TRUE(same(shown(*ahead, fed), shown(*engine_, fed)));
    }
  }
}

TEST_F(AheadTest, GoesOnWithOtherTokensThanItsOwn) {
  const auto ahead = make_ahead(model_, {.threads = 1}, cases());
  for (const int flip : {0, 1, 3}) {
    const AheadCase c = cases()[2];
    begin(*ahead, c);
    std::vector<Token> fed = c.prompt;
    std::vector<Token> all;
    for (int step = 0; step < 6; ++step) {
      if (step == flip) fed.back() = (fed.back() + 1) % static_cast<Token>(engine_->n_vocab());
      const auto expected = shown(*engine_, fed);
      EXPECT_TRUE(same(shown(*ahead, fed), expected)) << "flip " << flip << ", step " << step;
      all.insert(all.end(), fed.begin(), fed.end());
      fed.assign(1, best(expected));
    }
    // From the start again, all at once, as a candidate goes on alone after a flip.
    begin(*ahead, c);
    EXPECT_TRUE(same(shown(*ahead, all), shown(*engine_, all)));
  }
}

TEST_F(AheadTest, OtherTapsAndUnknownCasesAreEvaluatedWhenTheyAreAsked) {
  const auto ahead = make_ahead(model_, {.threads = 1}, cases());
  const AheadCase c = cases()[1];
  begin(*ahead, c);
  EXPECT_TRUE(same(shown(*ahead, c.prompt), shown(*engine_, c.prompt)));
  const std::vector<Token> next = {7};
  const auto every = [](TapId) { return true; };
  EXPECT_TRUE(same(shown(*ahead, next, every), shown(*engine_, next, every)));

  begin(*ahead, {.id = "none of them", .prompt = {1, 2}, .options = {}});
  EXPECT_TRUE(same(shown(*ahead, c.prompt), shown(*engine_, c.prompt)));
}

}  // namespace
}  // namespace crossval
