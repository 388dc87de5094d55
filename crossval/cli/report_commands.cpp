// `merge`, `render`, `doctor`: the commands about results and about this machine.

#include <iostream>
#include <memory>
#include <vector>

#include "crossval/cli/commands.h"
#include "crossval/participants/program.h"
#include "crossval/records/record_file.h"
#include "crossval/run/merge.h"
#include "crossval/run/trace_rope.h"
#include "crossval/version.h"
#include "engine/error.h"
#include "engine/kernels/kernels.h"
#include "engine/kernels/thread_pool.h"
#include "reference/process/process_participant.h"
#include "reports/escape.h"
#include "reports/render.h"

namespace crossval {

void add_merge(CLI::App& app, Outcome& outcome) {
  CLI::App* command = app.add_subcommand("merge", "join the results of shards into those of one run");
  struct Flags {
    std::vector<std::filesystem::path> shards;
    std::filesystem::path out;
  };
  auto flags = std::make_shared<Flags>();
  command->add_option("shards", flags->shards, "folders of the shards")->required()->type_name("DIR...");
  command->add_option("--out", flags->out, "folder of the joint report")->required()->type_name("DIR");
  command->callback([flags, &outcome] {
    const RunResult result = merge(flags->shards, flags->out);
    std::cout << reports::escape_terminal(result.claim) << "\n"
              << reports::escape_terminal(result.headline) << "\n"
              << "report: " << (flags->out / "index.html").string() << "\n";
    outcome.exit_code = static_cast<int>(exit_code(result.verdict));
  });
}

void add_render(CLI::App& app, Outcome& outcome) {
  CLI::App* command = app.add_subcommand("render", "write the reports of a results folder again");
  auto folder = std::make_shared<std::filesystem::path>();
  command->add_option("folder", *folder, "folder that holds results.jsonl")->required()->type_name("DIR");
  command->callback([folder, &outcome] {
    if (!std::filesystem::exists(*folder / "results.jsonl"))
      throw bitnet::InputError((*folder / "results.jsonl").string() +
                               ": does not exist; name the folder of a report");
    const reports::Rendered rendered = reports::render(*folder / "results.jsonl", *folder);
    std::cout << rendered.verdict << ": " << reports::escape_terminal(rendered.headline) << "\n"
              << "report: " << (*folder / "index.html").string() << "\n";
    outcome.exit_code = rendered.exit_code;
  });
}

namespace {

// What the adapter of bitnet.cpp says of the library that it drives, without a model.
void print_bitnet_cpp() {
  const auto adapter = find_llama_adapter();
  if (!adapter) {
    std::cout << "  bitnet.cpp: no adapter; " << llama_adapter_mend() << "\n";
    return;
  }
  const auto line = [](const std::string& key, const std::string& value) {
    std::cout << "    " << reports::escape_terminal(key) << ": " << reports::escape_terminal(value) << "\n";
  };
  try {
    const Hello hello = probe_program(
        {.words = {adapter->string()}, .name = "bitnet.cpp", .timeout = Seconds(60), .environment = {}});
    std::cout << "  bitnet.cpp: yes\n";
    line("adapter", adapter->string());
    line("name", hello.identity.name);
    line("version", hello.identity.version);
    line("build", hello.identity.build);
    for (const auto& [key, value] : hello.identity.details) line(key, value);
  } catch (const std::exception& e) {
    std::cout << "  bitnet.cpp: its adapter does not work: " << reports::escape_terminal(e.what())
              << "\n    the mend: " << llama_adapter_mend() << "\n";
  }
}

}  // namespace

void add_doctor(CLI::App& app, Outcome& outcome) {
  CLI::App* command =
      app.add_subcommand("doctor", "show what this machine offers, what is missing and the mend");
  command->callback([&outcome] {
    std::cout << "crossval " << kVersion << " (" << kBuild << ")\n"
              << "cores: " << bitnet::physical_cores() << " physical\n"
              << "kernels, best first (chosen: " << bitnet::select_kernels().name
              << "; choose with --isa):\n";
    for (const bitnet::Kernels* kernels : bitnet::compiled_kernels())
      std::cout << "  " << kernels->name << ": " << kernels->description
                << (bitnet::supported(*kernels) ? "" : " (not supported by this CPU)") << "\n";
    std::cout << "participants:\n"
              << "  engine: yes\n"
              << "  oracle: yes\n"
              << "  emulator: yes\n"
              << "  trace:FILE: yes\n"
              << "  exec:WORDS: yes, any program that speaks the participant protocol\n";
    print_bitnet_cpp();
    std::cout << "default reference (auto): "
              << (find_llama_adapter() ? "bitnet.cpp" : "emulator:rope=own, since there is no bitnet.cpp")
              << "\n";
    const std::string libm = rope_table_sha256(bitnet::RopeMath::libm);
    std::cout << "libm: "
              << (libm == kRecordedRopeSha256
                      ? "gives the RoPE table of the recorded traces"
                      : "gives another RoPE table than that of the recorded traces; rope=trace takes theirs")
              << (libm == rope_table_sha256(bitnet::RopeMath::own)
                      ? ", which is the engine's own, too"
                      : "; the engine's own differs from it in places (engine:rope=libm takes the host's)")
              << "\n";
    outcome.exit_code = 0;
  });
}

}  // namespace crossval
