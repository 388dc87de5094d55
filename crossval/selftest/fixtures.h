#pragma once
// Where the files are that come with the program.

#include <filesystem>
#include <string_view>

namespace crossval {

/// "model/bundled.gguf": in the folder that CROSSVAL_FIXTURES names, else in share/crossval beside the
/// program's folder, as installed and in a build folder. Throws InputError that says where it looked.
std::filesystem::path find_fixture(std::string_view name);

}  // namespace crossval
