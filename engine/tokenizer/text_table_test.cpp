#include "engine/tokenizer/text_table.h"

#include <gtest/gtest.h>

#include "engine/tokenizer/pair_map.h"

namespace bitnet {
namespace {

TEST(TextTable, NumbersInOrderOfAppearanceAndGrows) {
  TextTable table;
  EXPECT_EQ(table.find("a"), TextTable::kNone);
  for (std::uint32_t i = 0; i < 10000; ++i) EXPECT_EQ(table.insert("text " + std::to_string(i * 7919)), i);
  EXPECT_EQ(table.insert(""), 10000u);
  EXPECT_EQ(table.size(), 10001u);
  for (std::uint32_t i = 0; i < 10000; ++i) {
    const std::string text = "text " + std::to_string(i * 7919);
    EXPECT_EQ(table.find(text), i);
    EXPECT_EQ(table.insert(text), i);
    EXPECT_EQ(table.text(i), text);
  }
  EXPECT_EQ(table.find(""), 10000u);
  EXPECT_EQ(table.text(10000), "");
  EXPECT_EQ(table.find("text"), TextTable::kNone);
}

TEST(TextTable, TextsThatDifferInLengthOrZerosAreDistinct) {
  TextTable table;
  table.reserve(10, 10);
  const std::string a(7, '\0');
  const std::string b(8, '\0');
  const std::string c(9, '\0');
  EXPECT_EQ(table.insert(a), 0u);
  EXPECT_EQ(table.insert(b), 1u);
  EXPECT_EQ(table.insert(c), 2u);
  EXPECT_EQ(table.find(std::string(6, '\0')), TextTable::kNone);
  EXPECT_EQ(table.find(b), 1u);
}

TEST(PairMap, KeepsTheFirstValueAndGrows) {
  PairMap map;
  EXPECT_EQ(map.find(1, 2), PairMap::kNone);
  for (std::uint32_t i = 0; i < 5000; ++i) EXPECT_TRUE(map.insert(i, i * 3, i));
  EXPECT_FALSE(map.insert(7, 21, 99));
  EXPECT_EQ(map.size(), 5000u);
  for (std::uint32_t i = 0; i < 5000; ++i) EXPECT_EQ(map.find(i, i * 3), i);
  EXPECT_EQ(map.find(21, 7), PairMap::kNone);
}

}  // namespace
}  // namespace bitnet
