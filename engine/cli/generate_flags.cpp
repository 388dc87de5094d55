#include "engine/cli/generate_flags.h"

#include <iostream>

namespace bitnet {

void add_generate_flags(CLI::App* command, GenerateFlags& flags) {
  SamplingParams& sampling = flags.generate.sampling;
  StopRules& stop = flags.generate.stop;
  command->add_option("--model", flags.model, "GGUF model")->required()->type_name("FILE");
  command->add_option("--system", flags.system, "system message, for chat templates")->type_name("TEXT");
  command->add_option("--template", flags.chat_template, "raw, instruct, llama3-chat, bitnet-chat or auto")
      ->capture_default_str();
  command->add_option("--pre", flags.pre, "pre-tokenizer, instead of the file's own");
  command->add_option("--max-tokens", stop.max_tokens, "tokens to generate at most")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  command->add_option("--stop", stop.strings, "text that ends the answer (repeatable)");
  command->add_option("--temperature", sampling.temperature, "0 = greedy")->check(CLI::Range(0.0f, 100.0f));
  command->add_option("--top-k", sampling.top_k, "the k most probable tokens; 0 = all")
      ->check(CLI::Range(0, 1 << 30));
  command->add_option("--top-p", sampling.top_p, "the fewest tokens that reach this probability")
      ->check(CLI::Range(0.0f, 1.0f));
  command->add_option("--min-p", sampling.min_p, "tokens at least this probable against the best")
      ->check(CLI::Range(0.0f, 1.0f));
  command->add_option("--repetition-penalty", sampling.repetition_penalty, "1 = none")
      ->check(CLI::Range(0.01f, 100.0f));
  command->add_option("--repetition-window", sampling.repetition_window,
                      "tokens that the penalty looks back on");
  command->add_option("--seed", sampling.seed, "of the random draws");
  command->add_option("--threads", flags.context.threads, "default: physical cores")
      ->check(CLI::Range(1, 1024));
  command->add_flag("--pin", flags.context.pin, "pin the threads to physical cores");
  command->add_option("--isa", flags.context.isa, "scalar, avx2, ... (default: the best)");
  add_layout_flags(command, flags.layout);
}

Model load_model(const GenerateFlags& flags) {
  Model model = Model::load(flags.model, {.pre = flags.pre}, ternary_options(flags.layout));
  for (const std::string& warning : model.weights().warnings)
    std::cerr << "bitnet: warning: " << warning << "\n";
  return model;
}

ChatTemplate choose_template(const GenerateFlags& flags, const Model& model) {
  const TemplateChoice choice =
      choose_chat_template(flags.chat_template, model.tokenizer().chat_template(), model.config().name);
  if (!choice.reason.empty())
    std::cerr << "bitnet: template " << to_string(choice.chosen) << ": " << choice.reason << "\n";
  return choice.chosen;
}

std::vector<Token> encode_prompt(const Tokenizer& tokenizer, const std::string& text) {
  std::vector<Token> prompt = tokenizer.encode(text, /*add_special=*/true, /*parse_special=*/true);
  if (const std::string doubled = tokenizer.doubled_specials(prompt); !doubled.empty())
    std::cerr << "bitnet: warning: " << doubled << "\n";
  return prompt;
}

void choose_screen(GenerateFlags& flags) {
  // Greedy decoding takes the arg max alone. To make the screen costs what it saves in some thirty tokens, so
  // that answers which turn out short never pay for it.
  if (flags.generate.sampling.greedy()) flags.context.screen_after = 32;
}

}  // namespace bitnet
