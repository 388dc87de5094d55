#include "crossval/locate/locate.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "engine/cli/synth.h"
#include "engine/gguf/gguf.h"

namespace crossval {
namespace {

using bitnet::Tap;
namespace fs = std::filesystem;

const fs::path kFixtures = fs::path(CROSSVAL_SOURCE_DIR) / "fixtures";

class Locate : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              (std::string("locate-") + testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  Location located(RunOptions options, const std::vector<std::vector<Token>>& steps,
                   std::optional<TapId> until = {}) {
    if (options.model.empty()) options.model = kFixtures / "model/bundled.gguf";
    options.prompts = kFixtures / "faults/witness.json";
    options.reference = "emulator:rope=own";
    options.threads = 1;
    Session session = open_session(options, load_suite(options.prompts));
    const GateSet gates = default_gates(0.999);
    return locate(session, gates, "first", steps, until);
  }

  fs::path folder_;
};

TEST_F(Locate, FindsNothingWhereNothingIsWrong) {
  const Location location = located({}, {{1, 2, 3}, {4}});
  EXPECT_FALSE(location.guilty);
  EXPECT_EQ(location.step, 1);
  for (const TapErrors& errors : location.taps) {
    ASSERT_TRUE(errors.candidate && errors.reference) << bitnet::to_string(errors.tap);
    EXPECT_EQ(errors.candidate->bits, 0) << bitnet::to_string(errors.tap);
  }
  EXPECT_TRUE(to_json(location).at("who").is_null());
}

TEST_F(Locate, TellsTheErrorThatIsMadeFromThoseThatAreInherited) {
  RunOptions options;
  options.inject = "ffn-dropped";  // l_out-1 is the residual alone
  const Location location = located(options, {{1, 2, 3}});
  ASSERT_TRUE(location.guilty);
  EXPECT_EQ(location.guilty->blame, Blame::candidate);
  EXPECT_EQ(location.guilty->tap, (TapId{Tap::l_out, 1}));
  for (const TapErrors& errors : location.taps) {
    if (errors.tap.layer == 2) {  // wrong, but by inheritance
      EXPECT_TRUE(errors.candidate->judgement.pass) << bitnet::to_string(errors.tap);
      EXPECT_GT(errors.free.bits, 0) << bitnet::to_string(errors.tap);
    }
    EXPECT_TRUE(errors.reference->judgement.pass) << bitnet::to_string(errors.tap);
  }
  EXPECT_EQ(location.guilty->explanation->mistake, "branch-missing");
  EXPECT_EQ(location.guilty->explanation->bits, 0);
}

TEST_F(Locate, BlamesTheReferenceWhereItIsWrong) {
  RunOptions options;
  options.inject = "reference:missing-scale";
  const Location location = located(options, {{1, 2, 3}});
  ASSERT_TRUE(location.guilty);
  EXPECT_EQ(location.guilty->blame, Blame::reference);
  EXPECT_EQ(bitnet::to_string(location.guilty->tap), "ffn_up-0");
  EXPECT_NE(likeness_of(*location.guilty).find("the weight scale were left out: 0 bits left"),
            std::string::npos);
}

TEST_F(Locate, LeavesOutLayersAfterTheOneThatIsKnownToBeWrong) {
  RunOptions options;
  options.inject = "residual-dropped";
  const Location location = located(options, {{1, 2, 3}}, TapId{Tap::ffn_norm, 0});
  EXPECT_TRUE(location.guilty);
  for (const TapErrors& errors : location.taps) EXPECT_LE(errors.tap.layer, 0);
}

TEST_F(Locate, FindsTheStepWhereItBegins) {
  RunOptions options;
  options.inject = "cache-off-by-one";
  // With one cell the one before it is itself.
  const Location location = located(options, {{1}, {2}, {3}});
  ASSERT_TRUE(location.guilty);
  EXPECT_EQ(location.step, 1);
  EXPECT_EQ(bitnet::to_string(location.guilty->tap), "kq-0");
}

// The bytes of a tensor of a copied model; x86's layout of I2_S.
void set_code(const fs::path& path, const std::string& name, std::int64_t row, std::int64_t column,
              int code) {
  std::uint64_t at = 0;
  {
    const auto file = bitnet::gguf::File::open(path);
    const auto* tensor = file.find_tensor(name);
    const auto columns = static_cast<std::int64_t>(tensor->ne[0]);
    at = file.data_offset() + tensor->offset +
         static_cast<std::uint64_t>(row * columns / 4 + column / 128 * 32 + column % 32);
  }
  std::fstream bytes(path, std::ios::in | std::ios::out | std::ios::binary);
  bytes.seekg(static_cast<std::streamoff>(at));
  const int byte = bytes.get();
  const int shift = 6 - 2 * static_cast<int>(column % 128 / 32);
  bytes.seekp(static_cast<std::streamoff>(at));
  bytes.put(static_cast<char>((byte & ~(3 << shift)) | (code << shift)));
}

TEST_F(Locate, NamesASingleWrongWeightByTensorRowAndColumn) {
  const fs::path good = kFixtures / "model/bundled.gguf", bad = folder_ / "bad.gguf";
  fs::copy_file(good, bad);
  // Whatever it was, it is another now: both changes are tried, one of them changes it.
  set_code(bad, "blk.2.attn_output.weight", 201, 145, 2);
  RunOptions options;
  options.model = bad;
  options.reference_model = good;
  std::vector<Token> prompt;
  for (Token t = 40; t < 60; ++t) prompt.push_back(t);
  Location location = located(options, {prompt});
  if (!location.guilty) {
    set_code(bad, "blk.2.attn_output.weight", 201, 145, 0);
    location = located(options, {prompt});
  }
  ASSERT_TRUE(location.guilty);
  EXPECT_EQ(location.guilty->blame, Blame::candidate);
  ASSERT_EQ(location.guilty->weights.size(), 1u) << likeness_of(*location.guilty);
  const WrongWeight& weight = location.guilty->weights.front();
  EXPECT_EQ(weight.tensor, "blk.2.attn_output.weight");
  EXPECT_EQ(weight.row, 201);
  EXPECT_EQ(weight.column, 145);
}

}  // namespace
}  // namespace crossval
