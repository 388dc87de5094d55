#include "reports/escape.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>

namespace crossval::reports {
namespace {

constexpr char32_t kReplacement = 0xFFFD;
constexpr std::string_view kZeroWidthSpace = "\xE2\x80\x8B";

void append_utf8(std::string& out, char32_t c) {
  const auto put = [&out](char32_t byte) {
    out.push_back(static_cast<char>(static_cast<unsigned char>(byte)));
  };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | (c >> 6));
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | (c >> 12));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | (c >> 18));
    put(0x80 | ((c >> 12) & 0x3F));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

struct Decoded {
  char32_t code_point;
  std::size_t length;
  bool well_formed;
};

/// The first code point of `bytes` (not empty), after table 3-7 of the Unicode standard.
Decoded decode(std::string_view bytes) {
  const auto at = [&bytes](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char lead = at(0);
  if (lead < 0x80) return {lead, 1, true};
  std::size_t length = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  char32_t value = 0;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
    value = lead & 0x1F;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    value = lead & 0x0F;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    value = lead & 0x07;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return {kReplacement, 1, false};
  }
  for (std::size_t i = 1; i < length; ++i) {
    if (i >= bytes.size() || at(i) < low || at(i) > high) return {kReplacement, i, false};
    value = (value << 6) | (at(i) & 0x3F);
    low = 0x80;
    high = 0xBF;
  }
  return {value, length, true};
}

template <class Visit>
void for_each_code_point(std::string_view bytes, Visit visit) {
  while (!bytes.empty()) {
    const Decoded d = decode(bytes);
    visit(d.code_point);
    bytes.remove_prefix(d.length);
  }
}

/// Characters without a shape of their own that hide or reorder what stands beside them.
bool is_deceptive(char32_t c) {
  return (c >= 0x80 && c <= 0x9F) || c == 0xAD || c == 0x61C || c == 0x180E || (c >= 0x200B && c <= 0x200F) ||
         (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || (c >= 0xFE00 && c <= 0xFE0F) ||
         c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFB) || (c >= 0xE0000 && c <= 0xE0FFF);
}

bool is_noncharacter(char32_t c) {
  return (c & 0xFFFE) == 0xFFFE || (c >= 0xFDD0 && c <= 0xFDEF);
}

/// Appends what shows `c` if it cannot be shown as it is; false where it can.
bool append_if_special(std::string& out, char32_t c, const char* format = "[U+%04X]") {
  if (c == '\n') {
    append_utf8(out, 0x21B5);  // more fonts have arrows than control pictures
  } else if (c == '\t') {
    append_utf8(out, 0x21E5);
  } else if (c < 0x20) {
    append_utf8(out, 0x2400 + c);
  } else if (c == 0x7F) {
    append_utf8(out, 0x2421);
  } else if (is_deceptive(c)) {
    char text[32];
    std::snprintf(text, sizeof text, format, static_cast<unsigned>(c));
    out += text;
  } else if (is_noncharacter(c)) {
    append_utf8(out, kReplacement);
  } else {
    return false;
  }
  return true;
}

/// Text with everything that cannot be seen made visible.
std::string visible(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for_each_code_point(bytes, [&out](char32_t c) {
    if (!append_if_special(out, c)) append_utf8(out, c);
  });
  return out;
}

bool is_plain_ascii(std::string_view bytes, std::string_view also) {
  return std::all_of(bytes.begin(), bytes.end(), [also](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           also.find(c) != std::string_view::npos;
  });
}

/// Whether what stands before a sign leaves it a meaning that Markdown gives only to the beginning of a line.
bool could_start_a_list(std::string_view before) {
  return std::all_of(before.begin(), before.end(), [](char c) { return c == ' ' || (c >= '0' && c <= '9'); });
}

/// Whether Markdown reads more into `c` than the sign itself, after what stands before it on the line.
bool has_markdown_meaning(char32_t c, std::string_view before) {
  const auto is_one_of = [c](std::string_view signs) {
    return c < 0x80 && signs.find(static_cast<char>(c)) != std::string_view::npos;
  };
  if (is_one_of("\\`*_{}[]>|~$!&")) return true;
  // A list, or a heading out of the line above.
  if (is_one_of("-+=).") && could_start_a_list(before)) return true;
  return c == '.' && (before.ends_with("www") || before.ends_with("WWW") || before.ends_with("Www"));
}

std::string escape_markup(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() + bytes.size() / 8);
  for_each_code_point(bytes, [&out](char32_t c) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        if (!append_if_special(out, c)) append_utf8(out, c);
    }
  });
  return out;
}

void append_hex_byte(std::string& out, const char* prefix, unsigned char byte) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  out += prefix;
  out += kDigits[byte >> 4];
  out += kDigits[byte & 15];
}

}  // namespace

std::string valid_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for_each_code_point(bytes, [&out](char32_t c) { append_utf8(out, c); });
  return out;
}

bool is_valid_utf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const Decoded d = decode(bytes);
    if (!d.well_formed) return false;
    bytes.remove_prefix(d.length);
  }
  return true;
}

std::string shortened(std::string_view bytes, std::size_t limit) {
  std::string out;
  for (std::size_t n = 0; !bytes.empty(); ++n) {
    if (n == limit) return out + "…";
    const Decoded d = decode(bytes);
    append_utf8(out, d.code_point);
    bytes.remove_prefix(d.length);
  }
  return out;
}

std::string escape_html(std::string_view bytes) {
  return escape_markup(bytes);
}

// XML 1.0 allows no control characters, not even as references, and no U+FFFE or U+FFFF: escape_markup leaves
// none of them. `]]>` cannot appear because every `>` is a reference.
std::string escape_xml(std::string_view bytes) {
  return escape_markup(bytes);
}

std::string escape_markdown(std::string_view bytes) {
  std::string out;
  const auto is_word = [](char c) { return is_plain_ascii(std::string_view(&c, 1), ""); };
  while (!bytes.empty()) {
    const Decoded d = decode(bytes);
    const char32_t c = d.code_point;
    bytes.remove_prefix(d.length);
    if (c == '@' || c == '#') {
      // Mentions and references are looked for in the rendered text, where an entity would be the sign again.
      append_utf8(out, c);
      out += kZeroWidthSpace;
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '_' && !out.empty() && is_word(out.back()) && !bytes.empty() && is_word(bytes.front())) {
      out += '_';  // within a word it is no emphasis
    } else if (has_markdown_meaning(c, out) || (c == ':' && !bytes.empty() && bytes.front() != ' ')) {
      out += "&#" + std::to_string(static_cast<unsigned>(c)) + ";";
    } else if (!append_if_special(out, c, "&#91;U+%04X&#93;")) {
      append_utf8(out, c);
    }
  }
  return out;
}

std::string markdown_code(std::string_view bytes) {
  if (bytes.empty()) return "<code></code>";
  // A bare span reads best in the raw file; anything unusual goes where every sign can be an entity, which a
  // span in backticks does not allow (and there a table cell still ends at a pipe).
  if (is_plain_ascii(bytes, " -_.,+=/()?#%'\"") && bytes.front() != ' ' && bytes.back() != ' ') {
    return "`" + std::string(bytes) + "`";
  }
  return "<code>" + escape_markdown(bytes) + "</code>";
}

std::string markdown_code_block(std::string_view bytes) {
  const std::string text = visible(bytes);
  std::size_t longest = 0;
  std::size_t run = 0;
  for (const char c : text) {
    run = c == '`' ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  const std::string fence(std::max<std::size_t>(3, longest + 1), '`');
  return fence + "sh\n" + text + "\n" + fence + "\n";
}

std::string escape_terminal(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for_each_code_point(bytes, [&out](char32_t c) {
    char text[16];
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c < 0x20 || c == 0x7F) {
      std::snprintf(text, sizeof text, "\\x%02x", static_cast<unsigned>(c));
      out += text;
    } else if (is_deceptive(c)) {
      std::snprintf(text, sizeof text, c < 0x10000 ? "\\u%04x" : "\\U%08x", static_cast<unsigned>(c));
      out += text;
    } else {
      append_utf8(out, is_noncharacter(c) ? kReplacement : c);
    }
  });
  return out;
}

std::string escape_script_json(std::string_view json) {
  std::string out;
  out.reserve(json.size());
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (c == '<') {
      out += "\\u003c";
    } else if (c == '>') {
      out += "\\u003e";
    } else if (c == '&') {
      out += "\\u0026";
    } else if (json.substr(i, 3) == "\xE2\x80\xA8") {
      out += "\\u2028";
      i += 2;
    } else if (json.substr(i, 3) == "\xE2\x80\xA9") {
      out += "\\u2029";
      i += 2;
    } else {
      out += c;
    }
  }
  return out;
}

std::string escape_fragment(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    if (is_plain_ascii(std::string_view(&c, 1), "-._~")) {
      out += c;
    } else {
      append_hex_byte(out, "%", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::string shell_quote(std::string_view bytes) {
  if (!bytes.empty() && is_plain_ascii(bytes, "-_./:=,+@%")) return std::string(bytes);
  const bool printable =
      std::all_of(bytes.begin(), bytes.end(), [](char c) { return c >= 0x20 && c < 0x7F; });
  std::string out = printable ? "'" : "$'";
  for (const char c : bytes) {
    if (printable) {
      if (c == '\'') {
        out += "'\\''";
      } else {
        out += c;
      }
    } else if (c == '\'' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c >= 0x20 && c < 0x7F) {
      out += c;
    } else {
      append_hex_byte(out, "\\x", static_cast<unsigned char>(c));
    }
  }
  return out + "'";
}

}  // namespace crossval::reports
