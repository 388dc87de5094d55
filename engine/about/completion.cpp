#include "engine/about/completion.h"

#include <algorithm>

#include "engine/error.h"

namespace bitnet::about {
namespace {

// Words are split at blanks, as nothing that is completed here has any in it. Readline replaces only what
// follows the last character at which it breaks words, so what stands before that is cut off the candidates.
constexpr std::string_view kBash = R"sh(_COMMAND() {
  local line=${COMP_LINE:0:COMP_POINT} candidate kind prefix path
  local -a words
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=("")
  local current=${words[-1]} cut=""
  [[ $COMP_WORDBREAKS == *:* && $COMP_WORDBREAKS == *=* ]] && cut=${current%"${current##*[:=]}"}
  COMPREPLY=()
  while IFS= read -r candidate; do
    if [[ $candidate == :* ]]; then
      kind=-f prefix=${candidate#* }
      [[ $candidate == :folders* ]] && kind=-d
      compopt -o filenames 2>/dev/null
      while IFS= read -r path; do
        path=$prefix$path
        COMPREPLY+=("${path#"$cut"}")
      done < <(compgen $kind -- "${current#"$prefix"}")
    else
      candidate=${candidate%%$'\t'*}
      [[ $candidate == *[:=] ]] && compopt -o nospace 2>/dev/null
      COMPREPLY+=("${candidate#"$cut"}")
    fi
  done < <("${words[0]/#\~/$HOME}" __complete "${words[@]:1}" 2>/dev/null)
}
complete -F _COMMAND COMMAND
)sh";

constexpr std::string_view kZsh = R"sh(#compdef COMMAND
_COMMAND() {
  local line prefix
  local -a described open
  for line in ${(f)"$(${(Q)words[1]} __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)"}; do
    case $line in
      :files*) prefix=${line#* }; compset -P ${(b)prefix}; _files ;;
      :folders*) prefix=${line#* }; compset -P ${(b)prefix}; _files -/ ;;
      *[:=]$'\t'*) open+=(${line%%$'\t'*}) ;;
      *) described+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
    esac
  done
  (( $#open )) && compadd -S '' -a open
  (( $#described )) && _describe COMMAND described
}
if [ "$funcstack[1]" = _COMMAND ]; then
  _COMMAND "$@"
else
  compdef _COMMAND COMMAND
fi
)sh";

constexpr std::string_view kFish = R"sh(function __COMMAND_candidates
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l command $words[1]
    set -e words[1]
    for line in ($command __complete $words "$current" 2>/dev/null)
        switch $line
            case ':*'
                set -l prefix (string replace -r '^:\w+ ' '' -- $line)
                set -l path (string sub -s (math (string length -- $prefix) + 1) -- $current)
                if string match -q ':files*' -- $line
                    string replace -r '^' -- "$prefix" (__fish_complete_path "$path")
                else
                    string replace -r '^' -- "$prefix" (__fish_complete_directories "$path" '')
                end
            case '*'
                echo $line
        end
    end
end
complete -c COMMAND -f -a '(__COMMAND_candidates)'
)sh";

Paths paths_for(std::string_view value) {
  if (value.starts_with("FILE")) return Paths::files;
  if (value.starts_with("DIR") || value.starts_with("FOLDER")) return Paths::folders;
  return Paths::none;
}

void add_matching(Candidates& out, std::string_view begun, const std::string& word, const std::string& help) {
  if (!word.starts_with(begun)) return;
  if (std::ranges::find(out.words, word, &Candidate::word) != out.words.end()) return;
  out.words.push_back({word, help});
}

// `begun`: the part of the value that is there; `prefix`: what stands in the word before it.
void add_values(Candidates& out, const Argument& argument, std::string_view begun,
                const std::string& prefix) {
  for (const std::string& choice : argument.choices) {
    // "trace:": what follows is a file.
    if (choice == "trace:" && begun.starts_with(choice)) {
      out.paths = Paths::files;
      out.prefix = prefix + choice;
      return;
    }
    add_matching(out, prefix + std::string(begun), prefix + choice, argument.help);
  }
  if (!argument.choices.empty()) return;
  out.paths = paths_for(argument.value);
  out.prefix = prefix;
}

void add_options(Candidates& out, const Command& command, std::string_view begun,
                 const std::vector<std::string>& used) {
  for (const Argument& argument : command.arguments) {
    const bool there = std::ranges::any_of(
        argument.names, [&](const std::string& name) { return std::ranges::find(used, name) != used.end(); });
    // Of several names the long one, which is the last.
    if (!argument.names.empty() && (!there || argument.several))
      add_matching(out, begun, argument.names.back(), argument.help);
  }
}

const Argument* first_positional(const Command& command) {
  const auto it = std::ranges::find_if(command.arguments, [](const Argument& a) { return a.names.empty(); });
  return it == command.arguments.end() ? nullptr : &*it;
}

}  // namespace

Candidates candidates(const Command& root, std::string_view bare, const std::vector<std::string>& words) {
  Candidates out;
  if (words.empty()) return out;
  const Command* command = &root;
  const Command* run = bare.empty() ? nullptr : find_subcommand(root, bare);
  const std::string& last = words.back();
  const Argument* awaited = nullptr;  // the option whose value comes next
  std::vector<std::string> used;
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    if (awaited) {
      awaited = nullptr;
    } else if (word.starts_with("-")) {
      const std::string name = word.substr(0, word.find('='));
      if (i == 0 && run && !find_option(root, name)) command = run;
      used.push_back(name);
      const Argument* option = find_option(*command, name);
      if (option && !option->is_flag() && name == word) awaited = option;
    } else if (const Command* subcommand = find_subcommand(*command, word)) {
      command = subcommand;
    }
  }

  const std::size_t equals = last.find('=');
  if (awaited) {
    add_values(out, *awaited, last, "");
  } else if (last.starts_with("--") && equals != std::string::npos) {
    const std::string name = last.substr(0, equals);
    const Argument* option = find_option(*command, name);
    if (!option && command == &root && run) option = find_option(*run, name);
    if (option && !option->is_flag())
      add_values(out, *option, std::string_view(last).substr(equals + 1), name + "=");
  } else if (last.starts_with("-")) {
    add_options(out, *command, last, used);
    if (command == &root && run) add_options(out, *run, last, used);
  } else if (!command->subcommands.empty()) {
    for (const Command& subcommand : command->subcommands)
      add_matching(out, last, subcommand.name, subcommand.help);
  } else if (const Argument* positional = first_positional(*command)) {
    add_values(out, *positional, last, "");
  } else if (last.empty()) {
    add_options(out, *command, "--", used);
  }
  return out;
}

std::string to_lines(const Candidates& candidates) {
  std::string out;
  for (const Candidate& c : candidates.words) {
    std::string help = c.help.substr(0, c.help.find('\n'));
    out += c.word + "\t" + help + "\n";
  }
  if (candidates.paths != Paths::none)
    out += (candidates.paths == Paths::files ? ":files " : ":folders ") + candidates.prefix + "\n";
  return out;
}

std::string completion_script(std::string_view shell, std::string_view command) {
  std::string out;
  if (shell == "bash")
    out = kBash;
  else if (shell == "zsh")
    out = kZsh;
  else if (shell == "fish")
    out = kFish;
  else
    throw InputError("completion: no script for the shell " + std::string(shell.substr(0, 60)) +
                     "; there are bash, zsh and fish");
  const std::string_view mark = "COMMAND";
  for (std::size_t at = out.find(mark); at != std::string::npos; at = out.find(mark, at + command.size()))
    out.replace(at, mark.size(), command);
  return out;
}

}  // namespace bitnet::about
