#include "engine/tokenizer/deepseek.h"

#include <algorithm>
#include <iterator>
#include <span>

#include "engine/tokenizer/fragment.h"

namespace bitnet {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};

bool is_in(std::span<const Range> ranges, char32_t c) {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), c,
                                      [](char32_t value, const Range& r) { return value < r.first; });
  return after != ranges.begin() && c <= std::prev(after)->last;
}

// Letters that have a case (Lu, Ll, Lt), as far as the expression knows them: most of those of Unicode 11, no
// Georgian of the lower case, no Latin Extended-D from U+A790 on, no mathematical alphabets.
constexpr Range kCased[] = {
    {0x41, 0x5A},       {0x61, 0x7A},       {0xB5, 0xB5},       {0xC0, 0xD6},       {0xD8, 0xF6},
    {0xF8, 0x1BA},      {0x1BC, 0x1BF},     {0x1C4, 0x293},     {0x295, 0x2AF},     {0x370, 0x373},
    {0x376, 0x377},     {0x37B, 0x37D},     {0x37F, 0x37F},     {0x386, 0x386},     {0x388, 0x38A},
    {0x38C, 0x38C},     {0x38E, 0x3A1},     {0x3A3, 0x3F5},     {0x3F7, 0x481},     {0x48A, 0x52F},
    {0x531, 0x556},     {0x10A0, 0x10C5},   {0x13A0, 0x13F5},   {0x13F8, 0x13FD},   {0x1C90, 0x1CBA},
    {0x1CBD, 0x1CBF},   {0x1D00, 0x1D2B},   {0x1D6B, 0x1D77},   {0x1D79, 0x1D9A},   {0x1E00, 0x1F15},
    {0x1F18, 0x1F1D},   {0x1F20, 0x1F45},   {0x1F48, 0x1F4D},   {0x1F50, 0x1F57},   {0x1F59, 0x1F59},
    {0x1F5B, 0x1F5B},   {0x1F5D, 0x1F5D},   {0x1F5F, 0x1F7D},   {0x1F80, 0x1FB4},   {0x1FB6, 0x1FBC},
    {0x1FBE, 0x1FBE},   {0x1FC2, 0x1FC4},   {0x1FC6, 0x1FCC},   {0x1FD0, 0x1FD3},   {0x1FD6, 0x1FDB},
    {0x1FE0, 0x1FEC},   {0x1FF2, 0x1FF4},   {0x1FF6, 0x1FFC},   {0x2102, 0x2102},   {0x2107, 0x2107},
    {0x210A, 0x2113},   {0x2115, 0x2115},   {0x2119, 0x211D},   {0x2124, 0x2124},   {0x2126, 0x2126},
    {0x2128, 0x2128},   {0x212A, 0x212D},   {0x212F, 0x2134},   {0x2139, 0x2139},   {0x213C, 0x213F},
    {0x2145, 0x2149},   {0x214E, 0x214E},   {0x2183, 0x2184},   {0x2C00, 0x2C7B},   {0x2C7E, 0x2CE4},
    {0x2CEB, 0x2CEE},   {0x2CF2, 0x2CF3},   {0xA640, 0xA66D},   {0xA680, 0xA69B},   {0xA722, 0xA76F},
    {0xA771, 0xA787},   {0xA78B, 0xA78E},   {0xAB70, 0xABBF},   {0xFB00, 0xFB06},   {0xFB13, 0xFB17},
    {0xFF21, 0xFF3A},   {0xFF41, 0xFF5A},   {0x10400, 0x1044F}, {0x104B0, 0x104D3}, {0x104D8, 0x104FB},
    {0x10C80, 0x10CB2}, {0x10CC0, 0x10CF2}, {0x118A0, 0x118DF}, {0x1E900, 0x1E943}};

// ASCII from `!` to `~` but the digits, so the letters too; the same block at full width; quotation marks;
// the ideographic comma and full stop.
constexpr Range kPunctuation[] = {{0x21, 0x2F},     {0x3A, 0x7E},     {0x2018, 0x201F},
                                  {0x3001, 0x3002}, {0xFF01, 0xFF0F}, {0xFF1A, 0xFF5E}};

// CJK, Hangul, and what lies between U+0800 and them.
constexpr Range kEastAsian[] = {{0x800, 0x9FA5}, {0xAC00, 0xD7FF}};

/// Whether the code point at `i` is one of `ranges`. White space is in none: it is all one to the
/// expressions.
bool is_one_of(const Fragment& f, std::uint32_t i, std::span<const Range> ranges) {
  return f.has(i) && !f.is_space(i) && is_in(ranges, f.at(i));
}

/// Cuts out runs of `ranges`, each with the white space before it, one code point, if `with_space`.
void split_words(const Fragment& f, Ends& ends, std::span<const Range> ranges, bool with_space) {
  std::uint32_t begin = f.begin;  // of what is not yet emitted
  for (std::uint32_t i = f.begin; i < f.end;) {
    const std::uint32_t word = with_space && f.is_space(i) ? i + 1 : i;
    if (!is_one_of(f, word, ranges)) {
      ++i;
      continue;
    }
    if (i > begin) ends.push_back(i);
    i = begin = f.run_end(word, [&](std::uint32_t j) { return is_one_of(f, j, ranges); });
    ends.push_back(i);
  }
  if (begin < f.end) ends.push_back(f.end);
}

void split_line_breaks(const Fragment& f, Ends& ends) {
  for (std::uint32_t i = f.begin; i < f.end;) {
    const std::uint32_t end = f.run_end(i, [&](std::uint32_t j) { return !is_line_break(f.at(j)); });
    if (end > i) ends.push_back(end);
    if (end < f.end) ends.push_back(end + 1);
    i = end + 1;
  }
}

void split_last_space(const Fragment& f, Ends& ends) {
  std::uint32_t end = f.end;
  while (end > f.begin && f.is_space(end - 1)) --end;
  if (end > f.begin) ends.push_back(end);
  if (end < f.end) ends.push_back(f.end);
}

}  // namespace

Ends deepseek_llm(const CodePoints& text) {
  Ends ends = refine(text, whole(text), split_line_breaks);
  ends = refine(text, ends, [](const Fragment& f, Ends& e) { split_words(f, e, kCased, true); });
  ends = refine(text, ends, [](const Fragment& f, Ends& e) { split_words(f, e, kPunctuation, true); });
  ends = refine(text, ends, split_last_space);
  ends = refine(text, ends, [](const Fragment& f, Ends& e) { split_words(f, e, kEastAsian, false); });
  return refine(text, ends, split_numbers);
}

}  // namespace bitnet
