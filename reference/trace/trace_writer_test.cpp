#include "reference/trace/trace_writer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "engine/error.h"
#include "reference/trace/test_trace.h"
#include "reference/trace/trace_reader.h"

namespace crossval {
namespace {

namespace fs = std::filesystem;

class TraceWriterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(::testing::TempDir()) /
              (std::string("trace-") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path folder_;
};

TEST_F(TraceWriterTest, RowsThatCameInPiecesLieTogetherInCanonicalOrder) {
  const TapId kq{bitnet::Tap::kq, 0}, l_out{bitnet::Tap::l_out, 0}, logits{bitnet::Tap::result_output, -1};
  const auto add = [&](TraceWriter& w, const std::string& id, int step, TapId tap,
                       std::vector<float> values) {
    w.add(id, step, tap, std::vector<std::int64_t>{0, std::ssize(values)}, values);
  };
  {
    TraceWriter writer(folder_ / "t");
    add(writer, "a", 0, l_out, {4, 5});
    add(writer, "a", 0, kq, {1});
    add(writer, "a", 0, logits, {8, 9, 10});
    add(writer, "a", 0, kq, {2, 3});
    add(writer, "a", 0, l_out, {6, 7});
    add(writer, "a", 0, logits, {11, 12, 13});
    add(writer, "a", 1, kq, {14, 15, 16});
    add(writer, "a", 1, l_out, {17, 18});
    add(writer, "a", 1, logits, {19, 20, 21});
    add(writer, "b/c", 0, kq, {22});
    add(writer, "b/c", 0, l_out, {23, 24});
    add(writer, "b/c", 0, logits, {25, 26, 27});
    EXPECT_FALSE(fs::exists(folder_ / "t"));
    writer.finish(testing::test_trace().metadata);
  }
  std::ifstream in(folder_ / "t", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  EXPECT_TRUE(bytes.ends_with(testing::test_trace().data()));
  const Trace trace = Trace::open(folder_ / "t");
  EXPECT_EQ(trace.cases().size(), 2U);
  // The values begin at a multiple of eight, and nothing else is left behind.
  EXPECT_EQ((bytes.size() - testing::test_trace().data().size()) % 8, 0U);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1);
}

TEST_F(TraceWriterTest, HashesLieBesideValues) {
  const testing::TestTrace test = testing::test_trace(true);
  {
    TraceWriter writer(folder_ / "t");
    for (const auto& t : test.tensors) {
      const TraceName name = *parse_trace_name(t.name);
      if (name.hashes) {
        std::vector<Sha256> hashes(t.bytes.size() / sizeof(Sha256));
        std::memcpy(hashes.data(), t.bytes.data(), t.bytes.size());
        writer.add_hashes(name.case_id, name.step, name.tap, hashes);
      } else {
        std::vector<float> values(t.bytes.size() / sizeof(float));
        std::memcpy(values.data(), t.bytes.data(), t.bytes.size());
        writer.add(name.case_id, name.step, name.tap, std::vector<std::int64_t>{0, std::ssize(values)},
                   values);
      }
    }
    writer.finish(test.metadata);
  }
  const Trace trace = Trace::open(folder_ / "t");
  EXPECT_TRUE(trace.hashed());
  const Trace::Stored& stored = trace.cases().find("a")->second.steps[0].taps[1];
  EXPECT_EQ(stored.hashes.size(), 64U);
  EXPECT_EQ(stored.values.size(), 8U);
}

TEST_F(TraceWriterTest, AnAbandonedTraceLeavesNothing) {
  std::ofstream(folder_ / "t") << "precious";
  {
    TraceWriter writer(folder_ / "t");
    writer.add("a", 0, {bitnet::Tap::l_out, 0}, std::vector<std::int64_t>{0, 1}, std::vector<float>{1});
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1);
  EXPECT_EQ(fs::file_size(folder_ / "t"), 8U);
  EXPECT_THROW(TraceWriter(folder_ / "no" / "t"), bitnet::SystemError);
}

}  // namespace
}  // namespace crossval
