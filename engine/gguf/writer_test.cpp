#include "engine/gguf/writer.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <functional>
#include <stdexcept>

#include "engine/error.h"
#include "engine/gguf/gguf.h"
#include "engine/gguf/temporary_directory.h"
#include "engine/gguf/test_bytes.h"

namespace bitnet::gguf {
namespace {

using bitnet::testing::TemporaryDirectory;

std::vector<std::byte> pattern(std::size_t n, unsigned seed) {
  std::vector<std::byte> bytes(n);
  for (std::size_t i = 0; i < n; ++i) bytes[i] = static_cast<std::byte>((i * 131 + seed) & 0xff);
  return bytes;
}

std::vector<std::byte> file_bytes(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::vector<char> chars((std::istreambuf_iterator<char>(in)), {});
  std::vector<std::byte> bytes(chars.size());
  std::memcpy(bytes.data(), chars.data(), chars.size());
  return bytes;
}

template <class Error>
std::string message_of(const std::function<void()>& action) {
  try {
    action();
    return "nothing thrown";
  } catch (const Error& e) {
    return e.what();
  }
}

void write_model(const std::filesystem::path& path, std::uint32_t alignment) {
  Writer w(path, alignment);
  w.add("u32", std::uint32_t{7});
  w.add("i32", std::int32_t{-7});
  w.add("u64", std::uint64_t{1} << 40);
  w.add("i64", std::int64_t{-1} << 40);
  w.add("f32", 0.5f);
  w.add("f64", 0.25);
  w.add("flag", true);
  w.add("text", std::string("hello"));
  w.add("words", std::vector<std::string>{"", "x", "yy"});
  w.add("floats", std::vector<float>{1, 2, 3});
  w.add("ints", std::vector<std::int32_t>{-1, 1});
  w.add("uints", std::vector<std::uint32_t>{5});
  w.add_tensor("w", {256, 4}, TensorType::i2_s);
  w.add_tensor("odd", {3}, TensorType::f32);
  w.add_tensor("cube", {2, 3, 4, 5}, TensorType::f16);
  w.begin();
  w.append(pattern(256 + 32, 1));
  const auto odd = pattern(12, 2);
  w.append(std::span(odd).first(5));  // in pieces
  w.append(std::span(odd).subspan(5));
  w.append(pattern(240, 3));
  w.finish();
}

class WriterRoundTrip : public ::testing::TestWithParam<std::uint32_t> {};

TEST_P(WriterRoundTrip, ReaderReadsWhatWasWritten) {
  const TemporaryDirectory dir;
  const auto path = dir / "m.gguf";
  write_model(path, GetParam());
  EXPECT_FALSE(std::filesystem::exists(dir / "m.gguf.tmp"));
  const File f = File::open(path);
  EXPECT_EQ(f.name(), path.string());
  EXPECT_EQ(f.version(), 3u);
  EXPECT_EQ(f.alignment(), GetParam());
  EXPECT_EQ(f.key_values().size(), GetParam() == 32 ? 12u : 13u);
  EXPECT_EQ(f.get<std::uint32_t>("u32"), 7u);
  EXPECT_EQ(f.get<std::int32_t>("i32"), -7);
  EXPECT_EQ(f.get<std::uint64_t>("u64"), std::uint64_t{1} << 40);
  EXPECT_EQ(f.get<std::int64_t>("i64"), -(std::int64_t{1} << 40));
  EXPECT_EQ(f.get<float>("f32"), 0.5f);
  EXPECT_EQ(f.get<double>("f64"), 0.25);
  EXPECT_EQ(f.get<bool>("flag"), true);
  EXPECT_EQ(f.get<std::string_view>("text"), "hello");
  EXPECT_EQ(f.require<Array>("words").as<std::string_view>(), (std::vector<std::string_view>{"", "x", "yy"}));
  EXPECT_EQ(f.require<Array>("floats").as<float>(), (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(f.require<Array>("ints").as<std::int32_t>(), (std::vector<std::int32_t>{-1, 1}));
  EXPECT_EQ(f.require<Array>("uints").as<std::uint32_t>(), (std::vector<std::uint32_t>{5}));

  ASSERT_EQ(f.tensors().size(), 3u);
  const std::size_t sizes[] = {288, 12, 240};
  for (unsigned i = 0; i < 3; ++i) {
    const Tensor& t = f.tensors()[i];
    EXPECT_EQ(t.offset % GetParam(), 0u);
    ASSERT_EQ(t.data.size(), sizes[i]);
    EXPECT_EQ(std::vector<std::byte>(t.data.begin(), t.data.end()), pattern(sizes[i], i + 1));
  }
  EXPECT_EQ(f.tensors()[2].n_dims, 4);
  EXPECT_EQ(f.tensors()[2].rows(), 60u);
}

INSTANTIATE_TEST_SUITE_P(Alignments, WriterRoundTrip, ::testing::Values(1u, 8u, 32u, 4096u, 1u << 20));

TEST(GgufWriter, SameInputSameBytes) {
  const TemporaryDirectory dir;
  write_model(dir / "a", 32);
  write_model(dir / "b", 32);
  EXPECT_EQ(file_bytes(dir / "a"), file_bytes(dir / "b"));
  EXPECT_EQ(file_bytes(dir / "a").size() % 32, 0u);
}

TEST(GgufWriter, CopiesKeysOfEveryType) {
  testing::Bytes b;
  b.header(0, 7);
  b.key("u8", ValueType::u8, std::uint8_t{1}).key("i8", ValueType::i8, std::int8_t{-1});
  b.key("u16", ValueType::u16, std::uint16_t{2}).key("i16", ValueType::i16, std::int16_t{-2});
  b.key("text", "abc");
  b.array("words", ValueType::string, 2).string("a").string("b");
  b.array("bytes", ValueType::u8, 3).put(std::uint8_t{1}).put(std::uint8_t{2}).put(std::uint8_t{3});
  const File source = File::parse(b.bytes, "source");
  const TemporaryDirectory dir;
  Writer w(dir / "copy");
  for (const auto& kv : source.key_values()) w.add(kv);
  w.begin();
  w.finish();
  auto copy = file_bytes(dir / "copy");
  ASSERT_GE(copy.size(), b.bytes.size());
  copy.resize(b.bytes.size());  // the writer pads
  EXPECT_EQ(copy, b.bytes);
}

TEST(GgufWriter, NothingAppearsBeforeFinish) {
  const TemporaryDirectory dir;
  {
    Writer w(dir / "m.gguf");
    w.add_tensor("x", {4}, TensorType::f32);
    w.begin();
    w.append(pattern(8, 0));
    EXPECT_TRUE(std::filesystem::exists(dir / "m.gguf.tmp"));
    EXPECT_FALSE(std::filesystem::exists(dir / "m.gguf"));
    EXPECT_THROW(w.finish(), std::logic_error);
  }
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(GgufWriter, AnInterruptedWriteLeavesTheOldFile) {
  const TemporaryDirectory dir;
  std::ofstream(dir / "m.gguf") << "old";
  {
    Writer w(dir / "m.gguf");
    w.begin();
  }
  EXPECT_EQ(file_bytes(dir / "m.gguf").size(), 3u);
  {
    Writer w(dir / "m.gguf");
    w.begin();
    w.finish();
  }
  EXPECT_EQ(file_bytes(dir / "m.gguf").size(), 32u);
}

TEST(GgufWriter, RefusesWhatCannotBeRead) {
  const TemporaryDirectory dir;
  Writer w(dir / "m");
  w.add("k", true);
  w.add_tensor("x", {4}, TensorType::f32);
  EXPECT_NE(message_of<InputError>([&] { w.add("k", false); }).find("key `k`"), std::string::npos);
  EXPECT_NE(message_of<InputError>([&] { w.add_tensor("x", {4}, TensorType::f32); }).find("tensor `x`"),
            std::string::npos);
  EXPECT_THROW(w.add("", true), InputError);
  EXPECT_THROW(w.add_tensor("none", {}, TensorType::f32), InputError);
  EXPECT_THROW(w.add_tensor("zero", {4, 0}, TensorType::f32), InputError);
  EXPECT_THROW(w.add_tensor("five", {1, 1, 1, 1, 1}, TensorType::f32), InputError);
  EXPECT_THROW(w.add_tensor("huge", {1ull << 32, 1ull << 32}, TensorType::f32), InputError);
  EXPECT_THROW(w.add_tensor("block", {100}, TensorType::q8_0), InputError);
  w.add_tensor("k", {4}, TensorType::f32);  // keys and tensors have names of their own
}

TEST(GgufWriter, MisuseIsALogicError) {
  const TemporaryDirectory dir;
  EXPECT_THROW(Writer(dir / "m", 48), std::invalid_argument);
  Writer w(dir / "m");
  w.add_tensor("x", {4}, TensorType::f32);
  EXPECT_THROW(w.append(pattern(16, 0)), std::logic_error);
  w.begin();
  EXPECT_THROW(w.begin(), std::logic_error);
  EXPECT_THROW(w.add("late", true), std::logic_error);
  EXPECT_THROW(w.append(pattern(17, 0)), std::logic_error);
  w.append(pattern(16, 0));
  EXPECT_THROW(w.append(pattern(1, 0)), std::logic_error);
}

TEST(GgufWriter, PathsThatCannotBeFiles) {
  const TemporaryDirectory dir;
  EXPECT_NE(message_of<InputError>([&] { Writer w(dir.path()); }).find("output: is a directory"),
            std::string::npos);
  EXPECT_NE(message_of<InputError>([&] { Writer w(dir / "no/m"); }).find("directory does not exist"),
            std::string::npos);
  EXPECT_NE(message_of<InputError>([&] { Writer w("/dev/null"); }).find("is a device"), std::string::npos);
}

TEST(GgufWriter, AFullDiskIsASystemErrorThatNamesTheFile) {
  if (!std::filesystem::exists("/dev/full")) GTEST_FAIL() << "/dev/full is needed";
  const TemporaryDirectory dir;
  // What is written to NAME.tmp goes to a device that is always full.
  std::filesystem::create_symlink("/dev/full", dir / "m.gguf.tmp");
  const auto write = [&] {
    Writer w(dir / "m.gguf");
    w.add_tensor("x", {1u << 20}, TensorType::f32);
    w.begin();
    w.append(pattern(4u << 20, 0));
    w.finish();
  };
  const std::string message = message_of<SystemError>(write);
  EXPECT_TRUE(message.starts_with((dir / "m.gguf").string() + ": output: cannot be written: ")) << message;
  EXPECT_NE(message.find("free some space"), std::string::npos);
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

// The last bytes leave the buffer only in finish().
TEST(GgufWriter, AFullDiskIsNoticedInFinish) {
  const TemporaryDirectory dir;
  std::filesystem::create_symlink("/dev/full", dir / "m.gguf.tmp");
  Writer w(dir / "m.gguf");
  w.begin();
  EXPECT_THROW(w.finish(), SystemError);
  EXPECT_FALSE(std::filesystem::exists(dir / "m.gguf"));
}

TEST(GgufWriter, AFileSizeLimitIsASystemError) {
  const TemporaryDirectory dir;
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limited = old;
  limited.rlim_cur = 3u << 20;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limited), 0);
  const std::string message = message_of<SystemError>([&] {
    Writer w(dir / "m.gguf");
    w.add_tensor("x", {1u << 20}, TensorType::f32);
    w.begin();
    for (int i = 0; i < 64; ++i) w.append(pattern(1u << 16, 0));
    w.finish();
  });
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(message.find("output: cannot be written"), std::string::npos) << message;
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(Writer, WhatIsVerifiedHasNoNameYet) {
  const TemporaryDirectory dir;
  Writer good(dir / "m.gguf");
  good.add_tensor("x", {8}, TensorType::f32);
  good.begin();
  good.append(pattern(32, 1));
  good.finish([&](const std::filesystem::path& temporary) {
    EXPECT_FALSE(std::filesystem::exists(dir / "m.gguf"));
    EXPECT_EQ(File::open(temporary).tensors().size(), 1u);
  });
  EXPECT_TRUE(std::filesystem::exists(dir / "m.gguf"));
  std::filesystem::remove(dir / "m.gguf");
  {
    Writer bad(dir / "m.gguf");
    bad.begin();
    EXPECT_THROW(bad.finish([](const auto&) { throw SystemError("no"); }), SystemError);
  }
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(GgufOpen, WhatIsNoFileIsRefused) {
  const TemporaryDirectory dir;
  const auto open = [](const std::filesystem::path& path) {
    return message_of<InputError>([&] { (void)File::open(path); });
  };
  EXPECT_NE(open(dir / "none").find("file: does not exist; check the path"), std::string::npos);
  EXPECT_NE(open(dir.path()).find("file: is a directory"), std::string::npos);
  std::ofstream(dir / "empty").close();
  EXPECT_NE(open(dir / "empty").find("file: is empty"), std::string::npos);
  EXPECT_NE(open(dir / "empty" / "x").find("does not exist"), std::string::npos);
  ASSERT_EQ(::mkfifo((dir / "pipe").c_str(), 0600), 0);
  EXPECT_NE(open(dir / "pipe").find("is no regular file"),
            std::string::npos);  // and does not wait for a writer
  EXPECT_NE(open("/dev/zero").find("is no regular file"), std::string::npos);
}

TEST(GgufOpen, AFileMayBeMoved) {
  const TemporaryDirectory dir;
  write_model(dir / "m", 32);
  File a = File::open(dir / "m");
  const std::string_view text = *a.get<std::string_view>("text");
  File b = std::move(a);
  EXPECT_EQ(text, "hello");
  EXPECT_EQ(b.get<std::string_view>("text")->data(), text.data());
  File c = File::open(dir / "m");
  c = std::move(b);
  EXPECT_EQ(c.get<std::string_view>("text")->data(), text.data());
}

}  // namespace
}  // namespace bitnet::gguf
