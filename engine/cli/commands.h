#pragma once
// The subcommands of `bitnet`. Each adds its flags and says what to do when it was chosen.

#include <CLI/CLI.hpp>

namespace bitnet {

void add_run(CLI::App& app);
void add_chat(CLI::App& app);
void add_bench(CLI::App& app);
void add_inspect(CLI::App& app);
void add_synth(CLI::App& app);
void add_convert(CLI::App& app);
void add_quantize(CLI::App& app);

}  // namespace bitnet
