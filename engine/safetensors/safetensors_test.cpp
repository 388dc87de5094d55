#include "engine/safetensors/safetensors.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "engine/error.h"
#include "engine/safetensors/test_file.h"

namespace bitnet {
namespace {

using testing::TestSafetensors;

std::span<const std::byte> view(const std::string& bytes) {
  return std::as_bytes(std::span(bytes));
}

std::string failure(const std::string& bytes) {
  try {
    (void)Safetensors::parse(view(bytes), "t.safetensors");
    return "";
  } catch (const InputError& e) {
    return e.what();
  }
}

void expect_failure(const std::string& bytes, const std::vector<std::string>& fragments) {
  const std::string message = failure(bytes);
  EXPECT_TRUE(message.starts_with("t.safetensors: ")) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos);
  for (const auto& fragment : fragments)
    EXPECT_NE(message.find(fragment), std::string::npos) << "no \"" << fragment << "\" in: " << message;
}

TestSafetensors small() {
  TestSafetensors file;
  file.metadata = {{"format", "pt"}};
  file.tensors = {{"a", "F32", {1, 2}, std::string(8, 'a')}, {"b", "BF16", {3}, std::string(6, 'b')}};
  return file;
}

std::string with_header(const std::string& header, const std::string& data = std::string(8, 'x')) {
  return TestSafetensors::join(header, data);
}

TEST(Safetensors, ReadsWhatIsThere) {
  const std::string bytes = with_header(
      R"({"b":{"dtype":"U8","shape":[2,2],"data_offsets":[4,8]},"__metadata__":{"k":"v","":""},)"
      R"("a":{"shape":[],"data_offsets":[0,4],"dtype":"F32"}, "none":{"dtype":"F32","shape":[0,7],)"
      R"("data_offsets":[4,4]}}   )",
      "1234abcd");
  const Safetensors file = Safetensors::parse(view(bytes), "t");
  EXPECT_EQ(file.metadata().size(), 2U);
  EXPECT_EQ(file.metadata().find("k")->second, "v");
  ASSERT_EQ(file.tensors().size(), 3U);
  EXPECT_EQ(file.tensors()[0].name, "a");  // in the order of their bytes
  EXPECT_EQ(file.tensors()[1].name, "none");
  EXPECT_EQ(file.tensors()[2].name, "b");
  EXPECT_EQ(file.tensors()[2].shape, (std::vector<std::uint64_t>{2, 2}));
  EXPECT_EQ(file.tensors()[2].type, Safetensors::Type::u8);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(file.tensors()[2].data.data()), 4), "abcd");
}

TEST(Safetensors, KnowsTheSizesOfItsTypes) {
  const std::pair<const char*, std::uint64_t> types[] = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"U16", 2}, {"I16", 2}, {"F16", 2},
      {"BF16", 2}, {"U32", 4}, {"I32", 4}, {"F32", 4},     {"U64", 8},     {"I64", 8}, {"F64", 8}};
  for (const auto& [name, bytes] : types) {
    const TestSafetensors file{{}, {{"x", name, {3, 2}, std::string(6 * bytes, '\0')}}};
    const std::string whole = file.bytes();
    const Safetensors read = Safetensors::parse(view(whole), "t");
    EXPECT_EQ(Safetensors::type_name(read.tensors()[0].type), name);
    EXPECT_EQ(read.tensors()[0].elements(), 6U);
    const TestSafetensors wrong{{}, {{"x", name, {3, 2}, std::string(6 * bytes + 1, '\0')}}};
    expect_failure(wrong.bytes(), {"x: its shape needs " + std::to_string(6 * bytes) + " bytes"});
  }
}

TEST(Safetensors, EveryCutIsAnError) {
  const std::string whole = small().bytes();
  ASSERT_EQ(failure(whole), "");
  for (std::size_t n = 0; n < whole.size(); ++n) EXPECT_NE(failure(whole.substr(0, n)), "") << n;
  expect_failure(whole + "x", {"data: 1 bytes at the end belong to no tensor"});
}

TEST(Safetensors, LengthsAndJsonThatLie) {
  expect_failure("", {"header length", "ends within it"});
  expect_failure("1234567", {"header length"});
  expect_failure(std::string(8, '\xff') + "{}",
                 {"header length", "18446744073709551615", "is this a safetensors"});
  std::string bytes = with_header("{}", "");
  bytes[0] = 3;
  expect_failure(bytes, {"header length: is 3, but only 2 bytes follow"});
  expect_failure(with_header("[]", ""), {"header: does not begin with {"});
  expect_failure(with_header(R"({"a":)", ""), {"header: is no JSON at its byte"});
  expect_failure(with_header(R"({} {})", ""), {"header: is no JSON"});
  expect_failure(with_header("{\"\xff\":{}}", ""), {"header: is no JSON"});
}

TEST(Safetensors, HeadersOfAnotherMake) {
  const auto tensor = [](const std::string& body) { return with_header(R"({"a/b":{)" + body + "}}"); };
  const std::string good = R"("dtype":"U8","shape":[8],"data_offsets":[0,8])";
  ASSERT_EQ(failure(tensor(good)), "");
  expect_failure(tensor(R"("shape":[8],"data_offsets":[0,8])"), {"a/b: has no dtype", "write it again"});
  expect_failure(tensor(R"("dtype":"U8","data_offsets":[0,8])"), {"a/b: has no shape"});
  expect_failure(tensor(R"("dtype":"U8","shape":[8])"), {"a/b: has no data_offsets"});
  expect_failure(tensor(R"("dtype":"U8","shape":[8],"data_offsets":[8])"), {"has no data_offsets of two"});
  expect_failure(tensor(R"("dtype":"U8","shape":[8],"data_offsets":[0,8,8])"), {"more than 2 numbers"});
  expect_failure(tensor(R"("dtype":"U8","shape":[1,1,1,1,1,1,1,1,8],"data_offsets":[0,8])"),
                 {"a/b shape: has more than 8 numbers"});
  expect_failure(tensor(R"("dtype":"F4","shape":[4],"data_offsets":[0,8])"),
                 {"a/b: is of type `F4`, which is unknown"});
  expect_failure(tensor(R"("dtype":8,"shape":[8],"data_offsets":[0,8])"), {"a/b dtype: is a number"});
  expect_failure(tensor(R"("dtype":"U8","shape":[-8],"data_offsets":[0,8])"),
                 {"shape: is a negative number"});
  expect_failure(tensor(R"("dtype":"U8","shape":[8.5],"data_offsets":[0,8])"), {"shape: is a fraction"});
  expect_failure(tensor(R"("dtype":"U8","shape":[[8]],"data_offsets":[0,8])"), {"shape: is a list"});
  expect_failure(tensor(R"("dtype":"U8","shape":[{}],"data_offsets":[0,8])"), {"shape: is an object"});
  expect_failure(tensor(R"("dtype":"U8","shape":8,"data_offsets":[0,8])"), {"shape: is a number"});
  expect_failure(tensor(R"("dtype":"U8","shape":null,"data_offsets":[0,8])"), {"shape: is null"});
  expect_failure(tensor(good + R"(,"more":1)"), {"a/b more: is no key of a tensor"});
  expect_failure(tensor(good + "," + good), {"a/b dtype: stands twice"});
  expect_failure(with_header(R"({"a":{)" + good + R"(},"a":{)" + good + "}}"),
                 {"a: stands twice in the header"});
  expect_failure(with_header(R"({"a":true})"), {"a: is a boolean"});
  expect_failure(with_header(R"({"__metadata__":{"k":1}})"), {"__metadata__ k: is a number"});
  expect_failure(with_header(R"({"__metadata__":{"k":{}}})"), {"__metadata__ k: is an object"});
  expect_failure(with_header(R"({"__metadata__":{"k":"1","k":"2"}})"), {"__metadata__ k: stands twice"});
  expect_failure(with_header(R"({"__metadata__":[]})"), {"__metadata__: is a list"});
}

TEST(Safetensors, PlacesThatLie) {
  const auto two = [](const std::string& a, const std::string& b) {
    return with_header(R"({"a":{"dtype":"U8","shape":)" + a + R"(},"b":{"dtype":"U8","shape":)" + b + "}}");
  };
  ASSERT_EQ(failure(two(R"([4],"data_offsets":[4,8])", R"([4],"data_offsets":[0,4])")), "");
  expect_failure(two(R"([8],"data_offsets":[0,8])", R"([4],"data_offsets":[2,6])"),
                 {"b: overlaps the tensor before it, which ends at 8"});
  expect_failure(two(R"([8],"data_offsets":[0,8])", R"([8],"data_offsets":[0,8])"), {"b: overlaps"});
  expect_failure(two(R"([2],"data_offsets":[0,2])", R"([4],"data_offsets":[4,8])"), {"b: leaves a gap"});
  expect_failure(two(R"([4],"data_offsets":[1,5])", R"([3],"data_offsets":[5,8])"), {"a: leaves a gap"});
  expect_failure(two(R"([4],"data_offsets":[0,4])", R"([5],"data_offsets":[4,9])"),
                 {"b: its data_offsets 4 to 9"});
  expect_failure(two(R"([4],"data_offsets":[4,0])", R"([4],"data_offsets":[4,8])"),
                 {"a: its data_offsets 4 to 0"});
  expect_failure(two(R"([5],"data_offsets":[0,4])", R"([4],"data_offsets":[4,8])"),
                 {"a: its shape needs 5 bytes, its data_offsets give 4"});
  expect_failure(two(R"([4294967296,4294967296],"data_offsets":[0,0])", R"([8],"data_offsets":[0,8])"),
                 {"a: its shape is too large"});
}

TEST(Safetensors, NamesAreHarmlessInMessages) {
  expect_failure(with_header("{\"\\u001b[2J\\n\":{}}"), {"\\x1b[2J\\n: has no dtype"});
}

TEST(Safetensors, FilesThatCannotBeRead) {
  EXPECT_THROW(Safetensors::open("/nowhere/t.safetensors"), InputError);
  EXPECT_THROW(Safetensors::open(std::filesystem::temp_directory_path()), InputError);
}

}  // namespace
}  // namespace bitnet
