// The command `crossval`.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <iostream>
#include <string>
#include <vector>

#include "crossval/cli/commands.h"
#include "crossval/cli/replay_command.h"
#include "crossval/errors.h"
#include "crossval/mistakes/catalogue.h"
#include "engine/about/about.h"
#include "engine/error.h"
#include "reports/escape.h"
#include "reports/render.h"

namespace {

int complain(const std::string& message, crossval::ExitCode code) {
  std::cerr << "crossval: " << crossval::reports::escape_terminal(message) << "\n";
  return static_cast<int>(code);
}

bitnet::about::KnownValues known_values() {
  bitnet::about::KnownValues known = {
      {"PARTICIPANT", {"engine", "oracle", "emulator", "self", "auto", "bitnet.cpp", "trace:", "exec:"}},
      {"--arbiter", {"auto", "none", "oracle", "emulator", "engine"}},
      {"--tokens-from", {"reference", "candidate", "suite"}},
      {"--values", {"full", "sha256"}}};
  for (const crossval::CatalogueEntry& entry : crossval::catalogue())
    known["--inject"].push_back(entry.fault.name);
  return known;
}

// One word as a POSIX shell would need it.
std::string shell_word(const std::string& word) {
  const std::string plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:,@+";
  if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) return word;
  std::string out = "'";
  for (char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

}  // namespace

int main(int argc, char** argv) {
  using crossval::ExitCode;
  // A full disk or a closed pipe is an error to report, not a signal to die of.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);

  std::vector<std::string> words(argv + 1, argv + argc);
  CLI::App app("crossval proves that a BitNet b1.58 engine computes what it should");
  app.set_version_flag("--version", [] { return bitnet::about::version_text("crossval"); });
  app.require_subcommand(1);
  app.failure_message(CLI::FailureMessage::simple);

  // A bare `crossval --model M --prompts S` is `crossval run`.
  const bool bare = !words.empty() && words.front().starts_with("-") && words.front() != "--version" &&
                    words.front() != "--help" && words.front() != "-h";
  if (bare) words.insert(words.begin(), "run");
  // To reproduce the run; without --out, so that pasting it does not replace the report it was taken from.
  std::string command_line = "crossval";
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--out" && i + 1 < words.size())
      ++i;
    else if (!words[i].starts_with("--out=") && words[i] != "--resume")
      command_line += " " + shell_word(words[i]);
  }

  crossval::Outcome outcome;
  crossval::add_run(app, outcome, command_line);
  crossval::add_record(app, outcome, command_line);
  crossval::add_locate(app, outcome, command_line);
  crossval::add_selftest(app, outcome);
  crossval::add_replay(app, outcome);
  crossval::add_list(app, outcome);
  crossval::add_merge(app, outcome);
  crossval::add_render(app, outcome);
  crossval::add_verify_receipt(app, outcome);
  crossval::add_doctor(app, outcome);
  bitnet::about::add_completion(app, "crossval");
  try {
    if (const auto code = bitnet::about::answer_scripts(
            app, {.command = "crossval", .bare = "run", .known = known_values}, words))
      return *code;
    std::reverse(words.begin(), words.end());  // CLI11 takes a vector from its back
    app.parse(words);
    return outcome.exit_code;
  } catch (const CLI::ParseError& e) {
    // Help and version are successes; CLI11's own codes (100 and up) become ours.
    return app.exit(e) == 0 ? 0 : static_cast<int>(ExitCode::usage);
  } catch (const bitnet::InputError& e) {
    return complain(e.what(), ExitCode::usage);
  } catch (const crossval::reports::RecordError& e) {
    return complain(e.what(), ExitCode::usage);
  } catch (const crossval::Incomparable& e) {
    return complain(e.what(), ExitCode::incomparable);
  } catch (const std::bad_alloc&) {
    return complain("out of memory", ExitCode::invalid);
  } catch (const std::exception& e) {
    return complain(e.what(), ExitCode::invalid);
  }
}
