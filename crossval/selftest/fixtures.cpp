#include "crossval/selftest/fixtures.h"

#include <cstdlib>
#include <string>
#include <system_error>
#include <vector>

#include "engine/error.h"

namespace crossval {

std::filesystem::path find_fixture(std::string_view name) {
  std::vector<std::filesystem::path> folders;
  if (const char* named = std::getenv("CROSSVAL_FIXTURES"); named && *named) {
    folders.emplace_back(named);
  } else {
    std::error_code error;
    const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
    if (!error) folders.push_back(program.parent_path().parent_path() / "share/crossval");
  }
  std::string looked;
  for (const auto& folder : folders) {
    if (std::filesystem::exists(folder / name)) return folder / name;
    looked += (looked.empty() ? "" : ", ") + folder.string();
  }
  throw bitnet::InputError(std::string(name) + " was not found in " + looked +
                           "; set CROSSVAL_FIXTURES to the folder fixtures of a crossval checkout");
}

}  // namespace crossval
