#pragma once
// Where the files are that come with the program.

#include <filesystem>
#include <string_view>

namespace crossval {

/// "model/bundled.gguf": in the folder that CROSSVAL_FIXTURES names, beside the installed program
/// (share/crossval), or in the source tree it was built from. Throws InputError that lists where it looked.
std::filesystem::path find_fixture(std::string_view name);

}  // namespace crossval
