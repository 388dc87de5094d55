#include "engine/about/man_page.h"

#include <gtest/gtest.h>

#include "engine/error.h"

namespace bitnet::about {
namespace {

const char* const kSections = ".SH DESCRIPTION\nBy hand.\n.\\\" COMMANDS\n.SH EXIT STATUS\n0\n";

Command tree() {
  Command run{.name = "run", .help = "runs", .arguments = {}, .subcommands = {}};
  run.arguments = {
      {.names = {"-m", "--model"}, .value = "FILE", .choices = {}, .help = "the model", .required = true},
      {.names = {"--kind"}, .value = "TEXT", .choices = {"tall", "small"}, .help = "how"},
      {.names = {"--path"}, .value = "TEXT", .choices = {}, .help = ".hidden \\fB and\nmore"}};
  return {.name = "thing", .help = "does things", .arguments = {}, .subcommands = {run}};
}

TEST(ManPage, HasEveryCommandAndOptionBetweenTheSectionsWrittenByHand) {
  const std::string page = man_page(tree(), "1.2", kSections);
  const auto at = [&](const std::string& text) {
    const std::size_t found = page.find(text);
    EXPECT_NE(found, std::string::npos) << text << "\n" << page;
    return found;
  };
  EXPECT_LT(at(".TH THING 1 \"\" \"thing 1.2\""), at(".SH NAME\nthing \\- does things\n"));
  EXPECT_LT(at("\\fBthing\\fP \\fBrun\\fP \\fB\\-m\\fP, \\fB\\-\\-model\\fP \\fIFILE\\fP [\\fIOPTIONS\\fP]"),
            at("By hand."));
  EXPECT_LT(at("By hand."), at(".SS \"thing run\""));
  EXPECT_LT(at("the model (required)"), at("how; one of \\fBtall\\fP, \\fBsmall\\fP"));
  EXPECT_LT(at(".SS \"thing run\""), at(".SH EXIT STATUS"));
}

TEST(ManPage, TextIsNeverTakenForARequest) {
  const std::string page = man_page(tree(), "1.2", kSections);
  EXPECT_NE(page.find("\n\\&.hidden \\efB and more"), std::string::npos) << page;
}

TEST(ManPage, SectionsMustSayWhereTheCommandsStand) {
  EXPECT_THROW(man_page(tree(), "1.2", ".SH DESCRIPTION\n"), InputError);
}

}  // namespace
}  // namespace bitnet::about
