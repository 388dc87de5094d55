// `bitnet convert`.

#include <unistd.h>

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/cli/commands.h"
#include "engine/convert/convert.h"
#include "engine/convert/scale_rule.h"
#include "engine/error.h"
#include "engine/formats/float_format.h"
#include "engine/gguf/printable.h"
#include "engine/tokenizer/pre_tokenizer.h"

namespace bitnet {
namespace {

struct Flags {
  std::string model;
  std::string out;
  std::string type = "i2_s";
  std::string embedding = "f16";
  std::string scales = "auto";
  std::string pre;
  std::string name;
  bool json = false;
};

[[noreturn]] void fail_flag(const char* flag, const std::string& value, const std::string& mend) {
  throw InputError(std::string("convert: ") + flag + ": `" + gguf::printable(value, 60) + "` is unknown; " +
                   mend);
}

ConvertOptions options_of(const Flags& flags) {
  ConvertOptions options;
  if (flags.type != "i2_s")
    fail_flag("--type", flags.type, "write i2_s, and every other format from that with `bitnet quantize`");
  const auto embedding = parse_float_type(flags.embedding);
  if (!embedding) {
    std::string list;
    for (const FloatType& t : float_types()) list += (list.empty() ? "" : ", ") + std::string(t.name);
    fail_flag("--embedding-type", flags.embedding, "choose one of " + list);
  }
  options.embedding = *embedding;
  options.scales = hf::parse_scale_rule(flags.scales);
  if (!options.scales && flags.scales != "auto")
    fail_flag("--weight-scale", flags.scales, "choose auto, multiply or divide");
  options.pre = flags.pre;
  options.name = flags.name;
  return options;
}

void run(const Flags& flags) {
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  std::uint64_t shown = 101;
  const ConvertReport r =
      convert(flags.model, options_of(flags), flags.out, [&](std::uint64_t done, std::uint64_t total) {
        const std::uint64_t percent = total == 0 ? 100 : done * 100 / total;
        if (terminal && percent != shown) std::cerr << "\r" << percent << " %" << std::flush;
        shown = percent;
      });
  if (terminal) std::cerr << "\r\033[K";
  for (const std::string& note : r.notes) std::cerr << "convert: " << gguf::printable_message(note) << "\n";
  if (flags.json) {
    const nlohmann::ordered_json report = {{"out", flags.out},     {"architecture", r.architecture},
                                           {"type", flags.type},   {"packed", r.packed},
                                           {"ternary", r.ternary}, {"master", r.master},
                                           {"others", r.others},   {"rounded", r.rounded},
                                           {"verified", true},     {"notes", r.notes}};
    std::cout << report.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
    return;
  }
  std::cout << gguf::printable_message(flags.out) << ": " << r.architecture << ", "
            << r.packed + r.ternary + r.master << " projections as " << flags.type << ", " << r.others
            << " other tensors; read back and compared\n";
}

}  // namespace

void add_convert(CLI::App& app) {
  CLI::App* command = app.add_subcommand("convert", "write a Hugging Face folder as a GGUF model");
  auto flags = std::make_shared<Flags>();
  command
      ->add_option("--model", flags->model, "folder with config.json, tokenizer.json and safetensors files")
      ->required()
      ->type_name("FOLDER");
  command->add_option("--out", flags->out, "the file to write")->required()->type_name("FILE");
  command->add_option("--type", flags->type, "format of the projections: i2_s");
  command->add_option("--embedding-type", flags->embedding,
                      "type of embedding and head (default: f16, as bitnet.cpp's own files)");
  command->add_option("--weight-scale", flags->scales,
                      "how weight_scale acts: multiply, divide, or auto, by the evidence in the checkpoint");
  command->add_option(
      "--pre", flags->pre,
      "pre-tokenizer (default: the one that tokenizer.json describes), one of " + pre_tokenizer_names());
  command->add_option("--name", flags->name, "general.name (default: what the checkpoint says)");
  command->add_flag("--json", flags->json, "JSON alone on stdout");
  command->callback([flags] { run(*flags); });
}

}  // namespace bitnet
