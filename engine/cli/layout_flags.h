#pragma once
// The flags that say how ternary tensors lie where a file does not.

#include <CLI/CLI.hpp>
#include <string>

#include "engine/gguf/ternary_tensor.h"

namespace bitnet {

struct LayoutFlags {
  std::string layout;
  std::string tl_config;
};

void add_layout_flags(CLI::App* command, LayoutFlags& flags);

/// Reads the file of --tl-config. Throws InputError for an unknown name or a file that says nothing.
gguf::TernaryOptions ternary_options(const LayoutFlags& flags);

/// The tiles that a kernel_config.ini names.
TlTable read_kernel_config(const std::string& path);

}  // namespace bitnet
