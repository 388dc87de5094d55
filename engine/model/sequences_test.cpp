// Sequences that come and go: what one answers depends on its own tokens alone.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <fstream>
#include <functional>
#include <string>

#include "engine/error.h"
#include "engine/generate/random.h"
#include "engine/model/context.h"
#include "engine/model/test_model.h"
#include "engine/model/test_rows.h"

namespace bitnet {
namespace {

using namespace test;

class Sequences : public testing::Test {
 protected:
  Model model_ = make_model(tiny_shape());
  std::int64_t n_vocab_ = model_.config().n_vocab;
  std::vector<std::int32_t> text_ = some_tokens(150, 7, n_vocab_);
  std::vector<std::int32_t> other_ = some_tokens(150, 8, n_vocab_);

  std::vector<BatchRow> part(const std::vector<std::int32_t>& text, std::size_t first, std::size_t last,
                             int sequence = 0) {
    return rows_of(std::span(text).subspan(first, last - first), sequence);
  }
  /// The logits of the rows from `first` on of a text that is alone.
  std::vector<float> lone(const std::vector<std::int32_t>& text, std::size_t first = 0) {
    Context context(model_, {.threads = 1});
    const auto all = copy(context.forward(rows_of(text)));
    return {all.begin() + static_cast<std::ptrdiff_t>(first) * n_vocab_, all.end()};
  }
  static std::vector<std::int32_t> joined(std::span<const std::int32_t> a, std::span<const std::int32_t> b) {
    std::vector<std::int32_t> out(a.begin(), a.end());
    out.insert(out.end(), b.begin(), b.end());
    return out;
  }
  static std::string refusal(const std::function<void()>& f) {
    try {
      f();
    } catch (const InputError& e) {
      return e.what();
    }
    return "not refused";
  }
};

TEST_F(Sequences, IdsAreGivenOutAgain) {
  Context context(model_, {.threads = 1, .n_ctx = 64, .sequences = 2});
  EXPECT_EQ(context.acquire(), 2);
  EXPECT_EQ(context.acquire(), 3);
  context.release(1);
  context.release(2);
  EXPECT_FALSE(context.exists(1));
  EXPECT_EQ(context.acquire(), 1);
  EXPECT_EQ(context.length(1), 0);
  EXPECT_EQ(context.acquire(), 2);
  EXPECT_EQ(context.acquire(), 4);
}

TEST_F(Sequences, WhatDoesNotExistIsRefused) {
  Context context(model_, {.threads = 1});
  const int gone = context.acquire();
  context.release(gone);
  for (const int s : {gone, 17, -1}) {
    EXPECT_THROW(context.forward(part(text_, 0, 1, s)), InputError);
    EXPECT_THROW(context.release(s), InputError);
    EXPECT_THROW(context.fork(s), InputError);
    EXPECT_THROW(context.truncate(s, 0), InputError);
    EXPECT_THROW(context.save(s), InputError);
    EXPECT_THROW(context.length(s), InputError);
  }
  EXPECT_THROW(context.fork(0, 1), InputError);
  EXPECT_THROW(context.fork(0, -1), InputError);
  EXPECT_EQ(context.acquire(), gone) << "a refused fork left a sequence behind";
}

TEST_F(Sequences, AForkGoesOnAsIfAlone) {
  // At the ends of pages, within them, and at the very ends of the text.
  for (const std::size_t length : {0u, 1u, 63u, 64u, 65u, 100u}) {
    Context context(model_, {.threads = 2, .sequences = 3});
    context.forward(part(text_, 0, 100));
    const int forked = context.fork(0, static_cast<std::int64_t>(length));
    ASSERT_EQ(context.length(forked), static_cast<std::int64_t>(length));
    // Both go on, in one batch.
    std::vector<BatchRow> rows = part(text_, 100, 150);
    for (const BatchRow& row : part(other_, 0, 50, forked)) rows.push_back(row);
    const auto shown = copy(context.forward(rows));
    const auto half = static_cast<std::size_t>(50 * n_vocab_);
    EXPECT_TRUE(same_bits(std::span(shown).first(half), lone(text_, 100))) << "of " << length;
    const auto mixed = joined(std::span(text_).first(length), std::span(other_).first(50));
    EXPECT_TRUE(same_bits(std::span(shown).subspan(half), lone(mixed, length))) << "of " << length;
    EXPECT_TRUE(std::ranges::equal(context.tokens(forked), mixed));
  }
}

TEST_F(Sequences, ASharedPageIsCopiedBeforeItIsWritten) {
  Context context(model_, {.threads = 1, .sequences = 8});
  context.forward(part(text_, 0, 100));
  EXPECT_EQ(context.pool_use().used, 2);
  const int a = context.fork(0), b = context.fork(0, 70);
  EXPECT_EQ(context.pool_use().used, 2);
  context.release(0);  // the forks keep what they share
  EXPECT_EQ(context.pool_use().used, 2);
  context.forward(part(other_, 0, 1, a));
  EXPECT_EQ(context.pool_use().used, 3);
  context.forward(part(other_, 0, 1, b));  // now the last holder: nothing is copied
  EXPECT_EQ(context.pool_use().used, 3);
  context.truncate(a, 64);
  EXPECT_EQ(context.pool_use().used, 2);
  context.truncate(a, 10);  // into the page that both have
  EXPECT_EQ(
      copy(context.forward(part(text_, 10, 20, a))),
      copy(Context(model_, {}).forward(part(text_, 0, 20)).subspan(static_cast<std::size_t>(10 * n_vocab_))));
  EXPECT_EQ(context.pool_use().used, 3);
  const auto expected = lone(joined(std::span(text_).first(70), std::span(other_).first(50)), 71);
  EXPECT_TRUE(same_bits(copy(context.forward(part(other_, 1, 50, b))), expected));
}

TEST_F(Sequences, WithoutPagesNothingIsEvaluated) {
  Context context(model_, {.threads = 1, .n_ctx = 1000, .sequences = 2, .pool_tokens = 128});
  context.forward(part(text_, 0, 60));
  std::vector<BatchRow> rows = part(text_, 60, 130);
  rows.push_back({.token = 1, .sequence = 1});
  const std::string why = refusal([&] { context.forward(rows); });
  EXPECT_NE(why.find("all 2 pages"), std::string::npos) << why;
  EXPECT_EQ(context.length(0), 60);
  EXPECT_EQ(context.length(1), 0);
  EXPECT_EQ(context.pool_use().used, 1) << "pages that hold nothing";
  // A shared page that must be copied is one page more.
  context.forward(part(text_, 60, 100));
  const int forked = context.fork(0);
  EXPECT_THROW(context.forward(part(text_, 100, 101, forked)), InputError);
  EXPECT_THROW(context.forward(part(text_, 100, 101)), InputError);
  context.release(forked);
  EXPECT_TRUE(same_bits(
      copy(context.forward(part(text_, 100, 128))),
      std::span<const float>(lone(text_))
          .subspan(static_cast<std::size_t>(100 * n_vocab_), static_cast<std::size_t>(28 * n_vocab_))));
}

TEST_F(Sequences, ASavedSequenceGoesOnElsewhereInTheSameBits) {
  for (const std::size_t length : {0u, 1u, 64u, 100u}) {
    Context here(model_, {.isa = "scalar", .threads = 1, .n_ctx = 200});
    if (length > 0) here.forward(part(text_, 0, length));
    const std::vector<std::byte> saved = here.save(0);
    Context there(model_, {.threads = 2, .n_ctx = 150, .sequences = 2});
    const int restored = there.restore(saved);
    EXPECT_EQ(restored, 2);
    EXPECT_TRUE(std::ranges::equal(there.tokens(restored), std::span(text_).first(length)));
    EXPECT_EQ(there.save(restored), saved);
    EXPECT_TRUE(same_bits(copy(there.forward(part(text_, length, 150, restored))), lone(text_, length)))
        << length;
  }
}

TEST_F(Sequences, EveryDamageToASavedSequenceIsRefused) {
  Context context(model_, {.threads = 1, .n_ctx = 200, .sequences = 2});
  context.forward(part(text_, 0, 3));
  const std::vector<std::byte> saved = context.save(0);
  const auto pages = context.pool_use().used;
  Random random(3);
  // Each byte of the header and of the tokens, and some of the cells.
  for (std::size_t at = 0; at < saved.size(); at += at < 70 ? 1 : 37) {
    std::vector<std::byte> damaged = saved;
    damaged[at] ^= static_cast<std::byte>(1 + random.next() % 255);
    EXPECT_THROW(context.restore(damaged), InputError) << "byte " << at;
  }
  for (std::size_t size = 0; size < saved.size(); size += size < 70 ? 1 : 41)
    EXPECT_THROW(context.restore(std::span(saved).first(size)), InputError) << size << " bytes";
  std::vector<std::byte> longer = saved;
  longer.push_back({});
  EXPECT_THROW(context.restore(longer), InputError);
  EXPECT_EQ(context.pool_use().used, pages);
  EXPECT_EQ(context.acquire(), 2) << "a refused restore left a sequence behind";
}

TEST_F(Sequences, ASavedSequenceThatDoesNotFitIsRefusedByName) {
  Context context(model_, {.threads = 1});
  context.forward(part(text_, 0, 100));
  const std::vector<std::byte> saved = context.save(0);
  const auto why = [&](const Model& model, const ContextOptions& options) {
    return refusal([&] { Context(model, options).restore(saved); });
  };
  const auto has = [](const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos ? testing::AssertionSuccess()
                                                : testing::AssertionFailure() << text;
  };
  EXPECT_TRUE(has(why(model_, {.n_ctx = 99}), "100 tokens exceed the context of 99"));
  EXPECT_TRUE(has(why(model_, {.n_ctx = 100, .pool_tokens = 64}), "all 1 pages"));
  EXPECT_TRUE(has(why(model_, {.rope = RopeMath::libm}), "another RoPE"));
  EXPECT_TRUE(has(why(make_model(tiny_shape(), 2), {}), "of another model"));
  SynthShape shape = tiny_shape();
  shape.n_layer = 3;
  EXPECT_TRUE(has(why(make_model(shape), {}), "of a model of 2 layers"));
  // A count of tokens that would overflow a size.
  std::vector<std::byte> many = saved;
  for (std::size_t i = 32; i < 40; ++i) many[i] = std::byte{0xff};
  EXPECT_TRUE(has(refusal([&] { Context(model_, {}).restore(many); }), "exceed the context"));
  EXPECT_EQ(why(model_, {.isa = "scalar", .threads = 3, .n_ctx = 100}), "not refused");
}

std::int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::int64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

/// Ten thousand sessions, up to 200 at once: begun afresh or as a fork, grown in mixed batches, truncated,
/// saved and restored, gone. Every one follows one of a few texts, whose logits alone are known.
TEST_F(Sequences, TenThousandSessionsComeAndGo) {
  constexpr int kSessions = 10'000, kAtOnce = 200, kTexts = 4;
  constexpr std::int64_t kLongest = 150;
  std::vector<std::vector<std::int32_t>> texts;
  std::vector<std::vector<float>> expected;
  for (std::uint32_t i = 0; i < kTexts; ++i) {
    texts.push_back(some_tokens(kLongest, i + 20, n_vocab_));
    expected.push_back(lone(texts.back()));
  }
  struct Session {
    int sequence;
    std::size_t text;
    std::int64_t ends_at;
  };
  Context context(model_, {.threads = 1,
                           .n_ctx = kLongest,
                           .sequences = 0,
                           .pool_tokens = (kAtOnce + 1) * (kLongest + 64),
                           .idle_bytes = 0});
  context.release(context.acquire());
  std::vector<BatchRow> rows(kAtOnce, BatchRow{.token = 1, .sequence = context.acquire()});
  rows.resize(kLongest);
  context.forward(rows);  // scratch memory has its size
  context.release(0);
  ASSERT_EQ(context.pool_use().used, 0);
  ASSERT_EQ(context.pool_use().real_bytes, 0);
  const std::int64_t resident_before = resident_bytes();

  Random random(5);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random.next() % n); };
  std::vector<Session> live;
  std::vector<const Session*> grown;
  int begun = 0, ended = 0, forked = 0, restored = 0;
  std::int64_t most_real = 0, wrong = 0;
  while (ended < kSessions) {
    for (std::size_t n = below(80); n > 0 && std::ssize(live) < kAtOnce && begun < kSessions; --n, ++begun) {
      // Most are short.
      Session s{.sequence = 0,
                .text = below(kTexts),
                .ends_at = static_cast<std::int64_t>(1 + below(below(8) == 0 ? kLongest : 20))};
      if (!live.empty() && below(3) == 0) {
        const Session& from = live[below(live.size())];
        const auto length =
            static_cast<std::int64_t>(below(static_cast<std::size_t>(context.length(from.sequence)) + 1));
        s.text = from.text;
        s.sequence = context.fork(from.sequence, length);
        s.ends_at = std::min(kLongest, length + s.ends_at);
        ++forked;
      } else {
        s.sequence = context.acquire();
      }
      live.push_back(s);
    }
    // One mixed batch: some sessions go on, by some tokens each. The last row of each shows its logits.
    rows.clear();
    grown.clear();
    for (const Session& s : live) {
      const std::int64_t at = context.length(s.sequence);
      const auto more = std::min<std::int64_t>(s.ends_at - at, static_cast<std::int64_t>(below(10)));
      for (std::int64_t i = 0; i < more; ++i)
        rows.push_back({.token = texts[s.text][static_cast<std::size_t>(at + i)],
                        .sequence = s.sequence,
                        .logits = i + 1 == more});
      if (more > 0) grown.push_back(&s);
    }
    const std::span<const float> logits = context.forward(rows);
    for (std::size_t i = 0; i < grown.size(); ++i) {
      const auto at = static_cast<std::size_t>((context.length(grown[i]->sequence) - 1) * n_vocab_);
      const auto n = static_cast<std::size_t>(n_vocab_);
      wrong += !same_bits(logits.subspan(i * n, n), std::span(expected[grown[i]->text]).subspan(at, n));
    }
    most_real = std::max(most_real, context.pool_use().real_bytes);
    for (Session& s : live) {
      if (below(60) == 0) {
        const std::vector<std::byte> saved = context.save(s.sequence);
        context.release(s.sequence);
        s.sequence = context.restore(saved);
        ++restored;
      } else if (below(60) == 0) {
        context.truncate(s.sequence, static_cast<std::int64_t>(
                                         below(static_cast<std::size_t>(context.length(s.sequence)) + 1)));
      }
    }
    std::erase_if(live, [&](const Session& s) {
      if (context.length(s.sequence) < s.ends_at) return false;
      context.release(s.sequence);
      ++ended;
      return true;
    });
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(forked, 1000);
  EXPECT_GT(restored, 500);
  EXPECT_GT(most_real, 8 << 20);
  EXPECT_EQ(context.pool_use().used, 0);
  EXPECT_EQ(context.pool_use().real_bytes, 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // The tables of 200 sequences stay, and what the heap keeps of saved ones.
  EXPECT_LT(resident_bytes() - resident_before, 4 << 20) << "at most " << most_real << " were real";
#endif
}

}  // namespace
}  // namespace bitnet
