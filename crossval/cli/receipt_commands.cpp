// `verify-receipt`: whether a receipt follows from the records beside it.

#include <iostream>
#include <memory>

#include "crossval/cli/commands.h"
#include "crossval/errors.h"
#include "crossval/receipt/verify.h"
#include "reports/escape.h"

namespace crossval {

void add_verify_receipt(CLI::App& app, Outcome& outcome) {
  CLI::App* command = app.add_subcommand(
      "verify-receipt",
      "make a receipt's figures again from the records beside it, and say what does not match");
  auto options = std::make_shared<VerifyOptions>();
  command->add_option("receipt", options->receipt, "receipt.json, or the folder of a report")
      ->required()
      ->type_name("FILE|DIR");
  command->add_option("--model", options->model, "the model whose hash it must have (default: as recorded)")
      ->type_name("FILE");
  command->add_option("--prompts", options->prompts, "likewise the suite")->type_name("FILE");
  command->add_flag("--strict", options->strict,
                    "it must prove agreement with a real bitnet.cpp, and nothing be left unchecked");
  command->callback([options, &outcome] {
    const Verification v = verify_receipt(*options);
    std::cout << reports::escape_terminal(v.claim) << "\n" << reports::escape_terminal(v.headline) << "\n";
    for (const std::string& what : v.mismatches)
      std::cout << "MISMATCH " << reports::escape_terminal(what) << "\n";
    for (const std::string& note : v.notes) std::cout << "note: " << reports::escape_terminal(note) << "\n";
    if (options->strict)
      for (const std::string& what : v.unproven)
        std::cout << "NOT PROVEN " << reports::escape_terminal(what) << "\n";
    const bool sound = v.mismatches.empty(), enough = !options->strict || v.unproven.empty();
    std::cout << (!sound ? "the receipt does not follow from its records\n"
                  : !enough
                      ? "the receipt follows from its records, but does not prove what --strict asks for\n"
                      : "the receipt follows from its records\n");
    outcome.exit_code = static_cast<int>(sound && enough ? ExitCode::pass : ExitCode::fail);
  });
}

}  // namespace crossval
