#include "engine/cli/synth_vocabulary.h"

#include <functional>
#include <string_view>

#include "engine/error.h"
#include "engine/tokenizer/byte_alphabet.h"

namespace bitnet {
namespace {

constexpr std::int32_t kNormal = 1;
constexpr std::int32_t kControl = 3;
constexpr std::uint32_t kMinTokens = 256 + 16;
constexpr std::uint32_t kMaxTokens = 200000;

constexpr std::string_view kDigits = "0123456789";
constexpr std::string_view kLower = "abcdefghijklmnopqrstuvwxyz";
constexpr std::string_view kUpper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
constexpr std::string_view kVowels = "aeiou";
constexpr std::string_view kConsonants = "bcdfghjklmnpqrstvwxyz";

// Adds merged tokens until there are as many as wanted. Every rule below makes texts that no other rule
// makes, each exactly once, out of texts that an earlier rule has made.
class Merger {
 public:
  Merger(SynthVocabulary& vocabulary, std::size_t wanted) : out_(vocabulary), wanted_(wanted) {}

  bool full() const { return out_.tokens.size() >= wanted_; }

  void merge(const std::string& left, const std::string& right) {
    if (full()) return;
    out_.merges.push_back(left + " " + right);
    out_.tokens.push_back(left + right);
    out_.types.push_back(kNormal);
  }

  // Every text of one letter from each set, left to right.
  using Each = std::function<void(const std::string&)>;
  static void for_each(std::initializer_list<std::string_view> sets, const Each& action) {
    std::string text;
    walk(sets.begin(), sets.end(), text, action);
  }

 private:
  static void walk(const std::string_view* set, const std::string_view* end, std::string& text,
                   const Each& action) {
    if (set == end) return action(text);
    for (const char c : *set) {
      text.push_back(c);
      walk(set + 1, end, text, action);
      text.pop_back();
    }
  }

  SynthVocabulary& out_;
  std::size_t wanted_;
};

void add_merged_tokens(SynthVocabulary& vocabulary, std::size_t wanted) {
  Merger m(vocabulary, wanted);
  const std::string space(byte_symbol(' '));
  const std::string newline(byte_symbol('\n'));
  const auto head = [](const std::string& t) { return t.substr(0, t.size() - 1); };
  const auto last = [](const std::string& t) { return t.substr(t.size() - 1); };

  m.merge(newline, newline);
  m.merge(space, space);
  m.merge(space + space, space + space);
  Merger::for_each({kLower}, [&](const std::string& t) { m.merge(space, t); });
  Merger::for_each({kUpper}, [&](const std::string& t) { m.merge(space, t); });
  Merger::for_each({kDigits, kDigits}, [&](const std::string& t) { m.merge(head(t), last(t)); });
  Merger::for_each({kLower, kLower}, [&](const std::string& t) { m.merge(head(t), last(t)); });
  Merger::for_each({kLower, kLower}, [&](const std::string& t) { m.merge(space, t); });
  Merger::for_each({kUpper, kLower}, [&](const std::string& t) { m.merge(head(t), last(t)); });
  Merger::for_each({kUpper, kLower}, [&](const std::string& t) { m.merge(space, t); });
  Merger::for_each({kDigits, kDigits, kDigits}, [&](const std::string& t) { m.merge(head(t), last(t)); });
  Merger::for_each({kLower, kLower, kLower}, [&](const std::string& t) { m.merge(head(t), last(t)); });
  Merger::for_each({kLower, kLower, kLower}, [&](const std::string& t) { m.merge(space, t); });
  const auto halves = [&](const std::string& t) { m.merge(t.substr(0, 2), t.substr(2)); };
  Merger::for_each({kConsonants, kVowels, kConsonants, kVowels}, halves);
  Merger::for_each({kVowels, kConsonants, kVowels, kConsonants}, halves);
  Merger::for_each({kConsonants, kVowels, kConsonants, kConsonants}, halves);
  Merger::for_each({kConsonants, kConsonants, kVowels, kConsonants}, halves);
  Merger::for_each({kConsonants, kVowels, kVowels, kConsonants}, halves);
  Merger::for_each({kVowels, kConsonants, kConsonants, kVowels}, halves);
  Merger::for_each({kConsonants, kConsonants, kConsonants, kVowels}, halves);
}

// The names and places of the Llama 3 family, which engines recognize by name.
void add_control_tokens(SynthVocabulary& v, std::uint32_t n_tokens) {
  const auto base = static_cast<std::uint32_t>(v.tokens.size());
  std::uint32_t reserved = 0;
  for (std::uint32_t id = base; id < n_tokens; ++id) {
    std::string text;
    switch (id - base) {
      case 0:
        text = "<|begin_of_text|>";
        break;
      case 1:
        text = "<|end_of_text|>";
        break;
      case 6:
        text = "<|start_header_id|>";
        break;
      case 7:
        text = "<|end_header_id|>";
        break;
      case 9:
        text = "<|eot_id|>";
        break;
      default:
        text = "<|reserved_special_token_" + std::to_string(reserved++) + "|>";
    }
    v.tokens.push_back(std::move(text));
    v.types.push_back(kControl);
  }
  v.bos = base;
  v.eos = base + 1;
  v.eot = base + 9;
}

constexpr std::string_view kChatTemplate =
    "{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + "
    "message['content'] | trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}";

}  // namespace

SynthVocabulary make_synth_vocabulary(std::uint32_t n_tokens) {
  if (n_tokens < kMinTokens || n_tokens > kMaxTokens)
    throw InputError("synth: vocabulary: " + std::to_string(n_tokens) +
                     " tokens are asked for, possible are " + std::to_string(kMinTokens) + " to " +
                     std::to_string(kMaxTokens));
  SynthVocabulary v;
  for (int byte = 0; byte < 256; ++byte) {
    v.tokens.emplace_back(byte_symbol(static_cast<std::uint8_t>(byte)));
    v.types.push_back(kNormal);
  }
  const std::uint32_t control = n_tokens < 4096 ? 16 : 256;
  add_merged_tokens(v, n_tokens - control);
  add_control_tokens(v, n_tokens);
  v.chat_template = kChatTemplate;
  return v;
}

}  // namespace bitnet
