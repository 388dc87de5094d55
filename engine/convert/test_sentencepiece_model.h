#pragma once
// Writes tokenizer.model for tests: the wire format of protocol buffers, as far as SentencePiece needs it.

#include <bit>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace bitnet::testing {

/// A message: fields in the order in which they are put.
class ProtoBytes {
 public:
  ProtoBytes& varint(std::uint32_t field, std::uint64_t value) { return key(field, 0).number(value); }
  ProtoBytes& text(std::uint32_t field, std::string_view value) {
    key(field, 2).number(value.size());
    bytes += value;
    return *this;
  }
  ProtoBytes& message(std::uint32_t field, const ProtoBytes& value) { return text(field, value.bytes); }
  ProtoBytes& f32(std::uint32_t field, float value) {
    key(field, 5);
    for (auto bits = std::bit_cast<std::uint32_t>(value), i = 0U; i < 4; ++i, bits >>= 8)
      bytes += static_cast<char>(bits & 0xFF);
    return *this;
  }
  ProtoBytes& key(std::uint32_t field, std::uint32_t wire) {
    return number(std::uint64_t{field} << 3 | wire);
  }
  ProtoBytes& number(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(0x80 | (value & 0x7F));
    bytes += static_cast<char>(value);
    return *this;
  }

  std::string bytes;
};

inline ProtoBytes proto_piece(std::string_view text, float score, std::uint64_t type) {
  ProtoBytes piece;
  piece.text(1, text).f32(2, score);
  if (type != 1) piece.varint(3, type);  // 1 is what goes without saying
  return piece;
}

/// What the trainer of a model with the vocabulary of Llama's kind writes: BPE (2), bytes for unknown
/// characters, the ids of <unk>, <s> and </s>, none for padding.
inline ProtoBytes proto_trainer(std::uint64_t model_type = 2) {
  return ProtoBytes()
      .varint(3, model_type)
      .varint(35, 1)
      .varint(40, 0)
      .varint(41, 1)
      .varint(42, 2)
      .varint(43, static_cast<std::uint64_t>(-1));
}

/// That changes nothing in a text.
inline ProtoBytes proto_normalizer(bool adds_space = true) {
  return ProtoBytes().text(1, "identity").text(2, "").varint(3, adds_space).varint(4, 0).varint(5, 1);
}

/// Types as GGUF numbers them.
template <class Text>
std::string sentencepiece_model(std::span<const Text> texts, std::span<const float> scores,
                                std::span<const std::int32_t> types, bool adds_space = true) {
  ProtoBytes all;
  for (std::size_t id = 0; id < texts.size(); ++id)
    all.message(1, proto_piece(texts[id], scores[id], static_cast<std::uint64_t>(types[id])));
  return all.message(2, proto_trainer()).message(3, proto_normalizer(adds_space)).bytes;
}

}  // namespace bitnet::testing
