#include "reference/llama_adapter/compiler_note.h"

#include <gtest/gtest.h>

#include <fstream>

#include "engine/gguf/temporary_directory.h"

namespace crossval::llama_adapter {
namespace {

TEST(CompilerNote, IsReadFromAnElfFile) {
#if defined(__clang__)
  EXPECT_NE(compiler_note_of_file("/proc/self/exe").find("clang"), std::string::npos);
#elif defined(__GNUC__)
  EXPECT_NE(compiler_note_of_file("/proc/self/exe").find("GCC"), std::string::npos);
#endif
}

TEST(CompilerNote, OtherFilesHaveNone) {
  const bitnet::testing::TemporaryDirectory folder;
  EXPECT_EQ(compiler_note_of_file(folder / "missing"), "");
  std::ofstream(folder / "text") << "no library";
  EXPECT_EQ(compiler_note_of_file(folder / "text"), "");
  // An ELF file that ends after its header.
  std::ifstream self("/proc/self/exe", std::ios::binary);
  std::string head(64, '\0');
  self.read(head.data(), 64);
  std::ofstream(folder / "cut", std::ios::binary) << head;
  EXPECT_EQ(compiler_note_of_file(folder / "cut"), "");
}

TEST(CompilerNote, ThisProgramsOwnTellsNothingOfALibrary) {
  EXPECT_EQ(compiler_note(reinterpret_cast<const void*>(&compiler_note_of_file)), "");
}

}  // namespace
}  // namespace crossval::llama_adapter
