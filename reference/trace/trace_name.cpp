#include <charconv>

#include "reference/trace/trace_reader.h"

namespace crossval {
namespace {

constexpr std::string_view kHashes = ".sha256";

std::optional<std::string> unescape(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] != '%') {
      out += text[at++];
      continue;
    }
    const std::string_view code = text.substr(at, 3);
    if (code == "%2F")
      out += '/';
    else if (code == "%25")
      out += '%';
    else
      return std::nullopt;
    at += code.size();
  }
  return out;
}

}  // namespace

bool keeps_last_row(TapId tap) {
  return tap.tap == bitnet::Tap::l_out || tap.tap == bitnet::Tap::result_norm ||
         tap.tap == bitnet::Tap::result_output;
}

std::string to_string(const TraceName& name) {
  std::string out;
  for (const char c : name.case_id) {
    if (c == '/')
      out += "%2F";
    else if (c == '%')
      out += "%25";
    else
      out += c;
  }
  out += "/" + std::to_string(name.step) + "/" + bitnet::to_string(name.tap);
  if (name.hashes) out += kHashes;
  return out;
}

std::optional<TraceName> parse_trace_name(std::string_view text) {
  const auto first = text.find('/');
  const auto second = first == std::string_view::npos ? first : text.find('/', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  TraceName name;
  const auto id = unescape(text.substr(0, first));
  if (!id || id->empty()) return std::nullopt;
  name.case_id = *id;
  const std::string_view step = text.substr(first + 1, second - first - 1);
  const auto [end, error] = std::from_chars(step.data(), step.data() + step.size(), name.step);
  if (error != std::errc{} || end != step.data() + step.size() || name.step < 0) return std::nullopt;
  std::string_view tap = text.substr(second + 1);
  name.hashes = tap.ends_with(kHashes);
  if (name.hashes) tap.remove_suffix(kHashes.size());
  const auto id_of_tap = bitnet::parse_tap(tap);
  if (!id_of_tap) return std::nullopt;
  name.tap = *id_of_tap;
  // One spelling only: "01" and "1" would be one step under two names.
  if (to_string(name) != text) return std::nullopt;
  return name;
}

}  // namespace crossval
