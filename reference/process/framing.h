#pragma once
// The byte stream of a participant, taken apart: lines, and the raw values that some of them announce
// (PROTOCOL.md). Where the bytes come from, and how long to wait for them, is the source's business.

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace crossval {

/// What came is no message: a line longer than allowed, or an end within a line or a tensor.
class FramingError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A line of the protocol, its newline not counted.
inline constexpr std::size_t kMaxLine = std::size_t{1} << 20;

class Framing {
 public:
  /// Waits for at least one byte and puts as many as there are at the front of the buffer; returns their
  /// number, 0 at the end of the stream. What it throws passes through.
  using Source = std::function<std::size_t(std::span<std::byte>)>;
  explicit Framing(Source source) : source_(std::move(source)) {}

  /// The next line without its newline; nothing when the stream ended before its first byte. Throws
  /// FramingError.
  std::optional<std::string> line();
  /// Fills `values` with little-endian binary32. Throws FramingError when the stream ends before.
  void values(std::span<float> values);
  /// Bytes that came already and that nobody has asked for.
  std::size_t unread() const { return buffer_.size() - at_; }

 private:
  void bytes(std::span<std::byte> into);

  Source source_;
  std::vector<std::byte> buffer_;
  std::size_t at_ = 0;  // the first byte in buffer_ that was not handed out
};

}  // namespace crossval
