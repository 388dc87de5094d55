#include <gtest/gtest.h>

#include <fstream>
#include <limits>

#include "engine/error.h"
#include "engine/gguf/checks.h"
#include "engine/gguf/gguf.h"
#include "engine/gguf/test_bytes.h"

namespace bitnet::gguf {
namespace {

using testing::Bytes;

// The message of the InputError that parsing throws; "" when it parses.
std::string failure(std::span<const std::byte> bytes) {
  try {
    (void)File::parse(bytes, "m.gguf");
    return "";
  } catch (const InputError& e) {
    return e.what();
  }
}

void expect_failure(const Bytes& b, const std::vector<std::string>& fragments) {
  const std::string message = failure(b.bytes);
  EXPECT_TRUE(message.starts_with("m.gguf: ")) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos);
  for (const auto& fragment : fragments)
    EXPECT_NE(message.find(fragment), std::string::npos) << "no \"" << fragment << "\" in: " << message;
}

// One I2_S and one F32 tensor, keys of every type. Ends with the last tensor's last byte.
Bytes small_file(std::uint32_t version = 3) {
  Bytes b;
  b.header(2, 17, version);
  b.key("general.architecture", "bitnet-b1.58");
  b.key("u8", ValueType::u8, std::uint8_t{200});
  b.key("i8", ValueType::i8, std::int8_t{-100});
  b.key("u16", ValueType::u16, std::uint16_t{60000});
  b.key("i16", ValueType::i16, std::int16_t{-30000});
  b.key("u32", ValueType::u32, std::uint32_t{4000000000u});
  b.key("i32", ValueType::i32, std::int32_t{-2000000000});
  b.key("f32", ValueType::f32, 1.5f);
  b.key("yes", ValueType::boolean, std::uint8_t{1});
  b.key("no", ValueType::boolean, std::uint8_t{0});
  b.key("u64", ValueType::u64, std::uint64_t{1} << 63);
  b.key("i64", ValueType::i64, std::numeric_limits<std::int64_t>::min());
  b.key("f64", ValueType::f64, 0.1);
  b.array("words", ValueType::string, 3).string("a").string("").string("ccc");
  b.array("numbers", ValueType::i32, 2).put(std::int32_t{-1}).put(std::int32_t{7});
  b.array("flags", ValueType::boolean, 3).put(std::uint8_t{1}).put(std::uint8_t{0}).put(std::uint8_t{1});
  b.array("empty", ValueType::f32, 0);
  b.tensor("w", {128, 4}, TensorType::i2_s, 0);  // 128 + 32 bytes
  b.tensor("norm", {8}, TensorType::f32, 160);
  b.pad(32);
  for (int i = 0; i < 128; ++i) b.put(static_cast<std::uint8_t>(0x55));
  b.put(2.5f).zeros(28);
  for (int i = 0; i < 8; ++i) b.put(static_cast<float>(i));
  return b;
}

TEST(GgufReader, ReadsEveryValueType) {
  const Bytes b = small_file();
  const File f = File::parse(b.bytes, "m.gguf");
  EXPECT_EQ(f.name(), "m.gguf");
  EXPECT_EQ(f.version(), 3u);
  EXPECT_EQ(f.alignment(), 32u);
  EXPECT_EQ(f.file_bytes(), b.bytes.size());
  ASSERT_EQ(f.key_values().size(), 17u);
  EXPECT_EQ(f.key_values()[1].key, "u8");  // file order
  EXPECT_EQ(f.get<std::uint8_t>("u8"), 200);
  EXPECT_EQ(f.get<std::int8_t>("i8"), -100);
  EXPECT_EQ(f.get<std::uint16_t>("u16"), 60000);
  EXPECT_EQ(f.get<std::int16_t>("i16"), -30000);
  EXPECT_EQ(f.require<std::uint32_t>("u32"), 4000000000u);
  EXPECT_EQ(f.get<std::int32_t>("i32"), -2000000000);
  EXPECT_EQ(f.get<float>("f32"), 1.5f);
  EXPECT_EQ(f.get<bool>("yes"), true);
  EXPECT_EQ(f.get<bool>("no"), false);
  EXPECT_EQ(f.get<std::uint64_t>("u64"), std::uint64_t{1} << 63);
  EXPECT_EQ(f.get<std::int64_t>("i64"), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(f.get<double>("f64"), 0.1);
  EXPECT_EQ(f.require<std::string_view>("general.architecture"), "bitnet-b1.58");
  EXPECT_EQ(f.require<Array>("words").as<std::string_view>(),
            (std::vector<std::string_view>{"a", "", "ccc"}));
  EXPECT_EQ(f.require<Array>("numbers").as<std::int32_t>(), (std::vector<std::int32_t>{-1, 7}));
  EXPECT_EQ(f.require<Array>("flags").as<bool>(), (std::vector<bool>{true, false, true}));
  EXPECT_TRUE(f.require<Array>("empty").as<float>().empty());
  EXPECT_EQ(f.find("absent"), nullptr);
  EXPECT_EQ(f.get<float>("absent"), std::nullopt);
}

TEST(GgufReader, FindsTensors) {
  const Bytes b = small_file();
  const File f = File::parse(b.bytes, "m.gguf");
  ASSERT_EQ(f.tensors().size(), 2u);
  const Tensor* w = f.find_tensor("w");
  ASSERT_NE(w, nullptr);
  EXPECT_EQ(w->n_dims, 2);
  EXPECT_EQ(w->ne[0], 128u);
  EXPECT_EQ(w->ne[1], 4u);
  EXPECT_EQ(w->ne[2], 1u);
  EXPECT_EQ(w->elements(), 512u);
  EXPECT_EQ(w->type, TensorType::i2_s);
  EXPECT_EQ(w->data.size(), 160u);
  EXPECT_EQ(w->data.data(), b.bytes.data() + f.data_offset());
  const Tensor* norm = f.find_tensor("norm");
  ASSERT_NE(norm, nullptr);
  EXPECT_EQ(norm->data.data() + norm->data.size(), b.bytes.data() + b.bytes.size());
  EXPECT_EQ(f.find_tensor("v"), nullptr);
}

TEST(GgufReader, VersionTwoReadsTheSame) {
  const Bytes b = small_file(2);
  const File f = File::parse(b.bytes, "m.gguf");
  EXPECT_EQ(f.version(), 2u);
  EXPECT_EQ(f.tensors().size(), 2u);
  EXPECT_EQ(f.key_values().size(), 17u);
}

TEST(GgufReader, WrongTypeNamesBoth) {
  const Bytes b = small_file();
  const File f = File::parse(b.bytes, "m.gguf");
  try {
    (void)f.get<std::uint32_t>("i32");
    FAIL();
  } catch (const InputError& e) {
    EXPECT_TRUE(std::string(e.what()).starts_with("m.gguf: i32: has type i32, but u32 is required"))
        << e.what();
  }
  try {
    (void)f.require<float>("absent");
    FAIL();
  } catch (const InputError& e) {
    EXPECT_TRUE(std::string(e.what()).starts_with("m.gguf: absent: the key is missing (type f32)"))
        << e.what();
  }
  EXPECT_THROW((void)f.require<Array>("numbers").as<float>(), InputError);
  EXPECT_THROW((void)f.require<Array>("words").as<float>(), InputError);
}

TEST(GgufReader, TruncationAtEveryByteIsRefused) {
  const Bytes b = small_file();
  ASSERT_EQ(failure(b.bytes), "");
  for (std::size_t n = 0; n < b.bytes.size(); ++n) {
    // A copy of exactly n bytes, so that a sanitizer sees any byte read past the end.
    const std::vector<std::byte> cut(b.bytes.begin(), b.bytes.begin() + static_cast<std::ptrdiff_t>(n));
    const std::string message = failure(cut);
    EXPECT_TRUE(message.starts_with("m.gguf: ")) << "cut at " << n << ": " << message;
  }
}

TEST(GgufReader, MissingPaddingAtTheEndIsAccepted) {
  Bytes b;
  b.header(1, 0).tensor("norm", {3}, TensorType::f32, 0).pad(32).put(1.0f).put(2.0f).put(3.0f);
  const File f = File::parse(b.bytes, "m.gguf");
  EXPECT_EQ(f.tensors()[0].data.size(), 12u);
}

TEST(GgufReader, HeaderWithoutTensorsNeedsNoData) {
  Bytes b;
  b.header(0, 1).key("k", ValueType::u8, std::uint8_t{1});
  EXPECT_EQ(File::parse(b.bytes, "m.gguf").key_values().size(), 1u);
}

// More kinds of files: engine/cli/damaged_files_test.cpp.
TEST(GgufReader, ForeignFilesAreQuotedHarmlessly) {
  expect_failure(Bytes().text("Inva\x1b[31mlid"), {"header: starts with \"Inva\""});
  expect_failure(Bytes().text("\x1b[2J"), {"header: starts with \"\\x1b[2J\""});
}

TEST(GgufReader, EmptyInputIsRefused) {
  EXPECT_TRUE(failure({}).starts_with("m.gguf: header: "));
}

TEST(GgufReader, Versions) {
  expect_failure(Bytes().header(0, 0, 1), {"version: is 1", "convert the model again"});
  expect_failure(Bytes().header(0, 0, 0), {"version: is 0, which is unknown"});
  expect_failure(Bytes().header(0, 0, 4), {"version: is 4, which is unknown", "2 and 3 are supported"});
  expect_failure(Bytes().header(0, 0, 0x03000000),
                 {"version: the file is big-endian", "gguf_convert_endian.py"});
  expect_failure(Bytes().header(0, 0, 0x02000000), {"big-endian"});
}

TEST(GgufReader, AbsurdCounts) {
  const auto huge = std::numeric_limits<std::uint64_t>::max();
  expect_failure(Bytes().header(huge, 0),
                 {"header: claims 18446744073709551615 tensors", "damaged or cut short"});
  expect_failure(Bytes().header(0, huge), {"header: claims 18446744073709551615 keys"});
  expect_failure(Bytes().header(0, 2).key("a", ValueType::u8, std::uint8_t{1}), {"header: claims 2 keys"});
  for (const auto type : {ValueType::u8, ValueType::u64, ValueType::string})
    for (const auto count : {huge, huge / 8, huge / 8 + 1, std::uint64_t{1000}})
      expect_failure(Bytes().header(0, 1).array("k", type, count).zeros(64), {"key `k`: claims"});
}

TEST(GgufReader, Strings) {
  const auto huge = std::numeric_limits<std::uint64_t>::max();
  expect_failure(Bytes().header(0, 1).put(huge).zeros(32),
                 {"key 1 of 1: its name claims a length of 1844674407370955"});
  expect_failure(Bytes().header(0, 1).string("k").put(ValueType::string).put(huge).zeros(32),
                 {"key `k`: the value claims a length"});
  expect_failure(Bytes().header(0, 1).array("k", ValueType::string, 2).string("ok").put(huge).zeros(32),
                 {"key `k`: a string in the array claims a length"});
  expect_failure(Bytes().header(0, 1).key("", ValueType::u8, std::uint8_t{1}).zeros(8),
                 {"has an empty name"});
  expect_failure(Bytes().header(0, 1).key(std::string(65536, 'k'), ValueType::u8, std::uint8_t{1}),
                 {"name of 65536 bytes", "allows 65535"});
  expect_failure(Bytes().header(0, 1).key(std::string_view("a\0b", 3), ValueType::u8, std::uint8_t{1}),
                 {"zero byte in its name"});
}

TEST(GgufReader, Values) {
  expect_failure(Bytes().header(0, 1).string("k").put(std::uint32_t{13}).zeros(32),
                 {"key `k`: value type 13 is unknown"});
  expect_failure(Bytes().header(0, 1).key("k", ValueType::boolean, std::uint8_t{2}),
                 {"key `k`: a boolean must be 0 or 1, not 2"});
  expect_failure(
      Bytes().header(0, 1).array("k", ValueType::boolean, 2).put(std::uint8_t{1}).put(std::uint8_t{255}),
      {"key `k`: a boolean must be 0 or 1, not 255"});
  expect_failure(Bytes().header(0, 1).array("k", ValueType::array, 1).zeros(64),
                 {"key `k`: arrays of arrays are not supported"});
  expect_failure(Bytes().header(0, 1).array("k", static_cast<ValueType>(77), 1).zeros(64),
                 {"key `k`: value type 77 is unknown"});
}

TEST(GgufReader, DuplicateKeys) {
  Bytes b;
  b.header(0, 3);
  b.key("twice", ValueType::u8, std::uint8_t{1})
      .key("once", "x")
      .key("twice", ValueType::u8, std::uint8_t{2});
  expect_failure(b, {"key `twice`: occurs twice"});
}

TEST(GgufReader, HostileNamesAreEscaped) {
  Bytes b;
  b.header(0, 1).string("evil\n\x1b[2J\xe2\x80\xae").put(std::uint32_t{99}).zeros(16);
  expect_failure(b, {"evil\\n\\x1b[2J\\u{202e}"});
}

Bytes with_alignment(std::uint32_t alignment) {
  Bytes b;
  b.header(2, 1).key("general.alignment", ValueType::u32, alignment);
  b.tensor("a", {2}, TensorType::f32, 0).tensor("b", {2}, TensorType::f32, alignment ? alignment : 32);
  return b;
}

TEST(GgufReader, Alignments) {
  for (const std::uint32_t bad : {0u, 3u, 48u, 1u << 21, 1u << 31, 0xffffffffu})
    expect_failure(with_alignment(bad),
                   {"general.alignment: must be a power of two", "not " + std::to_string(bad)});
  for (const std::uint32_t good : {8u, 64u, 4096u, 1u << 20}) {
    Bytes b = with_alignment(good);
    b.pad(good).put(1.0f).put(2.0f).pad(good).put(3.0f).put(4.0f);
    const File f = File::parse(b.bytes, "m.gguf");
    EXPECT_EQ(f.alignment(), good);
    EXPECT_EQ(f.data_offset() % good, 0u);
    float last = 0;
    std::memcpy(&last, f.tensors()[1].data.data() + 4, 4);
    EXPECT_EQ(last, 4.0f);
  }
  expect_failure(Bytes().header(0, 1).key("general.alignment", ValueType::u64, std::uint64_t{32}),
                 {"general.alignment: has type u64, but u32 is required"});
}

TEST(GgufReader, SplitFilesAreRefused) {
  expect_failure(Bytes().header(0, 1).key("split.count", ValueType::u16, std::uint16_t{3}),
                 {"split.count: the model is split into 3 files", "llama-gguf-split --merge"});
  EXPECT_EQ(failure(Bytes().header(0, 1).key("split.count", ValueType::u16, std::uint16_t{1}).bytes), "");
}

Bytes one_tensor(std::vector<std::uint64_t> ne, std::uint32_t type, std::uint64_t offset, std::size_t data) {
  Bytes b;
  b.header(1, 0).tensor("x", std::move(ne), type, offset).pad(32).zeros(data);
  return b;
}

TEST(GgufReader, Shapes) {
  expect_failure(one_tensor({}, 0, 0, 64), {"tensor `x`: has 0 dimensions"});
  expect_failure(one_tensor({1, 1, 1, 1, 1}, 0, 0, 64), {"tensor `x`: has 5 dimensions"});
  expect_failure(one_tensor({8, 0}, 0, 0, 64), {"tensor `x`: dimension 1 is 0"});
  const std::uint64_t big = std::uint64_t{1} << 32;
  expect_failure(one_tensor({big, big}, 0, 0, 64), {"tensor `x`: its number of elements overflows"});
  expect_failure(one_tensor({std::numeric_limits<std::uint64_t>::max()}, 0, 0, 64), {"elements overflows"});
  expect_failure(one_tensor({std::uint64_t{1} << 61}, 0, 0, 64), {"tensor `x`: the size of type 0 (F32)"});
  expect_failure(one_tensor({std::uint64_t{1} << 40}, 0, 0, 64), {"tensor `x`: takes 4398046511104 bytes"});
  EXPECT_EQ(failure(one_tensor({2, 2, 2, 2}, 0, 0, 64).bytes), "");
}

TEST(GgufReader, TypesAreNeverRemapped) {
  for (const auto& [number, name] : std::vector<std::pair<std::uint32_t, std::string>>{
           {40, "type 40 (NVFP4) is not supported"},
           {3, "type 3 (Q4_1)"},
           {20, "type 20 (IQ4_NL)"},
           {337, "type 337 (IQ2_K_R4)"},
           {9999, "type 9999 (unknown)"},
           {42, "type 42 (Q2_0, or TL2 of bitnet.cpp since July 2026): its space does not fit TL2"},
           {37, "type 37 (I8_S) is for activations"}})
    expect_failure(one_tensor({256}, number, 0, 4096), {"tensor `x`: ", name});
  expect_failure(one_tensor({100}, 8, 0, 4096),
                 {"row of 100 elements does not divide into the blocks of 32"});
  expect_failure(one_tensor({128}, 14, 0, 4096), {"blocks of 256 of type 14 (Q6_K)"});
  expect_failure(one_tensor({96}, 134, 0, 4096), {"blocks of 64 of type 134 (IQ1_BN)"});
  expect_failure(one_tensor({128}, 42, 0, 4096), {"the size of type 42 (Q2_0"});
}

TEST(GgufReader, Offsets) {
  expect_failure(one_tensor({8}, 0, 4, 64), {"tensor `x`: its offset 4 is no multiple of the alignment 32"});
  expect_failure(one_tensor({8}, 0, 64, 64), {"tensor `x`: starts at byte 64 of the data, of which 64 are"});
  expect_failure(one_tensor({8}, 0, ~std::uint64_t{31}, 64),
                 {"tensor `x`: starts at byte 18446744073709551584"});
  expect_failure(one_tensor({8}, 0, 32, 63), {"tensor `x`: takes 32 bytes from offset 32",
                                              "but 31 bytes further the file ends; it was cut short"});
}

TEST(GgufReader, Overlaps) {
  const auto two = [](std::uint64_t first, std::uint64_t second) {
    Bytes b;
    b.header(2, 0).tensor("a", {16}, TensorType::f32, first).tensor("b", {16}, TensorType::f32, second);
    return b.pad(32).zeros(512);
  };
  EXPECT_EQ(failure(two(0, 64).bytes), "");
  EXPECT_EQ(failure(two(128, 0).bytes), "");  // any order
  expect_failure(two(0, 32), {"tensor `a`: takes 64 bytes from offset 0",
                              "but 32 bytes further tensor `b` starts; they overlap"});
  expect_failure(two(32, 0), {"tensor `b`: takes 64 bytes", "tensor `a` starts"});
  expect_failure(two(64, 64), {"overlap"});
}

TEST(GgufReader, DuplicateTensors) {
  Bytes b;
  b.header(2, 0).tensor("a", {8}, TensorType::f32, 0).tensor("a", {8}, TensorType::f32, 32).pad(32).zeros(64);
  expect_failure(b, {"tensor `a`: occurs twice"});
  expect_failure(Bytes().header(1, 0).tensor(std::string(65, 'n'), {8}, 0u, 0).pad(32).zeros(64),
                 {"name of 65 bytes"});
}

// Numbers 36 to 39 mean other things elsewhere; the space they take tells.
TEST(GgufReader, ForeignLayoutsUnderOurNumbers) {
  const auto two = [](std::uint32_t type, std::uint64_t next, std::size_t tail) {
    Bytes b;
    b.header(2, 0).tensor("x", {256, 64}, type, 0).tensor("y", {256, 64}, type, next);
    return b.pad(32).zeros(next + tail);
  };
  const std::uint64_t elements = 256 * 64;
  EXPECT_EQ(failure(two(36, elements / 4 + 32, elements / 4 + 32).bytes), "");
  expect_failure(two(36, elements / 32 * 18, elements / 32 * 18), {"IQ4_NL_4_4"});
  expect_failure(two(39, elements / 32 * 17, elements / 32 * 17), {"type 39 (TL2): ", "MXFP4"});
  // Where rows are whole blocks of QK256, the space is that of QK256 too.
  expect_failure(one_tensor({96, 64}, 36, 0, 96 * 64 / 4), {"type 36 (I2_S): ", "Split32 of BitNet-rs"});
  // The last tensor is held against the end of the file.
  expect_failure(one_tensor({256, 64}, 39, 0, elements / 32 * 17), {"MXFP4"});
}

// BitNet-rs's formats have the number of I2_S, TL2 has two: the space they take tells what a tensor is.
TEST(GgufReader, TypesBySpace) {
  const auto type_of = [](std::uint32_t number, std::uint64_t bytes) {
    Bytes b;
    b.header(2, 0).tensor("x", {256, 64}, number, 0).tensor("y", {256, 64}, number, bytes);
    const File f = File::parse(b.pad(32).zeros(2 * bytes).bytes, "m.gguf");
    EXPECT_EQ(f.tensors()[0].number, number);
    EXPECT_EQ(f.tensors()[1].type, f.tensors()[0].type);
    return f.tensors()[0].type;
  };
  const std::uint64_t elements = 256 * 64;
  EXPECT_EQ(type_of(36, elements / 4 + 32), TensorType::i2_s);
  EXPECT_EQ(type_of(36, elements / 4), TensorType::qk256);
  EXPECT_EQ(type_of(36, elements / 32 * 10), TensorType::bitnet32_f16);
  EXPECT_EQ(type_of(39, elements / 4 + 32), TensorType::tl2);
  EXPECT_EQ(type_of(42, elements / 4 + 32), TensorType::tl2);
  EXPECT_EQ(type_of(38, elements / 4 + 32), TensorType::tl1);
}

// The fields that hold a NaN pass the container; the loader's checks find them.
Bytes ternary(std::uint64_t ne0, std::uint64_t rows, float scale) {
  Bytes b;
  b.header(1, 0).tensor("w", {ne0, rows}, TensorType::i2_s, 0).pad(32);
  return b.zeros(ne0 * rows / 4).put(scale).zeros(28);
}

std::string check_failure(const Bytes& b, void (*check)(const File&, const Tensor&)) {
  const File f = File::parse(b.bytes, "m.gguf");
  try {
    check(f, f.tensors()[0]);
    return "";
  } catch (const InputError& e) {
    return e.what();
  }
}

TEST(GgufChecks, I2s) {
  EXPECT_EQ(check_failure(ternary(128, 4, 1.0f), check_i2s), "");
  EXPECT_TRUE(
      check_failure(ternary(192, 4, 1.0f), check_i2s).starts_with("m.gguf: w: I2_S needs a row length"));
  EXPECT_TRUE(
      check_failure(ternary(128, 6, 1.0f), check_i2s).starts_with("m.gguf: w: I2_S needs a number of rows"));
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()})
    EXPECT_TRUE(check_failure(ternary(128, 4, bad), check_i2s)
                    .starts_with("m.gguf: w: its weight scale is not finite"));
}

TEST(GgufChecks, I2sCodes) {
  Bytes b = ternary(128, 4, 1.0f);
  EXPECT_EQ(check_failure(b, check_i2s_codes), "");
  // Row 2, column 33: byte 1 of block 2, bits 5:4.
  b.bytes[b.bytes.size() - 160 + 65] = std::byte{0x30};
  EXPECT_TRUE(
      check_failure(b, check_i2s_codes).starts_with("m.gguf: w: the weight in row 2, column 33 has code 3"));
}

TEST(GgufChecks, Finite) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Bytes b;
    b.header(1, 0).tensor("norm", {4, 2}, TensorType::f32, 0).pad(32);
    for (int i = 0; i < 8; ++i) b.put(i == 6 ? bad : 3.4e38f);
    EXPECT_EQ(check_failure(b, check_finite),
              "m.gguf: norm: the value in row 1, column 2 is not finite; the file is damaged");
    const auto finite = std::vector<std::byte>(b.bytes);
    std::memset(b.bytes.data() + b.bytes.size() - 8, 0, 4);
    EXPECT_EQ(check_failure(b, check_finite), "");
  }
  for (const auto type : {TensorType::f16, TensorType::bf16}) {
    Bytes b;
    b.header(1, 0).tensor("e", {4}, type, 0).pad(32);
    b.put(std::uint16_t{0x7bff}).put(std::uint16_t{0xfbff}).put(std::uint16_t{0xffff}).put(std::uint16_t{0});
    EXPECT_NE(check_failure(b, check_finite).find("row 0, column 2"), std::string::npos);
  }
}

// All codes 0xff, of which two together would be a binary16 NaN; the scale of one block of a row is infinite.
TEST(GgufChecks, FiniteScalesOfBlocks) {
  struct Layout {
    TensorType type;
    std::size_t elements, bytes, scale_at;
  };
  for (const Layout& l : {Layout{TensorType::q8_0, 32, 34, 0}, Layout{TensorType::q6_k, 256, 210, 208}}) {
    Bytes b;
    b.header(1, 0).tensor("e", {3 * l.elements, 2}, l.type, 0).pad(32);
    const std::size_t data = b.bytes.size();
    b.bytes.resize(data + 6 * l.bytes, std::byte{0xff});
    const auto set_scale = [&](std::size_t block, std::uint16_t scale) {
      std::memcpy(b.bytes.data() + data + block * l.bytes + l.scale_at, &scale, sizeof scale);
    };
    for (std::size_t block = 0; block < 6; ++block) set_scale(block, 0x7bff);
    EXPECT_EQ(check_failure(b, check_finite), "");
    for (const std::size_t block : {0, 4, 5}) {
      set_scale(block, 0xfc00);
      const std::string place = "row " + std::to_string(block / 3) + ", column " +
                                std::to_string(block % 3 * l.elements) + " is not finite";
      EXPECT_NE(check_failure(b, check_finite).find(place), std::string::npos) << place;
      set_scale(block, 0);
    }
  }
}

TEST(GgufReader, ALargeVocabularyIsReadWhole) {
  Bytes b;
  b.header(0, 2).array("tokens", ValueType::string, 128256);
  for (int i = 0; i < 128256; ++i) b.string("token" + std::to_string(i));
  b.array("merges", ValueType::string, 280147);
  for (int i = 0; i < 280147; ++i) b.string("ab c" + std::to_string(i));
  const File f = File::parse(b.bytes, "m.gguf");
  ASSERT_EQ(std::get<Array>(f.key_values()[1].value).strings.size(), 280147u);
  EXPECT_EQ(std::get<Array>(f.key_values()[1].value).strings[280146], "ab c280146");
  EXPECT_EQ(std::get<Array>(f.key_values()[0].value).strings[128255], "token128255");
}

}  // namespace
}  // namespace bitnet::gguf
