#pragma once
// The flags that `bitnet run` and `bitnet chat` have in common: how a model is loaded, prompted and sampled.

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "engine/cli/layout_flags.h"
#include "engine/generate/generate.h"
#include "engine/model/context.h"
#include "engine/tokenizer/chat_template.h"

namespace bitnet {

struct GenerateFlags {
  std::string model;
  std::string system;
  std::string chat_template;
  std::string pre;
  GenerateOptions generate;
  ContextOptions context;
  LayoutFlags layout;
  bool json = false;
};

/// What stands in `flags` are the defaults.
void add_generate_flags(CLI::App* command, GenerateFlags& flags);

/// Loads the model, its warnings on stderr.
Model load_model(const GenerateFlags& flags);
/// The template, on stderr why where it was found out.
ChatTemplate choose_template(const GenerateFlags& flags, const Model& model);
/// As a prompt is read: special tokens in the text become their ids. Warns on stderr of BOS or EOS twice.
std::vector<Token> encode_prompt(const Tokenizer& tokenizer, const std::string& text);
/// Where answers are greedy, lets the context make a screen of the head once that pays.
void choose_screen(GenerateFlags& flags);

}  // namespace bitnet
