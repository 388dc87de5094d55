#pragma once
// The whole of a program that writes a small corpus for a fuzzer: PROGRAM DIRECTORY, a file for each seed.

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace bitnet::fuzzing {

struct Seed {
  std::string name;   // of the file
  std::string bytes;  // its content
};

/// What `main` returns: 2 for a wrong command line, 4 where a file cannot be written.
inline int write_seeds(const char* program, int argc, char** argv, const std::vector<Seed>& seeds) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s DIRECTORY\n", program);
    return 2;
  }
  const std::filesystem::path directory = argv[1];
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  for (const Seed& seed : seeds) {
    std::ofstream out(directory / seed.name, std::ios::binary);
    out << seed.bytes << std::flush;
    if (!out.good()) {
      std::fprintf(stderr, "%s: %s cannot be written\n", program, argv[1]);
      return 4;
    }
  }
  return 0;
}

}  // namespace bitnet::fuzzing
