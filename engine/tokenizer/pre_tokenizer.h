#pragma once
// Pre-tokenizers: where a text may be cut before its pieces are merged. Scanners over code points; each does
// what the regular expressions of its name do in bitnet.cpp. Source: reference-semantics 7.1 and 7.2.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizer/unicode.h"

namespace bitnet {

/// A text as code points, read as bitnet.cpp reads it (unicode::decode_loosely). Invalid bytes count as
/// U+FFFD, one each.
struct CodePoints {
  explicit CodePoints(std::string_view text);

  std::vector<char32_t> value;
  std::vector<unicode::CharClass> kind;
  std::vector<std::uint32_t> offset;  // of each code point in bytes, and of the end

  std::uint32_t size() const { return static_cast<std::uint32_t>(value.size()); }
};

/// Ends of consecutive pieces, rising, counted in code points; the last one is the size of the text.
using Ends = std::vector<std::uint32_t>;

/// A way to cut, and the habits that come with its name.
struct PreTokenizer {
  std::string_view name;  // what Tokenizer::pre() shows
  Ends (*split)(const CodePoints& text);
  bool ignore_merges;  // a piece that is a token as a whole is not merged
  bool add_bos;        // unless the file says otherwise
};

/// By the name that stands in `tokenizer.ggml.pre`; nullptr for unknown names.
const PreTokenizer* find_pre_tokenizer(std::string_view name);

/// Every name that find_pre_tokenizer knows, separated by ", ".
std::string pre_tokenizer_names();

}  // namespace bitnet
