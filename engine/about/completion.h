#pragma once
// Completion in bash, zsh and fish. The scripts ask the command itself (`crossval __complete WORDS...`), so
// they are never older than it.

#include <string>
#include <string_view>
#include <vector>

#include "engine/about/command_tree.h"

namespace bitnet::about {

struct Candidate {
  std::string word;
  std::string help;
};

enum class Paths { none, files, folders };

/// What may stand in the place of the last word.
struct Candidates {
  std::vector<Candidate> words;
  Paths paths = Paths::none;  // names of files may stand there, too ...
  std::string prefix;         // ... after this part of the word: "--model=", "trace:"
};

/// `words`: those after the command's name, the last the one to complete (empty where it is yet to begin).
/// `bare`: the subcommand that a line stands for whose first word is an option; none where empty.
Candidates candidates(const Command& command, std::string_view bare, const std::vector<std::string>& words);

/// As the scripts read it: a candidate per line, its help after a tab; in the end ":files PREFIX" or
/// ":folders PREFIX" where names of files may stand.
std::string to_lines(const Candidates& candidates);

/// The script for `shell` (bash, zsh, fish). Throws InputError for another.
std::string completion_script(std::string_view shell, std::string_view command);

}  // namespace bitnet::about
