// `bitnet quantize`.

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <iomanip>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/cli/commands.h"
#include "engine/cli/layout_flags.h"
#include "engine/cli/quantize.h"
#include "engine/error.h"
#include "engine/formats/float_format.h"
#include "engine/gguf/printable.h"

namespace bitnet {
namespace {

struct Flags {
  std::string model;
  std::string type;
  std::string embedding;
  std::string head;
  std::string out;
  std::string tiles;
  LayoutFlags layout;
  bool json = false;
};

template <class Range, class Name>
std::string list_of(const Range& range, Name name) {
  std::string list;
  for (const auto& item : range) list += (list.empty() ? "" : ", ") + std::string(item.*name);
  return list;
}

// I2_S is i2_s.
std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

std::optional<TensorType> float_type(const char* flag, const std::string& name) {
  if (name.empty()) return std::nullopt;
  const auto type = parse_float_type(lower(name));
  if (!type)
    throw InputError(std::string("quantize: ") + flag + ": `" + gguf::printable(name, 60) +
                     "` is unknown; choose one of " + list_of(float_types(), &FloatType::name));
  return type;
}

void run(const Flags& flags) {
  QuantizeOptions options;
  options.type = lower(flags.type);
  options.embedding = float_type("--embedding-type", flags.embedding);
  options.head = float_type("--head-type", flags.head);
  options.source = ternary_options(flags.layout);
  if (!flags.tiles.empty()) options.tiles = read_kernel_config(flags.tiles);
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  const auto file = gguf::File::open(flags.model);
  const QuantizeReport r = quantize(file, options, flags.out, [&](std::uint64_t done, std::uint64_t total) {
    if (terminal && total > 0) std::cerr << "\r" << done * 100 / total << " %" << std::flush;
  });
  if (terminal) std::cerr << "\r\033[K";
  if (flags.json) {
    const nlohmann::ordered_json report = {{"out", flags.out},
                                           {"type", options.type},
                                           {"ternary", r.ternary},
                                           {"converted", r.converted},
                                           {"copied", r.copied},
                                           {"verified", true},
                                           {"rounded_scales", r.rounded},
                                           {"greatest_rounding", r.greatest_rounding}};
    std::cout << report.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
    return;
  }
  std::cout << gguf::printable_message(flags.out) << ": " << r.ternary << " projections as " << options.type
            << ", " << r.converted << " tensors converted, " << r.copied
            << " copied; read back and compared\n";
  if (r.rounded == 0)
    std::cout << "every scale is held exactly\n";
  else
    std::cout << r.rounded << " of " << r.ternary << " scales were rounded, by up to " << std::setprecision(3)
              << r.greatest_rounding * 100 << " % (" << r.greatest_rounding_name
              << "): logits differ from the source's\n";
}

}  // namespace

void add_quantize(CLI::App& app) {
  CLI::App* command = app.add_subcommand("quantize", "write a model with its weights in other formats");
  auto flags = std::make_shared<Flags>();
  const std::string floats = list_of(float_types(), &FloatType::name) + " (default: as it is)";
  command->add_option("--model", flags->model, "GGUF model")->required()->type_name("FILE");
  command
      ->add_option("--type", flags->type,
                   "format of the projections: " + list_of(quantize_types(), &QuantizeType::name))
      ->required();
  command->add_option("--embedding-type", flags->embedding, "type of the embedding: " + floats);
  command->add_option("--head-type", flags->head, "type of a head of its own: " + floats);
  command->add_option("--out", flags->out, "the file to write")->required()->type_name("FILE");
  command
      ->add_option("--tiles", flags->tiles,
                   "kernel_config.ini for TL1 or TL2 in the new file (default: presets)")
      ->type_name("FILE");
  add_layout_flags(command, flags->layout);
  command->add_flag("--json", flags->json, "JSON alone on stdout");
  command->callback([flags] { run(*flags); });
}

}  // namespace bitnet
