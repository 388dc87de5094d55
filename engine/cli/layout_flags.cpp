#include "engine/cli/layout_flags.h"

#include <fstream>
#include <iterator>

#include "engine/error.h"
#include "engine/gguf/printable.h"

namespace bitnet {

void add_layout_flags(CLI::App* command, LayoutFlags& flags) {
  command->add_option("--layout", flags.layout,
                      "layout of I2_S where the file names none: x86, arm or 4-row");
  command
      ->add_option("--tl-config", flags.tl_config, "kernel_config.ini that a TL1 or TL2 file was made with")
      ->type_name("FILE");
}

gguf::TernaryOptions ternary_options(const LayoutFlags& flags) {
  gguf::TernaryOptions options;
  if (!flags.layout.empty()) {
    options.layout = parse_i2s_layout(flags.layout);
    if (!options.layout)
      throw InputError("--layout: `" + gguf::printable(flags.layout, 60) +
                       "` is unknown; choose one of x86, arm, 4-row");
  }
  if (!flags.tl_config.empty()) options.tiles = read_kernel_config(flags.tl_config);
  return options;
}

TlTable read_kernel_config(const std::string& path) {
  const std::string name = gguf::printable_message(path);
  std::ifstream in(path, std::ios::binary);
  if (!in) throw InputError(name + ": kernel_config.ini: cannot be read");
  try {
    return parse_kernel_config(std::string(std::istreambuf_iterator<char>(in), {}));
  } catch (const InputError& e) {
    throw InputError(name + ": kernel_config.ini: " + e.what());
  }
}

}  // namespace bitnet
