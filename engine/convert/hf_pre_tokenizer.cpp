// Which of bitnet.cpp's pre-tokenizers a tokenizer.json describes, and whether it is SentencePiece: by its
// steps, compared as they are written.

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "engine/convert/hf_vocabulary.h"

namespace bitnet::hf {
namespace {

using nlohmann::json;

constexpr const char* kSpace = "\u2581";  // as SentencePiece writes one

struct Steps {
  const char* name;
  std::vector<std::string> steps;
};

const std::vector<Steps>& known() {
  static const std::string letters_and_numbers = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)";
  static const std::string rest = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  static const std::vector<Steps> all = {
      {"llama-bpe", {"split " + letters_and_numbers + R"(\p{N}{1,3})" + rest, "bytes"}},
      {"qwen2", {"split " + letters_and_numbers + R"(\p{N})" + rest, "bytes"}},
      {"gpt-2", {"gpt2 bytes"}},
      {"falcon", {"punctuation", "gpt2 bytes", "digits", "split [0-9][0-9][0-9]"}},
      {"falcon3", {"punctuation", "gpt2 bytes", "single digits"}},
  };
  return all;
}

std::string text_or(const JsonObject& step, const std::string& key, const std::string& otherwise) {
  return step.text(key).value_or(otherwise);
}

// One step in a few words; what is not understood names itself, and matches nothing.
std::string words_of(const JsonObject& step) {
  const std::string type = text_or(step, "type", "");
  if (type == "ByteLevel") {
    if (step.flag("add_prefix_space").value_or(true)) return "bytes behind a space";
    return step.flag("use_regex").value_or(true) ? "gpt2 bytes" : "bytes";
  }
  if (type == "Digits") return step.flag("individual_digits").value_or(false) ? "single digits" : "digits";
  if (type == "Punctuation" && text_or(step, "behavior", "") == "Contiguous") return "punctuation";
  if (type == "Split" && text_or(step, "behavior", "") == "Isolated" &&
      !step.flag("invert").value_or(false)) {
    const auto pattern = step.object("pattern");
    if (const auto regex = pattern ? pattern->text("Regex") : std::nullopt) return "split " + *regex;
  }
  if (type == "Metaspace" && text_or(step, "replacement", "") == kSpace && !step.flag("split").value_or(true))
    return text_or(step, "prepend_scheme", "always") == "never" ? "spaces" : "spaces behind a space";
  if (type == "Prepend" && text_or(step, "prepend", "") == kSpace) return "behind a space";
  if (type == "Replace" && text_or(step, "content", "") == kSpace) {
    const auto pattern = step.object("pattern");
    if (pattern && text_or(*pattern, "String", "") == " ") return "spaces";
  }
  return "unknown " + type;
}

// Of the object that `key` names, or of its list of them; no steps where it is absent.
std::vector<std::string> steps_of(const JsonObject& tokenizer, const char* key, const char* list_key) {
  const auto step = tokenizer.object(key);
  if (!step) return {};
  if (text_or(*step, "type", "") != "Sequence") return {words_of(*step)};
  std::vector<std::string> steps;
  const json* list = step->find(list_key);
  if (list == nullptr || !list->is_array()) step->fail(list_key, "must be a list");
  for (const json& one : *list)
    steps.push_back(
        words_of(step->element(one, std::string(list_key) + "[" + std::to_string(steps.size()) + "]")));
  return steps;
}

}  // namespace

std::optional<std::string> pre_tokenizer_name(const JsonObject& tokenizer) {
  const std::vector<std::string> steps = steps_of(tokenizer, "pre_tokenizer", "pretokenizers");
  for (const Steps& k : known())
    if (k.steps == steps) return k.name;
  return std::nullopt;
}

std::optional<bool> space_prefix(const JsonObject& tokenizer) {
  using Words = std::vector<std::string>;
  // One of the two writes spaces, and leaves the text in one piece.
  Words steps = steps_of(tokenizer, "normalizer", "normalizers");
  std::ranges::copy(steps_of(tokenizer, "pre_tokenizer", "pretokenizers"), std::back_inserter(steps));
  if (steps == Words{"spaces"}) return false;
  if (steps == Words{"behind a space", "spaces"} || steps == Words{"spaces behind a space"}) return true;
  return std::nullopt;
}

}  // namespace bitnet::hf
