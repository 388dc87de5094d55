// What completion offers, and where.

#include "engine/about/completion.h"

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "engine/error.h"

namespace bitnet::about {
namespace {

// A command of each kind of argument, described by CLI11 as ours are.
Command tree() {
  CLI::App app("does things");
  std::string text;
  std::vector<std::string> texts;
  bool flag = false;
  int number = 0;
  app.set_version_flag("--version", "1");
  CLI::App* run = app.add_subcommand("run", "runs");
  run->add_option("--model", text, "the model")->required()->type_name("FILE");
  run->add_option("--out", text)->type_name("DIR");
  run->add_option("-n,--number", number, "how many")->check(CLI::Range(1, 9));
  run->add_option("--side", text)->type_name("PARTICIPANT");
  run->add_option("--kind", text)->check(CLI::IsMember({"tall", "small"}));
  run->add_option("--stop", texts, "may be repeated");
  run->add_flag("--quiet", flag, "says nothing");
  CLI::App* merge = app.add_subcommand("merge", "merges");
  merge->add_option("folders", texts)->type_name("DIR...");
  app.add_subcommand("secret", "not shown")->group("");
  return command_tree(app, "thing", {{"PARTICIPANT", {"engine", "trace:"}}});
}

std::vector<std::string> offered(const std::vector<std::string>& words) {
  std::vector<std::string> out;
  for (const Candidate& c : candidates(tree(), "run", words).words) out.push_back(c.word);
  return out;
}

using Words = std::vector<std::string>;

TEST(Completion, SubcommandsComeFirstAndHiddenOnesNever) {
  EXPECT_EQ(offered({""}), (Words{"run", "merge"}));
  EXPECT_EQ(offered({"m"}), (Words{"merge"}));
  EXPECT_EQ(offered({"sec"}), Words{});
}

TEST(Completion, OptionsAreThoseOfTheSubcommandAndNotGivenTwice) {
  EXPECT_EQ(offered({"run", "--"}),
            (Words{"--help", "--model", "--out", "--number", "--side", "--kind", "--stop", "--quiet"}));
  EXPECT_EQ(offered({"run", "--mo"}), (Words{"--model"}));
  EXPECT_EQ(offered({"run", "--model", "a.gguf", "--quiet", "--mo"}), Words{});
  EXPECT_EQ(offered({"run", "-n", "3", "--num"}), Words{}) << "its short name was given";
  EXPECT_EQ(offered({"run", "--stop", "x", "--sto"}), (Words{"--stop"})) << "may be repeated";
  EXPECT_EQ(offered({"run", "--quiet", ""}).front(), "--help") << "nothing but options can follow";
}

TEST(Completion, ALineOfOptionsAloneIsThatOfTheUsualSubcommand) {
  const Words first = offered({"--"});
  EXPECT_NE(std::ranges::find(first, "--model"), first.end());
  EXPECT_NE(std::ranges::find(first, "--version"), first.end());
  EXPECT_EQ(offered({"--model", "a.gguf", "--ki"}), (Words{"--kind"}));
  EXPECT_EQ(offered({"--kind=t"}), (Words{"--kind=tall"}));
}

TEST(Completion, ValuesAreListedWhereTheyAreKnown) {
  EXPECT_EQ(offered({"run", "--kind", ""}), (Words{"tall", "small"}));
  EXPECT_EQ(offered({"run", "--kind=s"}), (Words{"--kind=small"}));
  EXPECT_EQ(offered({"run", "--side", "e"}), (Words{"engine"}));
  EXPECT_EQ(offered({"run", "--number", ""}), Words{});
}

TEST(Completion, FilesAndFoldersAreLeftToTheShell) {
  const auto paths = [](const Words& words) {
    const Candidates c = candidates(tree(), "run", words);
    EXPECT_TRUE(c.words.empty());
    return std::pair(c.paths, c.prefix);
  };
  EXPECT_EQ(paths({"run", "--model", "fi"}), (std::pair{Paths::files, std::string()}));
  EXPECT_EQ(paths({"run", "--model=fi"}), (std::pair{Paths::files, std::string("--model=")}));
  EXPECT_EQ(paths({"run", "--out", ""}), (std::pair{Paths::folders, std::string()}));
  EXPECT_EQ(paths({"merge", "a", ""}), (std::pair{Paths::folders, std::string()}));
  EXPECT_EQ(paths({"run", "--side", "trace:b"}), (std::pair{Paths::files, std::string("trace:")}));
  EXPECT_EQ(paths({"run", "--number", ""}), (std::pair{Paths::none, std::string()}));
}

TEST(Completion, LinesHoldAWordItsHelpAndTheDirective) {
  Candidates c;
  c.words = {{"--a", "first\nsecond"}, {"--b", ""}};
  c.paths = Paths::files;
  c.prefix = "--model=";
  EXPECT_EQ(to_lines(c), "--a\tfirst\n--b\t\n:files --model=\n");
}

TEST(Completion, ScriptsNameTheCommandAndOtherShellsAreRefused) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const std::string script = completion_script(shell, "thing");
    EXPECT_NE(script.find("thing"), std::string::npos) << shell;
    EXPECT_EQ(script.find("COMMAND"), std::string::npos) << shell;
  }
  EXPECT_THROW(completion_script("tcsh", "thing"), InputError);
}

}  // namespace
}  // namespace bitnet::about
