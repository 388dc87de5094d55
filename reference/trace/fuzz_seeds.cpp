// Writes a small corpus for fuzz_trace: fuzz_trace_seeds DIRECTORY.

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "reference/trace/test_trace.h"

namespace {

bool write(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream out(path, std::ios::binary);
  out << bytes;
  return out.good();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: fuzz_trace_seeds DIRECTORY\n");
    return 2;
  }
  const std::filesystem::path dir = argv[1];
  std::error_code error;
  std::filesystem::create_directories(dir, error);
  using crossval::testing::TestTrace;
  const bool ok =
      write(dir / "full", crossval::testing::test_trace(false).bytes()) &&
      write(dir / "sha256", crossval::testing::test_trace(true).bytes()) &&
      write(dir / "no-tensors", TestTrace{crossval::testing::test_trace().metadata, {}}.bytes()) &&
      write(dir / "empty-header", TestTrace::join("{}", ""));
  if (!ok) std::fprintf(stderr, "fuzz_trace_seeds: %s cannot be written\n", argv[1]);
  return ok ? 0 : 4;
}
