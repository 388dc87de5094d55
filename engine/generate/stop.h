#pragma once
// When a generation ends.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bitnet {

enum class StopReason : std::uint8_t {
  eog,          // the model ended it
  stop_string,  // the text holds one of the strings
  max_tokens,   // the limit
};
std::string_view to_string(StopReason reason);

struct StopRules {
  int max_tokens = 128;              // tokens drawn, an end-of-generation token included; >= 0
  bool eog = true;                   // whether end-of-generation tokens end it
  std::vector<std::string> strings;  // none empty
};

/// Looks for stop strings in a text that grows piece by piece. The string that is complete first ends the
/// text, and of several that end at the same byte the longest; so the result does not depend on how the text
/// is cut into pieces. Time is linear in the text for each string.
class StopScanner {
 public:
  /// Throws InputError for an empty string.
  explicit StopScanner(const std::vector<std::string>& strings);

  /// Appends `piece`. True when a stop string is complete: text() then ends before it, and grows no more.
  bool feed(std::string_view piece);

  const std::string& text() const { return text_; }
  /// How many bytes of text() are certain not to become part of a stop string.
  std::size_t settled() const { return settled_; }
  /// No more will come: everything is settled.
  void finish() { settled_ = text_.size(); }
  bool stopped() const { return stopped_; }

  void reserve(std::size_t bytes) { text_.reserve(bytes); }

 private:
  /// One string and how much of it the text ends with (Knuth, Morris and Pratt).
  struct Pattern {
    std::string text;
    std::vector<std::size_t> fallback;  // of each prefix: the longest shorter prefix that it ends with
    std::size_t matched = 0;

    void step(char c);
  };

  std::vector<Pattern> patterns_;
  std::string text_;
  std::size_t settled_ = 0;
  bool stopped_ = false;
};

}  // namespace bitnet
