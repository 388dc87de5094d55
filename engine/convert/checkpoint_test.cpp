#include "engine/convert/checkpoint.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/convert/test_checkpoint.h"
#include "engine/formats/test_ternary.h"
#include "engine/gguf/temporary_directory.h"

namespace bitnet::hf {
namespace {

using nlohmann::json;
using testing::TemporaryDirectory;
using testing::TestSafetensors;
using testing::write_file;
using testing_support::error_of;

TestSafetensors holding(const std::string& name) {
  return {{}, {{name, "U8", {2}, "xy"}}};
}

class CheckpointTest : public ::testing::Test {
 protected:
  // Two shards, `a` in the first and `b` in the second.
  CheckpointTest() {
    write_file(dir_ / "1.safetensors", holding("a").bytes());
    write_file(dir_ / "2.safetensors", holding("b").bytes());
    write_index({{"a", "1.safetensors"}, {"b", "2.safetensors"}});
  }
  void write_index(const json& map) { write_file(index_, json{{"weight_map", map}}.dump()); }
  std::string failure() const {
    return error_of([&] { (void)Checkpoint::open(dir_.path()); });
  }
  void expect_failure(const std::string& part) const {
    const std::string message = failure();
    EXPECT_NE(message.find(part), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos);
  }

  TemporaryDirectory dir_;
  std::filesystem::path index_ = dir_ / "model.safetensors.index.json";
};

TEST_F(CheckpointTest, FindsTensorsInTheirShards) {
  const Checkpoint c = Checkpoint::open(dir_.path());
  EXPECT_EQ(c.files(), 2U);
  ASSERT_NE(c.find("b"), nullptr);
  EXPECT_EQ(c.find("b")->data.size(), 2U);
  EXPECT_EQ(c.find("c"), nullptr);
  ASSERT_EQ(c.tensors().size(), 2U);
  EXPECT_EQ(c.tensors()[0]->name, "a");
  EXPECT_NE(error_of([&] { c.fail("b", "is wrong"); }).find("2.safetensors: b: is wrong"), std::string::npos);
  EXPECT_EQ(error_of([&] { c.fail("c", "missing"); }), dir_.path().string() + ": c: missing");
}

TEST_F(CheckpointTest, AFolderWithoutWeights) {
  std::filesystem::remove(index_);
  expect_failure("model.safetensors: missing, and model.safetensors.index.json too; weights in other files");
  EXPECT_NE(error_of([] { (void)Checkpoint::open("/nowhere"); }).find("/nowhere: folder: is no folder"),
            std::string::npos);
  EXPECT_NE(error_of([&] { (void)Checkpoint::open(index_); }).find("is no folder"), std::string::npos);
}

TEST_F(CheckpointTest, WholeAndIndexTogether) {
  write_file(dir_ / "model.safetensors", holding("a").bytes());
  expect_failure("model.safetensors: stands beside model.safetensors.index.json; remove the one");
  std::filesystem::remove(index_);
  EXPECT_EQ(failure(), "");
}

TEST_F(CheckpointTest, NamesThatLeadOutOfTheFolder) {
  std::filesystem::create_directory(dir_ / "in");
  std::filesystem::copy(dir_ / "1.safetensors", dir_ / "in" / "1.safetensors");
  for (const char* name : {"../1.safetensors", "in/1.safetensors", "/etc/passwd", "..", "",
                           "in\\1.safetensors", "model.bin", "\x1b[2J"}) {
    write_index({{"a", name}, {"b", "2.safetensors"}});
    expect_failure(
        "model.safetensors.index.json: weight_map.a: must be the name of a .safetensors file in the same "
        "folder, not");
  }
  write_index({{"a", std::string("1.safetensors\0.safetensors", 26)}, {"b", "2.safetensors"}});
  expect_failure("weight_map.a: must be the name of a .safetensors file");
  write_index({{"a", 1}, {"b", "2.safetensors"}});
  expect_failure("weight_map.a: must be the name of a .safetensors file");
}

TEST_F(CheckpointTest, IndexAndShardsThatDoNotAgree) {
  write_index({{"a", "1.safetensors"}, {"b", "3.safetensors"}});
  expect_failure("weight_map: names `3.safetensors`, which is not there; download the missing shard");
  write_index({{"a", "1.safetensors"}});
  EXPECT_EQ(failure(), "");
  write_index({{"a", "1.safetensors"}, {"b", "1.safetensors"}});
  expect_failure("index.json: b: is not in `1.safetensors`");
  write_index({{"a", "1.safetensors"}, {"c", "2.safetensors"}});
  expect_failure("2.safetensors: b: is here, but model.safetensors.index.json does not name it here");
  write_index(json::object());
  expect_failure("weight_map: names no tensor");
  write_file(index_, "{}");
  expect_failure("weight_map: missing");
  write_file(index_, R"({"weight_map":{"a":"1.safetensors","a":"2.safetensors"}})");
  expect_failure("index.json: a: stands twice");
  write_file(index_, "");
  EXPECT_NE(failure(), "");
}

TEST_F(CheckpointTest, DamagedShards) {
  const std::string whole = holding("b").bytes();
  write_file(dir_ / "2.safetensors", whole.substr(0, whole.size() - 1));
  expect_failure("2.safetensors: b: its data_offsets 0 to 2 are not within the 1 bytes of data");
  write_file(dir_ / "2.safetensors", whole.substr(0, 20));
  expect_failure("2.safetensors: header length: is ");
  write_file(dir_ / "2.safetensors", "");
  EXPECT_NE(failure().find("2.safetensors"), std::string::npos);
  write_file(dir_ / "2.safetensors", holding("a").bytes());
  expect_failure("2.safetensors: a: is here, but");
}

}  // namespace
}  // namespace bitnet::hf
