// Which of bitnet.cpp's pre-tokenizers a tokenizer.json describes: by its steps, compared as they are
// written.

#include <nlohmann/json.hpp>

#include "engine/convert/hf_vocabulary.h"

namespace bitnet::hf {
namespace {

using nlohmann::json;

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
  return "unknown " + type;
}

}  // namespace

std::optional<std::string> pre_tokenizer_name(const JsonObject& tokenizer) {
  const auto pre = tokenizer.object("pre_tokenizer");
  if (!pre) return std::nullopt;
  std::vector<std::string> steps;
  if (text_or(*pre, "type", "") == "Sequence") {
    const json* list = pre->find("pretokenizers");
    if (list == nullptr || !list->is_array()) pre->fail("pretokenizers", "must be a list");
    for (const json& step : *list)
      steps.push_back(words_of(pre->element(step, "pretokenizers[" + std::to_string(steps.size()) + "]")));
  } else {
    steps.push_back(words_of(*pre));
  }
  for (const Steps& k : known())
    if (k.steps == steps) return k.name;
  return std::nullopt;
}

}  // namespace bitnet::hf
