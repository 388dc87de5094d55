#include "reference/process/words.h"

#include "engine/error.h"
#include "engine/gguf/printable.h"

namespace crossval {

std::vector<std::string> split_words(std::string_view text) {
  const auto fail = [&](const std::string& what) {
    throw bitnet::InputError("`" + bitnet::gguf::printable(text, 120) + "`: " + what);
  };
  if (text.find('\0') != std::string_view::npos) fail("a zero byte cannot be part of a word");
  std::vector<std::string> words;
  std::string word;
  bool inside = false;  // of a word; '' is one, though it is empty
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == ' ' || c == '\t' || c == '\n') {
      if (inside) words.push_back(std::move(word));
      word.clear();
      inside = false;
    } else if (c == '\'') {
      const std::size_t end = text.find('\'', i + 1);
      if (end == std::string_view::npos) fail("a ' is never closed");
      word += text.substr(i + 1, end - i - 1);
      i = end;
      inside = true;
    } else if (c == '"') {
      inside = true;
      for (++i; i < text.size() && text[i] != '"'; ++i) {
        if (text[i] == '\\' && i + 1 < text.size()) {
          const char next = text[i + 1];
          if (next == '"' || next == '\\' || next == '$' || next == '`' || next == '\n') {
            if (next != '\n') word += next;
            ++i;
            continue;
          }
        }
        word += text[i];
      }
      if (i >= text.size()) fail("a \" is never closed");
    } else if (c == '\\') {
      if (++i >= text.size()) fail("it ends in a backslash");
      if (text[i] == '\n') continue;
      word += text[i];
      inside = true;
    } else {
      word += c;
      inside = true;
    }
  }
  if (inside) words.push_back(std::move(word));
  if (words.empty()) fail("names no program");
  if (words.front().empty()) fail("the name of the program is empty");
  return words;
}

}  // namespace crossval
