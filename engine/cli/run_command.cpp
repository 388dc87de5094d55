// `bitnet run`: a prompt in, an answer out.

#include <unistd.h>

#include <iostream>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/cli/commands.h"
#include "engine/cli/layout_flags.h"
#include "engine/error.h"
#include "engine/generate/generate.h"
#include "engine/model/context.h"
#include "engine/tokenizer/chat_template.h"

namespace bitnet {
namespace {

struct Flags {
  std::string model;
  std::optional<std::string> prompt;
  std::string system;
  std::string chat_template = "raw";
  std::string pre;
  GenerateOptions generate;
  ContextOptions context;
  LayoutFlags layout;
  bool json = false;
};

std::string read_stdin() {
  return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

void run(Flags& flags) {
  flags.generate.sampling.temperature = std::max(flags.generate.sampling.temperature, 0.0f);
  const Model model = Model::load(flags.model, {.pre = flags.pre}, ternary_options(flags.layout));
  for (const std::string& warning : model.weights().warnings)
    std::cerr << "bitnet: warning: " << warning << "\n";

  const TemplateChoice choice =
      choose_chat_template(flags.chat_template, model.tokenizer().chat_template(), model.config().name);
  if (!choice.reason.empty())
    std::cerr << "bitnet: template " << to_string(choice.chosen) << ": " << choice.reason << "\n";
  std::vector<Message> messages;
  if (!flags.system.empty()) messages.push_back({"system", flags.system});
  messages.push_back({"user", flags.prompt ? *flags.prompt : read_stdin()});
  const std::string text = render_chat(choice.chosen, messages);
  const std::vector<Token> prompt =
      model.tokenizer().encode(text, /*add_special=*/true, /*parse_special=*/true);
  if (const std::string doubled = model.tokenizer().doubled_specials(prompt); !doubled.empty())
    std::cerr << "bitnet: warning: " << doubled << "\n";

  // Greedy decoding takes the arg max alone. To make the screen costs what it saves in some thirty tokens, so
  // that answers which turn out short never pay for it.
  const SamplingParams& sampling = flags.generate.sampling;
  const bool greedy = sampling.temperature <= 0 && sampling.repetition_penalty == 1.0f;
  if (greedy) flags.context.screen_after = 32;
  Context context(model, flags.context);
  if (static_cast<std::int64_t>(prompt.size()) >= context.n_ctx())
    throw InputError("the prompt has " + std::to_string(prompt.size()) +
                     " tokens, which leaves no room in the context of " + std::to_string(context.n_ctx()) +
                     "; shorten it");
  // The context may end before the limit does.
  const auto room = static_cast<int>(context.n_ctx() - static_cast<std::int64_t>(prompt.size()));
  flags.generate.stop.max_tokens = std::min(flags.generate.stop.max_tokens, room);

  std::vector<BatchRow> rows;
  const auto rows_of = [&](std::span<const Token> tokens) {
    rows.clear();
    for (std::size_t i = 0; i < tokens.size(); ++i)
      rows.push_back({.token = tokens[i], .sequence = 0, .logits = i + 1 == tokens.size()});
    return std::span<const BatchRow>(rows);
  };
  const auto evaluate = [&](std::span<const Token> tokens) { return context.forward(rows_of(tokens)); };
  const auto pick = [&](std::span<const Token> tokens) {
    const Pick best = context.forward_greedy(rows_of(tokens)).front();
    if (!(best.logit > -std::numeric_limits<float>::infinity()))
      throw SystemError("no logit is a number above minus infinity");
    return best.token;
  };
  const auto show = [&](std::string_view part) { std::cout << part << std::flush; };
  const OnText on_text = flags.json ? OnText{} : OnText{show};
  const Generation answer =
      greedy ? generate_greedy(model.tokenizer(), pick, prompt, flags.generate.stop, on_text)
             : generate(model.tokenizer(), evaluate, prompt, flags.generate, on_text);
  if (!flags.json) {
    std::cout << "\n";
    return;
  }
  const nlohmann::json out = {{"prompt_tokens", prompt},       {"tokens", answer.tokens},
                              {"text", answer.text},           {"stop", to_string(answer.reason)},
                              {"isa", context.kernels().name}, {"threads", context.threads()}};
  std::cout << out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
}

}  // namespace

void add_run(CLI::App& app) {
  CLI::App* command = app.add_subcommand("run", "answer a prompt");
  auto flags = std::make_shared<Flags>();
  SamplingParams& sampling = flags->generate.sampling;
  StopRules& stop = flags->generate.stop;
  command->add_option("--model", flags->model, "GGUF model")->required()->type_name("FILE");
  command->add_option("--prompt", flags->prompt, "the prompt (default: all of stdin)")->type_name("TEXT");
  command->add_option("--system", flags->system, "system message, for chat templates")->type_name("TEXT");
  command->add_option("--template", flags->chat_template, "raw, instruct, llama3-chat, bitnet-chat or auto");
  command->add_option("--pre", flags->pre, "pre-tokenizer, instead of the file's own");
  command->add_option("--max-tokens", stop.max_tokens, "tokens to generate at most")
      ->check(CLI::Range(0, 1 << 20));
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
  command->add_option("--threads", flags->context.threads, "default: physical cores")
      ->check(CLI::Range(1, 1024));
  command->add_flag("--pin", flags->context.pin, "pin the threads to physical cores");
  command->add_option("--isa", flags->context.isa, "scalar, avx2, ... (default: the best)");
  add_layout_flags(command, flags->layout);
  command->add_flag("--json", flags->json, "JSON alone on stdout");
  command->callback([flags] { run(*flags); });
}

}  // namespace bitnet
