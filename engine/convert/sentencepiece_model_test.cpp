#include "engine/convert/sentencepiece_model.h"

#include <gtest/gtest.h>

#include <limits>

#include "engine/convert/test_sentencepiece_model.h"
#include "engine/error.h"
#include "engine/formats/test_ternary.h"

namespace bitnet::hf {
namespace {

using testing::proto_normalizer;
using testing::proto_piece;
using testing::proto_trainer;
using testing::ProtoBytes;
using testing_support::error_of;

SentencePieceModel parse(const ProtoBytes& bytes) {
  return SentencePieceModel::parse(bytes.bytes, "t.model");
}

std::string failure(const ProtoBytes& bytes) {
  return error_of([&] { (void)parse(bytes); });
}

ProtoBytes small() {
  return ProtoBytes()
      .message(1, proto_piece("<unk>", 0, 2))
      .message(1, proto_piece("<s>", 0, 3))
      .message(1, proto_piece("</s>", 0, 3))
      .message(1, proto_piece("<0x0A>", 0, 6))
      .message(1, proto_piece("\u2581a", -1.5f, 1))
      .message(1, proto_piece("<tool>", -2, 4));
}

ProtoBytes whole() {
  return small().message(2, proto_trainer()).message(3, proto_normalizer());
}

TEST(SentencePieceModel, ReadsPieces) {
  const SentencePieceModel m = parse(whole());
  ASSERT_EQ(m.pieces.size(), 6U);
  const std::pair<const char*, TokenType> expected[] = {
      {"<unk>", TokenType::unknown}, {"<s>", TokenType::control},    {"</s>", TokenType::control},
      {"<0x0A>", TokenType::byte},   {"\u2581a", TokenType::normal}, {"<tool>", TokenType::user_defined}};
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(m.pieces[i].text, expected[i].first);
    EXPECT_EQ(m.pieces[i].type, expected[i].second);
  }
  EXPECT_EQ(m.pieces[4].score, -1.5f);
  EXPECT_EQ(m.unk, 0U);
  EXPECT_EQ(m.bos, 1U);
  EXPECT_EQ(m.eos, 2U);
  EXPECT_EQ(m.pad, std::nullopt);
  EXPECT_TRUE(m.adds_space);
  EXPECT_FALSE(m.drops_spaces);
  EXPECT_FALSE(m.maps_characters);
}

TEST(SentencePieceModel, WhatIsNotSaidIsTheDefault) {
  const SentencePieceModel m = parse(small().message(2, ProtoBytes().varint(3, 2)));
  EXPECT_EQ(m.unk, 0U);
  EXPECT_EQ(m.bos, 1U);
  EXPECT_EQ(m.eos, 2U);
  EXPECT_EQ(m.pad, std::nullopt);
  EXPECT_TRUE(m.adds_space);
  EXPECT_TRUE(m.drops_spaces);
  EXPECT_FALSE(m.maps_characters);
}

TEST(SentencePieceModel, ReadsWhatIsSaid) {
  const SentencePieceModel m = parse(
      small()
          .message(3, ProtoBytes().text(2, "map").varint(3, 0).varint(4, 1))
          .message(2, ProtoBytes().varint(3, 2).varint(40, 3).varint(41, ~0ULL).varint(42, 4).varint(43, 5)));
  EXPECT_EQ(m.unk, 3U);
  EXPECT_EQ(m.bos, std::nullopt);
  EXPECT_EQ(m.eos, 4U);
  EXPECT_EQ(m.pad, 5U);
  EXPECT_FALSE(m.adds_space);
  EXPECT_TRUE(m.drops_spaces);
  EXPECT_TRUE(m.maps_characters);
}

TEST(SentencePieceModel, FieldsThatItDoesNotKnowArePassedOver) {
  ProtoBytes more;
  more.varint(200, 7).text(201, "x").f32(202, 1).key(203, 1).bytes += "12345678";
  ProtoBytes piece = proto_piece("b", -3, 1);
  piece.bytes += more.bytes;
  ProtoBytes all = whole().message(1, piece);
  all.bytes += more.bytes;
  const SentencePieceModel m = parse(all);
  ASSERT_EQ(m.pieces.size(), 7U);
  EXPECT_EQ(m.pieces[6].text, "b");
}

TEST(SentencePieceModel, NamesWhatItRefuses) {
  const auto with_piece = [](const ProtoBytes& piece) { return whole().message(1, piece); };
  const auto raw = [](const std::string& bytes) {
    ProtoBytes b;
    b.bytes = bytes;
    return b;
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::pair<ProtoBytes, std::string> cases[] = {
      {raw(""), "file: is no SentencePiece model: it has no pieces"},
      {ProtoBytes().message(2, proto_trainer()), "file: is no SentencePiece model: it has no pieces"},
      {raw("{\"model\": 1}"), "file: is no SentencePiece model"},
      {raw("IQ== 0\nIg== 1\n"), "file: is no SentencePiece model"},
      {raw("version https://git-lfs.github.com/spec/v1\n"), "file: is no SentencePiece model"},
      {small(), "trainer_spec.model_type: is Unigram; of SentencePiece's models only BPE"},
      {small().message(2, proto_trainer(1)), "trainer_spec.model_type: is Unigram"},
      {small().message(2, proto_trainer(3)), "trainer_spec.model_type: is unknown"},
      {small().message(2, proto_trainer().varint(24, 1)), "trainer_spec.treat_whitespace_as_suffix: is set"},
      {small().message(2, proto_trainer().varint(42, 6)), "trainer_spec.eos_id: is 6, which is no piece"},
      {small().message(2, proto_trainer().varint(41, 1ULL << 40)), "file: has an id that is too great"},
      {whole().message(3, ProtoBytes().varint(5, 0)), "normalizer_spec.escape_whitespaces: is not set"},
      {with_piece(ProtoBytes().f32(2, 1)), "piece 6: has no text"},
      {with_piece(proto_piece("\xC0\x80", 0, 1)), "piece 6: has no text, or none that is UTF-8"},
      {with_piece(proto_piece("b", nan, 1)), "piece 6: has a score that is no number"},
      {with_piece(proto_piece("b", 0, 0)), "piece 6: has type 0, which there is not"},
      {with_piece(proto_piece("b", 0, 7)), "piece 6: has type 7, which there is not"},
      {with_piece(ProtoBytes().varint(1, 5)), "file: has a field of another type"},
      {with_piece(ProtoBytes().text(1, "b").text(2, "1234")), "file: has a field of another type"},
      {whole().varint(1, 5), "file: has a field of another type"},
      {whole().key(9, 3), "file: is no SentencePiece model, or is damaged"},
      {whole().key(1, 2).number(1), "file: is no SentencePiece model, or is cut short"},
      {whole().key(1, 2).number(~0ULL), "file: is no SentencePiece model, or is cut short"},
      {raw(whole().bytes + "\x48" + std::string(10, '\xFF')), "file: has a number of more than 64 bits"},
      {raw(whole().bytes + "\x48" + std::string(9, '\xFF') + "\x02"), "file: has a number of more than 64"},
  };
  for (const auto& [bytes, expected] : cases) {
    const std::string message = failure(bytes);
    EXPECT_TRUE(message.starts_with("t.model: " + expected)) << message << " instead of " << expected;
    EXPECT_EQ(message.find('\n'), std::string::npos);
  }
  // The greatest number that there is fits.
  EXPECT_NO_THROW((void)parse(raw(whole().bytes + "\x48" + std::string(9, '\xFF') + "\x01")));
}

// Cut anywhere but between two fields of the whole it is refused; there what is left may be a model.
TEST(SentencePieceModel, ACutFileIsRefusedOrHasLess) {
  const std::string bytes = whole().bytes;
  std::size_t refused = 0;
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    try {
      const auto m = SentencePieceModel::parse(std::string_view(bytes).substr(0, size), "t.model");
      EXPECT_TRUE(m.drops_spaces) << size;  // its last field is missing
    } catch (const InputError& e) {
      EXPECT_TRUE(std::string_view(e.what()).starts_with("t.model: "));
      ++refused;
    }
  }
  EXPECT_EQ(refused, bytes.size() - 1);  // what is missing of the one is all of the last field
}

}  // namespace
}  // namespace bitnet::hf
