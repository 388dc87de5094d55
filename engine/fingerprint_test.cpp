#include "engine/fingerprint.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace bitnet {
namespace {

std::uint64_t of(std::initializer_list<std::string_view> parts) {
  Fingerprint sum;
  for (const std::string_view part : parts) sum.add(part);
  return sum.value();
}

TEST(Fingerprint, EveryBitAndEveryLengthCounts) {
  const std::string text = "three words of eight b";
  std::set<std::uint64_t> seen{of({text})};
  for (std::size_t at = 0; at < text.size(); ++at)
    for (int bit = 0; bit < 8; ++bit) {
      std::string other = text;
      other[at] = static_cast<char>(other[at] ^ 1 << bit);
      EXPECT_TRUE(seen.insert(of({other})).second) << at << ", bit " << bit;
    }
  for (std::size_t n = 0; n < text.size(); ++n) EXPECT_TRUE(seen.insert(of({text.substr(0, n)})).second) << n;
  EXPECT_TRUE(seen.insert(of({text + '\0'})).second);
}

TEST(Fingerprint, PartsDoNotRunIntoEachOther) {
  EXPECT_NE(of({"ab", "c"}), of({"a", "bc"}));
  EXPECT_NE(of({"", "a"}), of({"a", ""}));
  EXPECT_NE(of({}), of({""}));
}

}  // namespace
}  // namespace bitnet
