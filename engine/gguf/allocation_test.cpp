// A hostile file must not make the reader allocate: every allocation of this program is counted.

#include <gtest/gtest.h>

#include <limits>

#include "engine/error.h"
#include "engine/gguf/gguf.h"
#include "engine/gguf/test_bytes.h"
#include "engine/test_allocations.h"

namespace bitnet::gguf {
namespace {

using testing::Bytes;

struct Hostile {
  const char* label;
  Bytes bytes;
};

std::vector<Hostile> hostile_files() {
  std::vector<Hostile> files;
  const auto max = std::numeric_limits<std::uint64_t>::max();
  for (const std::uint64_t n :
       {max, max / 2, max / 8 + 1, max / 16, std::uint64_t{1} << 40, std::uint64_t{1} << 31}) {
    files.push_back({"tensors", Bytes().header(n, 0).zeros(4096)});
    files.push_back({"keys", Bytes().header(0, n).zeros(4096)});
    files.push_back({"key length", Bytes().header(0, 1).put(n).zeros(4096)});
    files.push_back(
        {"string length", Bytes().header(0, 1).string("k").put(ValueType::string).put(n).zeros(4096)});
    for (const auto type : {ValueType::u8, ValueType::u16, ValueType::f32, ValueType::f64, ValueType::string})
      files.push_back({"array", Bytes().header(0, 1).array("k", type, n).zeros(4096)});
    files.push_back({"tensor name", Bytes().header(1, 0).put(n).zeros(4096)});
    files.push_back({"dimension", Bytes().header(1, 0).tensor("x", {n}, 0u, 0).zeros(4096)});
  }
  return files;
}

TEST(GgufAllocation, HostileCountsAllocateLittle) {
  for (const Hostile& file : hostile_files()) {
    forget_test_allocations();
    bool refused = false;
    try {
      (void)File::parse(file.bytes.bytes, "m.gguf");
    } catch (const InputError&) {
      refused = true;
    }
    const TestAllocations made = test_allocations();
    EXPECT_TRUE(refused) << file.label;
    // Room for what 4 KiB of real entries could need, and the message.
    EXPECT_LE(made.largest, 64u << 10) << file.label;
    EXPECT_LE(made.bytes, 256u << 10) << file.label;
  }
}

TEST(GgufAllocation, MemoryFollowsTheFile) {
  // A file of nothing but empty strings: the most views per byte.
  Bytes b;
  b.header(0, 1).array("k", ValueType::string, 100000).zeros(800000);
  forget_test_allocations();
  const File f = File::parse(b.bytes, "m.gguf");
  const std::size_t total = test_allocations().bytes;
  EXPECT_EQ(std::get<Array>(f.key_values()[0].value).strings.size(), 100000u);
  EXPECT_LE(total, 8 * b.bytes.size());
}

}  // namespace
}  // namespace bitnet::gguf
