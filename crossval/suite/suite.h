#pragma once
// Suites of prompts (design.md 4, schema crossval.suite/1).

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crossval/compare/gates.h"
#include "engine/generate/sampling.h"
#include "engine/tokenizer/chat_template.h"
#include "engine/tokenizer/tokenizer.h"

namespace crossval {

/// What the candidate's answer must be. Text is compared after trimming white space at both ends.
struct Expectation {
  enum class Kind { equals, contains, regex, any_of, token_ids };
  Kind kind{};
  std::vector<std::string> texts;        // one, or several for any_of
  std::vector<bitnet::Token> token_ids;  // generated ids, without the end-of-generation token
};
std::string_view to_string(Expectation::Kind kind);

struct Case {
  std::string id;
  std::vector<bitnet::Message> messages;    // a prompt is one user message
  bool is_prompt = true;                    // written as `prompt`
  std::vector<bitnet::Token> tokens;        // instead of text: ids as they are, no BOS added
  std::vector<bitnet::Token> continuation;  // with tokens: ids that drive `--tokens-from suite`
  std::string chat_template = "raw";        // a name of chat_template.h, or "auto"
  std::int64_t max_tokens = 16;
  std::vector<std::string> stop;
  bitnet::SamplingParams sampling;  // greedy unless told
  std::optional<Expectation> expect;
  std::optional<GateSet> gates;  // instead of the run's
};

struct Suite {
  std::string path;
  std::string sha256;  // of the file's bytes
  std::vector<Case> cases;
};

/// Throws InputError of one line that names the file, the field and the mend.
Suite load_suite(const std::filesystem::path& path);
/// The same for text in memory; `name` stands for the path.
Suite parse_suite(std::string_view text, const std::string& name);

/// Whether the answer (text, and generated ids without the end-of-generation token) is as expected.
bool meets(const Expectation& expectation, std::string_view answer, const std::vector<bitnet::Token>& tokens);

}  // namespace crossval
