// `bitnet run`: a prompt in, an answer out.

#include <iostream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/cli/commands.h"
#include "engine/cli/generate_flags.h"
#include "engine/generate/in_context.h"
#include "engine/model/context.h"
#include "engine/tokenizer/chat_template.h"

namespace bitnet {
namespace {

struct Flags {
  GenerateFlags common;
  std::optional<std::string> prompt;
};

std::string read_stdin() {
  return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

void run(GenerateFlags& flags, const std::optional<std::string>& prompt_text) {
  const Model model = load_model(flags);
  const ChatTemplate chosen = choose_template(flags, model);
  std::vector<Message> messages;
  if (!flags.system.empty()) messages.push_back({"system", flags.system});
  messages.push_back({"user", prompt_text ? *prompt_text : read_stdin()});
  const std::vector<Token> prompt = encode_prompt(model.tokenizer(), render_chat(chosen, messages));

  choose_screen(flags);
  Context context(model, flags.context);
  // The context may end before the limit does.
  flags.generate.stop.max_tokens =
      std::min(flags.generate.stop.max_tokens, room_for_answer(prompt.size(), context.n_ctx()));

  const auto show = [&](std::string_view part) { std::cout << part << std::flush; };
  const Generation answer =
      generate(context, 0, prompt, flags.generate, flags.json ? OnText{} : OnText{show});
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
  flags->common.chat_template = "raw";
  add_generate_flags(command, flags->common);
  command->add_option("--prompt", flags->prompt, "the prompt (default: all of stdin)")->type_name("TEXT");
  command->add_flag("--json", flags->common.json, "JSON alone on stdout");
  command->callback([flags] { run(flags->common, flags->prompt); });
}

}  // namespace bitnet
