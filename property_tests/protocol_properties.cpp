// However the bytes of a participant arrive, the messages are the same.

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <variant>
#include <vector>

#include "engine/base64.h"
#include "engine/gguf/printable.h"
#include "property_tests/property.h"
#include "reference/process/framing.h"
#include "reference/process/messages.h"
#include "reference/process/words.h"

namespace crossval {
namespace {

// A line, or the values after one, by their bits: NaN is a value like others.
using Message = std::variant<std::string, std::vector<std::uint32_t>>;

std::string bytes_of(const std::vector<Message>& messages) {
  std::string bytes;
  for (const Message& message : messages) {
    if (const auto* line = std::get_if<std::string>(&message)) {
      bytes += *line + "\n";
      continue;
    }
    for (const std::uint32_t bits : std::get<1>(message))
      for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(bits >> shift & 0xFF);
  }
  return bytes;
}

// Hands the bytes out in pieces of these sizes, and then as asked for.
Framing::Source source(const std::string& bytes, const std::vector<std::size_t>& sizes) {
  return [&bytes, &sizes, at = std::size_t{0}, piece = std::size_t{0}](std::span<std::byte> into) mutable {
    std::size_t n = std::min(into.size(), bytes.size() - at);
    if (piece < sizes.size()) n = std::min(n, sizes[piece++]);
    if (n > 0) std::memcpy(into.data(), bytes.data() + at, n);
    at += n;
    return n;
  };
}

std::vector<Message> read_all(Framing& framing, const std::vector<Message>& shape) {
  std::vector<Message> got;
  for (const Message& message : shape) {
    if (std::holds_alternative<std::string>(message)) {
      got.emplace_back(framing.line().value_or("(end)"));
      continue;
    }
    std::vector<float> values(std::get<1>(message).size());
    framing.values(values);
    std::vector<std::uint32_t> bits;
    for (const float value : values) bits.push_back(std::bit_cast<std::uint32_t>(value));
    got.emplace_back(bits);
  }
  return got;
}

std::vector<Message> any_messages() {
  std::vector<Message> messages;
  const auto lines = *rc::gen::arbitrary<std::vector<std::string>>();
  for (std::string line : lines) {
    std::erase(line, '\n');
    messages.emplace_back(line);
    messages.emplace_back(*rc::gen::arbitrary<std::vector<std::uint32_t>>());
  }
  return messages;
}

std::vector<std::size_t> any_sizes() {
  return *rc::gen::container<std::vector<std::size_t>>(rc::gen::inRange<std::size_t>(1, 40));
}

CROSSVAL_PROPERTY(Framing, AnySplitOfTheBytesGivesTheSameMessages, ()) {
  const auto messages = any_messages();
  const std::string bytes = bytes_of(messages);
  const auto sizes = any_sizes();
  Framing framing(source(bytes, sizes));
  RC_ASSERT(read_all(framing, messages) == messages);
  RC_ASSERT(framing.line() == std::nullopt);
  RC_ASSERT(framing.unread() == 0u);
}

CROSSVAL_PROPERTY(Framing, AnEndAnywhereButBetweenMessagesIsAnError, ()) {
  auto messages = any_messages();
  messages.emplace_back(std::string("last"));
  messages.emplace_back(std::vector<std::uint32_t>{1, 2, 3});
  const std::string whole = bytes_of(messages);
  const auto cut = *rc::gen::inRange<std::size_t>(0, whole.size());
  const std::string bytes = whole.substr(0, cut);
  const auto sizes = any_sizes();
  Framing framing(source(bytes, sizes));
  // What was read before the end is right, and the end is noticed.
  bool noticed = false;
  for (const Message& message : messages) {
    try {
      if (const auto* line = std::get_if<std::string>(&message)) {
        const auto got = framing.line();
        if (!got) {
          noticed = true;
          break;
        }
        RC_ASSERT(*got == *line);
      } else {
        std::vector<float> values(std::get<1>(message).size());
        framing.values(values);
        // RC_ASSERT would evaluate both sides of a ||, and memcmp takes no null pointer.
        const bool same =
            values.empty() || std::memcmp(values.data(), std::get<1>(message).data(), 4 * values.size()) == 0;
        RC_ASSERT(same);
      }
    } catch (const FramingError&) {
      noticed = true;
      break;
    }
  }
  RC_ASSERT(noticed);
}

CROSSVAL_PROPERTY(Framing, ALineMayBeOneMebibyteAndNoByteMore, ()) {
  static const std::string longest = std::string(kMaxLine + 1, 'x') + "\n";
  const auto more = *rc::gen::inRange<std::size_t>(0, 3);
  const std::string bytes = longest.substr(2 - more);
  const auto sizes = any_sizes();
  Framing framing(source(bytes, sizes));
  if (more <= 1)
    RC_ASSERT(framing.line()->size() == kMaxLine - 1 + more);
  else
    RC_ASSERT_THROWS_AS(framing.line(), FramingError);
}

CROSSVAL_PROPERTY(Messages, TextSurvivesTheJourney, (const std::string& text)) {
  nlohmann::ordered_json message;
  put_message_text(message, "text", text);
  RC_ASSERT(message_text(parse_line(message.dump()), "text") == text);
  RC_ASSERT(bitnet::base64_decode(bitnet::base64_encode(text)) == text);
}

CROSSVAL_PROPERTY(Messages, AnyLineIsAnObjectOrABreach, (const std::string& line)) {
  try {
    RC_ASSERT(parse_line(line).is_object());
  } catch (const Breach& e) {
    RC_ASSERT(bitnet::gguf::valid_utf8(e.what()));
  }
}

CROSSVAL_PROPERTY(Words, QuotedWordsComeBack, (const std::vector<std::string>& given)) {
  std::vector<std::string> words{"program"};
  std::string text = "program";
  for (std::string word : given) {
    std::erase(word, '\0');
    words.push_back(word);
    text += " '";
    for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
    text += "'";
  }
  RC_ASSERT(split_words(text) == words);
}

}  // namespace
}  // namespace crossval
