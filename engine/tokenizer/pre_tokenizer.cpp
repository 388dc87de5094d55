#include "engine/tokenizer/pre_tokenizer.h"

#include "engine/tokenizer/deepseek.h"
#include "engine/tokenizer/fragment.h"

namespace bitnet {
namespace {

using unicode::CharClass;

bool is_ascii_digit(char32_t c) {
  return c >= U'0' && c <= U'9';
}

/// Lower case of ASCII; nothing beyond ASCII maps to a letter of a contraction (generate_unicode.py checks
/// that).
char32_t lower(char32_t c) {
  return c >= U'A' && c <= U'Z' ? c + 32 : c;
}

/// Length of a contraction ('s 't 'm 'd 're 've 'll) at `i`, 0 if there is none.
std::uint32_t contraction(const Fragment& f, std::uint32_t i, bool any_case) {
  if (f.at(i) != U'\'') return 0;
  const char32_t a = any_case ? lower(f.at(i + 1)) : f.at(i + 1);
  if (a == U's' || a == U't' || a == U'm' || a == U'd') return 2;
  const char32_t b = any_case ? lower(f.at(i + 2)) : f.at(i + 2);
  if ((a == U'r' && b == U'e') || (a == U'v' && b == U'e') || (a == U'l' && b == U'l')) return 3;
  return 0;
}

/// Where the piece of white space that starts at `i` ends: a run before more text leaves its last code point
/// to it.
std::uint32_t space_piece_end(const Fragment& f, std::uint32_t i) {
  const std::uint32_t end = f.run_end(i, [&](std::uint32_t j) { return f.is_space(j); });
  return end - i > 1 && f.has(end) ? end - 1 : end;
}

/// "G" of reference-semantics 7.2.
void split_gpt2(const Fragment& f, Ends& ends) {
  const auto letter = [&](std::uint32_t j) { return f.is_letter(j); };
  const auto number = [&](std::uint32_t j) { return f.is_number(j); };
  const auto other = [&](std::uint32_t j) { return f.is_other(j); };
  for (std::uint32_t i = f.begin; i < f.end;) {
    const std::uint32_t d = f.at(i) == U' ' ? i + 1 : i;  // a space belongs to the word after it
    if (const std::uint32_t n = contraction(f, i, false); n > 0) {
      i += n;
    } else if (f.is_letter(d)) {
      i = f.run_end(d, letter);
    } else if (f.is_number(d)) {
      i = f.run_end(d, number);
    } else if (f.is_other(d)) {
      i = f.run_end(d, other);
    } else {
      i = space_piece_end(f, i);
    }
    ends.push_back(i);
  }
}

/// "llama3" of reference-semantics 7.2, with at most `digits` numbers in a piece.
void split_llama3(const Fragment& f, Ends& ends, std::uint32_t digits) {
  const auto letter = [&](std::uint32_t j) { return f.is_letter(j); };
  const auto other = [&](std::uint32_t j) { return f.is_other(j); };
  const auto space = [&](std::uint32_t j) { return f.is_space(j); };
  const auto line_break = [&](std::uint32_t j) { return is_line_break(f.at(j)); };
  for (std::uint32_t i = f.begin; i < f.end;) {
    if (const std::uint32_t n = contraction(f, i, true); n > 0) {
      i += n;
    } else if (!line_break(i) && !f.is_number(i) && (f.is_letter(i) || f.is_letter(i + 1))) {
      i = f.run_end(i + 1, letter);
    } else if (f.is_number(i)) {
      const std::uint32_t start = i;
      i = f.run_end(i, [&](std::uint32_t j) { return j < start + digits && f.is_number(j); });
    } else if (const std::uint32_t d = f.at(i) == U' ' ? i + 1 : i; f.is_other(d)) {
      i = f.run_end(f.run_end(d, other), line_break);
    } else {
      std::uint32_t after_break = 0;  // behind the last line break of the run
      for (std::uint32_t j = i, end = f.run_end(i, space); j < end; ++j) {
        if (line_break(j)) after_break = j + 1;
      }
      i = after_break > 0 ? after_break : space_piece_end(f, i);
    }
    ends.push_back(i);
  }
}

/// Cuts out successive groups of exactly `group` ASCII digits; what lies between them stays whole.
void split_digits(const Fragment& f, Ends& ends, std::uint32_t group) {
  std::uint32_t begin = f.begin;  // of what is not yet emitted
  std::uint32_t digits = 0;       // that end at i
  for (std::uint32_t i = f.begin; i < f.end; ++i) {
    digits = is_ascii_digit(f.at(i)) ? digits + 1 : 0;
    if (digits < group) continue;
    const std::uint32_t start = i + 1 - group;
    if (start > begin) ends.push_back(start);
    ends.push_back(i + 1);
    begin = i + 1;
    digits = 0;
  }
  if (begin < f.end) ends.push_back(f.end);
}

/// The punctuation that `default` and the falcons cut at. The first does not count the backtick.
bool is_mark(const Fragment& f, std::uint32_t i, bool backtick) {
  if (f.is(i, CharClass::punctuation)) return true;
  switch (f.at(i)) {
    case U'$':
    case U'+':
    case U'<':
    case U'=':
    case U'>':
    case U'^':
    case U'~':
    case U'|':
      return true;
    case U'`':
      return backtick;
    default:
      return false;
  }
}

Ends split_at_marks(const CodePoints& text, bool backtick) {
  const Ends runs = refine(text, whole(text), [backtick](const Fragment& f, Ends& ends) {
    split_runs(f, ends, [backtick](const Fragment& g, std::uint32_t i) { return is_mark(g, i, backtick); });
  });
  return refine(text, runs, split_gpt2);
}

Ends gpt2(const CodePoints& text) {
  return refine(text, whole(text), split_gpt2);
}

Ends llama3(const CodePoints& text) {
  return refine(text, whole(text), [](const Fragment& f, Ends& ends) { split_llama3(f, ends, 3); });
}

Ends qwen2(const CodePoints& text) {
  return refine(text, whole(text), [](const Fragment& f, Ends& ends) { split_llama3(f, ends, 1); });
}

Ends falcon(const CodePoints& text) {
  return refine(text, split_at_marks(text, true),
                [](const Fragment& f, Ends& ends) { split_digits(f, ends, 3); });
}

Ends falcon3(const CodePoints& text) {
  return refine(text, split_at_marks(text, true),
                [](const Fragment& f, Ends& ends) { split_digits(f, ends, 1); });
}

Ends default_split(const CodePoints& text) {
  const Ends numbers = refine(text, split_at_marks(text, false), split_numbers);
  return refine(text, numbers, [](const Fragment& f, Ends& ends) { split_digits(f, ends, 3); });
}

constexpr PreTokenizer kDefault{"default", default_split, false, false};
constexpr PreTokenizer kLlama3{"llama3", llama3, true, true};
constexpr PreTokenizer kFalcon3{"falcon3", falcon3, false, false};
constexpr PreTokenizer kFalcon{"falcon", falcon, false, false};
constexpr PreTokenizer kGpt2{"gpt-2", gpt2, false, false};
constexpr PreTokenizer kDeepSeek{"deepseek-llm", deepseek_llm, false, false};
constexpr PreTokenizer kQwen2{"qwen2", qwen2, false, false};

struct Named {
  std::string_view name;
  const PreTokenizer* pre;
};

// jina-v2-* have tokens that swallow the space before them, which we do not do; they stay unknown.
constexpr Named kNames[] = {
    {"default", &kDefault},       {"llama-bpe", &kLlama3}, {"llama3", &kLlama3},
    {"llama-v3", &kLlama3},       {"falcon3", &kFalcon3},  {"falcon_e", &kFalcon3},
    {"falcon", &kFalcon},         {"gpt-2", &kGpt2},       {"phi-2", &kGpt2},
    {"jina-es", &kGpt2},          {"jina-de", &kGpt2},     {"jina-v1-en", &kGpt2},
    {"deepseek-llm", &kDeepSeek}, {"qwen2", &kQwen2},
};

}  // namespace

CodePoints::CodePoints(std::string_view text) {
  value.reserve(text.size());
  kind.reserve(text.size());
  offset.reserve(text.size() + 1);
  for (std::size_t pos = 0; pos < text.size();) {
    const unicode::Decoded c = unicode::decode_loosely(text, pos);
    value.push_back(c.value);
    kind.push_back(unicode::classify(c.value));
    offset.push_back(static_cast<std::uint32_t>(pos));
    pos += c.bytes;
  }
  offset.push_back(static_cast<std::uint32_t>(text.size()));
}

const PreTokenizer* find_pre_tokenizer(std::string_view name) {
  for (const Named& n : kNames) {
    if (n.name == name) return n.pre;
  }
  return nullptr;
}

std::string pre_tokenizer_names() {
  std::string names;
  for (const Named& n : kNames) {
    if (!names.empty()) names += ", ";
    names += n.name;
  }
  return names;
}

}  // namespace bitnet
