#pragma once
// The manual page of a command, from what it says of itself and the sections that are written by hand.

#include <string>
#include <string_view>

#include "engine/about/command_tree.h"

namespace bitnet::about {

/// The page in section 1, as man and groff read it: name, synopsis, then `sections` (roff, each from a line
/// ".SH" on), with the commands and their options in the place of its line ".\" COMMANDS". Throws InputError
/// where `sections` has no such line.
std::string man_page(const Command& command, std::string_view version, std::string_view sections);

}  // namespace bitnet::about
