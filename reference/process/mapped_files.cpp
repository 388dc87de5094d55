#include "reference/process/mapped_files.h"

#include <fstream>
#include <set>
#include <string>

namespace crossval {

std::vector<std::filesystem::path> mapped_files(pid_t process) {
  std::ifstream maps("/proc/" + (process == 0 ? "self" : std::to_string(process)) + "/maps");
  std::set<std::filesystem::path> files;
  std::string line;
  while (std::getline(maps, line)) {
    // "begin-end r-xp offset device inode      /path"
    const std::size_t permissions = line.find(' ') + 1, path = line.find('/');
    if (path == std::string::npos || line.compare(permissions, 3, "r-x") != 0) continue;
    files.insert(line.substr(path));
  }
  return {files.begin(), files.end()};
}

}  // namespace crossval
