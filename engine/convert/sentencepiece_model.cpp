#include "engine/convert/sentencepiece_model.h"

#include <cmath>
#include <cstring>

#include "engine/error.h"
#include "engine/gguf/mapping.h"
#include "engine/gguf/printable.h"

namespace bitnet::hf {
namespace {

constexpr const char* kAgain = "; download the file again";
// An id is the row of an embedding, and no embedding has more.
constexpr std::size_t kMaxPieces = std::size_t{1} << 24;
constexpr std::uint64_t kBpe = 2;  // of TrainerSpec.ModelType

// A message of protocol buffers, read field by field. Fields of other numbers than are known have a length
// too, and are passed over.
class Message {
 public:
  Message(const SentencePieceModel& model, std::string_view bytes) : model_(model), rest_(bytes) {}

  /// False at the end.
  bool next() {
    if (rest_.empty()) return false;
    const std::uint64_t key = take_varint();
    number_ = key >> 3;
    wire_ = static_cast<Wire>(key & 7);
    switch (wire_) {
      case Wire::varint:
        value_ = take_varint();
        return true;
      case Wire::fixed64:
        bytes_ = take(8);
        return true;
      case Wire::length:
        bytes_ = take(take_varint());
        return true;
      case Wire::fixed32:
        bytes_ = take(4);
        return true;
    }
    fail("is no SentencePiece model, or is damaged");
  }

  std::uint64_t number() const { return number_; }
  std::uint64_t varint() const {
    require(Wire::varint);
    return value_;
  }
  bool flag() const { return varint() != 0; }
  /// Negative numbers stand for none.
  std::optional<std::uint32_t> id() const {
    const std::uint64_t value = varint();
    if (value >> 63 != 0) return std::nullopt;
    if (value >= kMaxPieces) fail("has an id that is too great");
    return static_cast<std::uint32_t>(value);
  }
  float f32() const {
    require(Wire::fixed32);
    // Little-endian, whatever this machine is.
    std::uint32_t bits = 0;
    for (std::size_t i = 4; i-- > 0;) bits = bits << 8 | static_cast<std::uint8_t>(bytes_[i]);
    float value = 0;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
  std::string_view text() const {
    require(Wire::length);
    return bytes_;
  }
  Message message() const { return {model_, text()}; }

 private:
  enum class Wire : std::uint8_t { varint = 0, fixed64 = 1, length = 2, fixed32 = 5 };

  [[noreturn]] void fail(const char* what) const { model_.fail("file", std::string(what) + kAgain); }

  void require(Wire wire) const {
    if (wire_ != wire) fail("has a field of another type than SentencePiece writes");
  }

  std::string_view take(std::uint64_t size) {
    if (size > rest_.size()) fail("is no SentencePiece model, or is cut short");
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

  std::uint64_t take_varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<std::uint8_t>(take(1).front());
      if (shift == 63 && byte > 1) break;
      value |= std::uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return value;
    }
    fail("has a number of more than 64 bits");
  }

  const SentencePieceModel& model_;
  std::string_view rest_;
  std::uint64_t number_ = 0;
  Wire wire_{};
  std::uint64_t value_ = 0;
  std::string_view bytes_;
};

void read_piece(SentencePieceModel& model, Message message) {
  const std::string field = "piece " + std::to_string(model.pieces.size());
  if (model.pieces.size() == kMaxPieces) model.fail(field, "is one more than any embedding has rows");
  SentencePieceModel::Piece& piece = model.pieces.emplace_back();
  while (message.next()) {
    if (message.number() == 1) piece.text = message.text();
    if (message.number() == 2) piece.score = message.f32();
    if (message.number() != 3) continue;
    // SentencePiece numbers the types as GGUF does.
    const std::uint64_t type = message.varint();
    if (type < 1 || type > 6)
      model.fail(field, "has type " + std::to_string(type) + ", which there is not" + kAgain);
    piece.type = static_cast<TokenType>(type);
  }
  if (piece.text.empty() || !gguf::valid_utf8(piece.text))
    model.fail(field, std::string("has no text, or none that is UTF-8") + kAgain);
  if (!std::isfinite(piece.score)) model.fail(field, std::string("has a score that is no number") + kAgain);
}

void read_trainer(SentencePieceModel& model, std::uint64_t& kind, Message message) {
  while (message.next()) {
    switch (message.number()) {
      case 3:
        kind = message.varint();
        break;
      case 24:
        if (message.flag())
          model.fail("trainer_spec.treat_whitespace_as_suffix", "is set, which no GGUF vocabulary expresses");
        break;
      case 40:
        model.unk = message.id();
        break;
      case 41:
        model.bos = message.id();
        break;
      case 42:
        model.eos = message.id();
        break;
      case 43:
        model.pad = message.id();
        break;
      default:
        break;
    }
  }
}

void read_normalizer(SentencePieceModel& model, Message message) {
  while (message.next()) {
    switch (message.number()) {
      case 2:
        model.maps_characters = !message.text().empty();
        break;
      case 3:
        model.adds_space = message.flag();
        break;
      case 4:
        model.drops_spaces = message.flag();
        break;
      case 5:
        if (!message.flag())
          model.fail("normalizer_spec.escape_whitespaces", "is not set, which no GGUF vocabulary expresses");
        break;
      default:
        break;
    }
  }
}

}  // namespace

SentencePieceModel SentencePieceModel::parse(std::string_view bytes, std::string name) {
  SentencePieceModel model;
  model.file = std::move(name);
  // Where a model does not say it.
  model.unk = 0;
  model.bos = 1;
  model.eos = 2;
  std::uint64_t kind = 1;
  for (Message all(model, bytes); all.next();) {
    if (all.number() == 1) read_piece(model, all.message());
    if (all.number() == 2) read_trainer(model, kind, all.message());
    if (all.number() == 3) read_normalizer(model, all.message());
  }
  if (model.pieces.empty())
    model.fail("file", std::string("is no SentencePiece model: it has no pieces") + kAgain);
  if (kind != kBpe)
    model.fail("trainer_spec.model_type", std::string(kind == 1 ? "is Unigram" : "is unknown") +
                                              "; of SentencePiece's models only BPE is supported");
  for (const auto& [field, id] : {std::pair("unk_id", &model.unk), std::pair("bos_id", &model.bos),
                                  std::pair("eos_id", &model.eos), std::pair("pad_id", &model.pad)})
    if (*id && **id >= model.pieces.size())
      model.fail(std::string("trainer_spec.") + field,
                 "is " + std::to_string(**id) + ", which is no piece" + kAgain);
  return model;
}

SentencePieceModel SentencePieceModel::open(const std::filesystem::path& path) {
  const gguf::Mapping mapping(path);
  return parse({reinterpret_cast<const char*>(mapping.bytes().data()), mapping.bytes().size()},
               path.string());
}

void SentencePieceModel::fail(std::string_view field, std::string_view what) const {
  throw InputError(gguf::printable_message(file) + ": " + gguf::printable(field, 200) + ": " +
                   gguf::printable_message(what));
}

}  // namespace bitnet::hf
