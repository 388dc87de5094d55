#include "reports/testing/xml_checker.h"

#include <cctype>
#include <cstdint>
#include <stdexcept>

namespace crossval::reports::testing {
namespace {

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) { check_characters(); }

  std::unique_ptr<XmlElement> parse() {
    expect("<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
    space();
    auto root = element();
    space();
    if (at_ != text_.size()) fail("something follows the root element");
    return root;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw std::runtime_error("XML at byte " + std::to_string(at_) + ": " + what);
  }

  static bool allowed(std::uint32_t c) {
    return c == 9 || c == 10 || c == 13 || (c >= 0x20 && c <= 0xD7FF) || (c >= 0xE000 && c <= 0xFFFD) ||
           (c >= 0x10000 && c <= 0x10FFFF);
  }

  void check_characters() {
    for (at_ = 0; at_ < text_.size();) {
      const auto lead = static_cast<unsigned char>(text_[at_]);
      const std::size_t n = lead < 0x80                   ? 1
                            : lead >= 0xC2 && lead < 0xE0 ? 2
                            : lead >= 0xE0 && lead < 0xF0 ? 3
                            : lead >= 0xF0 && lead < 0xF5 ? 4
                                                          : 0;
      if (n == 0 || at_ + n > text_.size()) fail("ill-formed UTF-8");
      std::uint32_t c = n == 1 ? lead : lead & (0x7FU >> n);
      for (std::size_t i = 1; i < n; ++i) {
        const auto next = static_cast<unsigned char>(text_[at_ + i]);
        if ((next & 0xC0) != 0x80) fail("ill-formed UTF-8");
        c = c << 6 | (next & 0x3FU);
      }
      if ((n == 3 && c < 0x800) || (n == 4 && c < 0x10000)) fail("overlong UTF-8");
      if (!allowed(c)) fail("a character that XML does not allow");
      at_ += n;
    }
    at_ = 0;
  }

  bool looking_at(std::string_view what) const { return text_.substr(at_, what.size()) == what; }
  void expect(std::string_view what) {
    if (!looking_at(what)) fail("expected " + std::string(what));
    at_ += what.size();
  }
  void space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
      ++at_;
  }
  std::string name() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) != 0 ||
                                  text_[at_] == '-' || text_[at_] == '_')) {
      ++at_;
    }
    if (begin == at_) fail("expected a name");
    return std::string(text_.substr(begin, at_ - begin));
  }
  std::string reference() {
    const std::size_t end = text_.find(';', at_);
    if (end == std::string_view::npos) fail("an unfinished reference");
    const std::string_view body = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    if (body == "lt") return "<";
    if (body == "gt") return ">";
    if (body == "amp") return "&";
    if (body == "quot") return "\"";
    if (body == "apos" || body == "#39") return "'";
    fail("an unknown reference " + std::string(body));
  }

  std::unique_ptr<XmlElement> element() {
    expect("<");
    auto out = std::make_unique<XmlElement>();
    out->name = name();
    for (;;) {
      space();
      if (looking_at("/>")) {
        at_ += 2;
        return out;
      }
      if (looking_at(">")) {
        ++at_;
        break;
      }
      const std::string key = name();
      expect("=\"");
      std::string value;
      while (at_ < text_.size() && text_[at_] != '"') {
        const char c = text_[at_];
        if (c == '<') fail("< in an attribute");
        if (c == '\n' || c == '\t' || c == '\r') fail("white space that a reader would turn into a blank");
        if (c == '&') {
          value += reference();
        } else {
          value += c;
          ++at_;
        }
      }
      expect("\"");
      if (!out->attributes.emplace(key, value).second) fail("the attribute " + key + " is there twice");
    }
    for (;;) {
      if (at_ >= text_.size()) fail("the element " + out->name + " has no end");
      if (looking_at("]]>")) fail("]]> in text");
      if (looking_at("</")) {
        at_ += 2;
        if (name() != out->name) fail("another end tag than " + out->name);
        expect(">");
        return out;
      }
      if (looking_at("<")) {
        out->children.push_back(element());
      } else if (looking_at("&")) {
        out->text += reference();
      } else {
        out->text += text_[at_++];
      }
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

void collect(const XmlElement& from, std::string_view wanted, std::vector<const XmlElement*>& out) {
  for (const auto& child : from.children) {
    if (child->name == wanted) out.push_back(child.get());
    collect(*child, wanted, out);
  }
}

}  // namespace

std::vector<const XmlElement*> XmlElement::all(std::string_view wanted) const {
  std::vector<const XmlElement*> out;
  collect(*this, wanted, out);
  return out;
}

std::unique_ptr<XmlElement> parse_xml(std::string_view document) {
  return Parser(document).parse();
}

}  // namespace crossval::reports::testing
