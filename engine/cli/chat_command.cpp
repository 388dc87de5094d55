// `bitnet chat`: a conversation, a line per turn.

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/cli/chat.h"
#include "engine/cli/commands.h"
#include "engine/cli/generate_flags.h"
#include "engine/error.h"
#include "engine/gguf/output_file.h"
#include "engine/gguf/printable.h"

namespace bitnet {
namespace {

constexpr const char* kHelp =
    "Each line of stdin is a turn, its answer streams to stdout; end of input (Ctrl-D) or /quit ends the "
    "chat.\n"
    "/reset forgets the conversation, /save FILE and /load FILE keep it and take it up again; a line that is "
    "to begin with a slash begins with a space.\n"
    "When the context is full the oldest turns are dropped, until half of it is free (a system message "
    "stays); that is said on stderr.\n"
    "A command that fails, or a turn that does not fit even alone, ends the chat with exit code 2; on a "
    "terminal it is only said";

void write_file(const std::string& path, std::span<const std::byte> bytes) {
  gguf::OutputFile file(path);
  file.write(bytes);
  file.commit();
}

std::vector<std::byte> read_file(const std::string& path) {
  std::error_code error;
  const bool regular = std::filesystem::is_regular_file(path, error);
  std::vector<std::byte> bytes(regular ? std::filesystem::file_size(path, error) : 0);
  std::ifstream in(path, std::ios::binary);
  if (!regular || error ||
      !in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size())))
    throw InputError(gguf::printable_message(path) + ": cannot be read as a file");
  return bytes;
}

std::string turn_json(const ChatTurn& turn) {
  const nlohmann::json out = {{"turn", turn.number},
                              {"prompt_tokens", turn.prompt_tokens},
                              {"reused_tokens", turn.reused_tokens},
                              {"dropped_turns", turn.dropped_turns},
                              {"tokens", turn.answer.tokens},
                              {"text", turn.answer.text},
                              {"stop", to_string(turn.answer.reason)}};
  return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void answer(Chat& chat, const std::string& line, bool as_json) {
  const auto show = [](std::string_view part) { std::cout << part << std::flush; };
  const ChatTurn turn = chat.ask(line, as_json ? OnText{} : OnText{show});
  std::cout << (as_json ? turn_json(turn) : "") << std::endl;
  if (turn.dropped_turns > 0)
    std::cerr << "bitnet: the context was full: the oldest " << turn.dropped_turns
              << (turn.dropped_turns == 1 ? " turn was" : " turns were") << " dropped\n";
}

/// What follows a command's name, or nothing where the line is not that command.
std::optional<std::string> argument_of(const std::string& line, std::string_view name) {
  if (!line.starts_with(name)) return std::nullopt;
  const std::string rest = line.substr(name.size());
  if (rest.empty()) return rest;
  if (rest[0] != ' ') return std::nullopt;
  const std::size_t first = rest.find_first_not_of(' ');
  return first == std::string::npos ? "" : rest.substr(first);
}

/// Carries out a line. False when it ends the chat.
bool take_line(Chat& chat, const std::string& line, bool as_json) {
  if (!line.starts_with('/')) {
    answer(chat, line, as_json);
  } else if (line == "/quit") {
    return false;
  } else if (line == "/reset") {
    chat.reset();
  } else if (const auto saved = argument_of(line, "/save"); saved && !saved->empty()) {
    write_file(*saved, chat.save());
  } else if (const auto loaded = argument_of(line, "/load"); loaded && !loaded->empty()) {
    chat.load(read_file(*loaded));
  } else {
    throw InputError("`" + gguf::printable(line, 60) +
                     "` is no command; known: /reset, /save FILE, /load FILE, /quit");
  }
  return true;
}

void chat(GenerateFlags& flags) {
  const Model model = load_model(flags);
  const ChatTemplate chosen = choose_template(flags, model);
  choose_screen(flags);
  Context context(model, flags.context);
  Chat chat(context, chosen, flags.system, flags.generate);
  const bool terminal = ::isatty(STDIN_FILENO) == 1;
  const bool prompts = terminal && !flags.json && ::isatty(STDOUT_FILENO) == 1;
  std::string line;
  while (true) {
    if (prompts) std::cout << "> " << std::flush;
    if (!std::getline(std::cin, line)) break;
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty()) continue;
    try {
      if (!take_line(chat, line, flags.json)) return;
    } catch (const InputError& e) {
      if (!terminal) throw;
      std::cerr << "bitnet: " << gguf::printable_message(e.what()) << "\n";
    }
  }
  if (prompts) std::cout << "\n";
}

}  // namespace

void add_chat(CLI::App& app) {
  CLI::App* command = app.add_subcommand("chat", "talk with a model, a line per turn");
  command->footer(kHelp);
  auto flags = std::make_shared<GenerateFlags>();
  flags->chat_template = kAutoTemplate;
  flags->generate.stop.max_tokens = 512;
  add_generate_flags(command, *flags);
  command
      ->add_option("--context", flags->context.n_ctx, "tokens of history (default: all that the model has)")
      ->check(CLI::Range(1, 1 << 24));
  command->add_flag("--json", flags->json, "a JSON object per turn on stdout, and nothing else");
  command->callback([flags] { chat(*flags); });
}

}  // namespace bitnet
