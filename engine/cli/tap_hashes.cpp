// tap_hashes MODEL SUITE [ISA]: a hash of every activation that a suite's cases bring about, one line a case.
// Two machines, instruction sets or builds whose lines are equal computed the same bits. Runs wherever the
// engine does, so it is how ci/nightly holds processors against each other.

#include <bit>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/model/context.h"
#include "engine/tokenizer/chat_template.h"

namespace {

using bitnet::Token;

/// FNV-1a over 64 bits.
class Hash {
 public:
  void add(std::uint32_t word) {
    for (int byte = 0; byte < 4; ++byte) {
      state_ = (state_ ^ (word >> (8 * byte) & 0xffu)) * 0x100000001b3u;
    }
  }
  std::uint64_t value() const { return state_; }

 private:
  std::uint64_t state_ = 0xcbf29ce484222325u;
};

struct Run {
  std::uint64_t hash = 0;
  std::uint64_t values = 0;
  std::vector<Token> answer;
};

std::vector<Token> tokens_of(const nlohmann::json& entry, const nlohmann::json& defaults,
                             const bitnet::Tokenizer& tokenizer) {
  if (entry.contains("tokens")) {
    auto tokens = entry.at("tokens").get<std::vector<Token>>();
    if (entry.contains("continuation")) {
      for (const Token token : entry.at("continuation").get<std::vector<Token>>()) tokens.push_back(token);
    }
    return tokens;
  }
  std::vector<bitnet::Message> messages;
  if (entry.contains("prompt")) messages.push_back({"user", entry.at("prompt")});
  for (const auto& message : entry.value("messages", nlohmann::json::array())) {
    messages.push_back({message.at("role"), message.at("content")});
  }
  const std::string chosen = entry.value("template", defaults.value("template", "raw"));
  const std::string text = bitnet::render_chat(bitnet::parse_chat_template(chosen), messages);
  return tokenizer.encode(text, /*add_special=*/true, /*parse_special=*/true);
}

/// The prompt in one call, then `max_tokens` of the greatest logit, one a call.
Run run_case(bitnet::Context& context, const std::vector<Token>& prompt, int max_tokens) {
  Run run;
  Hash hash;
  bitnet::TapHook hook;
  hook.wants = [](bitnet::TapId) { return true; };
  hook.show = [&](const bitnet::TapTensor& tensor) {
    hash.add(static_cast<std::uint32_t>(tensor.id.tap));
    hash.add(static_cast<std::uint32_t>(tensor.id.layer));
    for (std::int64_t i = 0; i < tensor.rows(); ++i) {
      for (const float value : tensor.row(i)) hash.add(std::bit_cast<std::uint32_t>(value));
      run.values += tensor.row(i).size();
    }
  };
  context.truncate(0, 0);
  std::vector<bitnet::BatchRow> rows;
  for (const Token token : prompt) rows.push_back({.token = token, .sequence = 0, .logits = false});
  if (rows.empty()) throw bitnet::InputError("a case without tokens");
  rows.back().logits = true;
  for (int step = 0;; ++step) {
    const std::span<const float> logits = context.forward(rows, &hook);
    if (step == max_tokens) break;
    const std::int64_t next =
        context.kernels().argmax(logits.data(), static_cast<std::int64_t>(logits.size()));
    run.answer.push_back(static_cast<Token>(next));
    rows.assign(1, {.token = static_cast<std::int32_t>(next), .sequence = 0, .logits = true});
  }
  run.hash = hash.value();
  return run;
}

int hash_all(const std::string& model_file, const std::string& suite_file, const std::string& isa) {
  std::ifstream in(suite_file);
  if (!in) throw bitnet::InputError(suite_file + ": cannot be read");
  const nlohmann::json suite = nlohmann::json::parse(in);
  const nlohmann::json defaults = suite.value("defaults", nlohmann::json::object());
  const bitnet::Model model = bitnet::Model::load(model_file, {});
  bitnet::Context context(model, {.isa = isa});
  std::cerr << "instruction set: " << context.kernels().name << "\n";
  for (const nlohmann::json& entry : suite.at("cases")) {
    const int max_tokens = entry.value("max_tokens", defaults.value("max_tokens", 8));
    const Run run = run_case(context, tokens_of(entry, defaults, model.tokenizer()), max_tokens);
    std::cout << std::hex << std::setw(16) << std::setfill('0') << run.hash << std::dec << " " << run.values
              << " values, " << entry.at("id").get<std::string>() << ":";
    for (const Token token : run.answer) std::cout << " " << token;
    std::cout << "\n";
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    std::cerr << "usage: tap_hashes MODEL SUITE [ISA]\n";
    return 2;
  }
  try {
    return hash_all(argv[1], argv[2], argc == 4 ? argv[3] : "");
  } catch (const std::exception& error) {
    std::cerr << "tap_hashes: " << error.what() << "\n";
    return 2;
  }
}
