#include "reports/escape.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "reports/testing/xml_checker.h"

namespace crossval::reports {
namespace {

using namespace std::string_literals;

/// What ids, prompts, answers and metadata have been seen to hold, and worse.
const std::vector<std::string>& hostile() {
  static const std::vector<std::string> kHostile = {
      "<script>alert(1)</script>",
      "</script><script>alert(1)</script>",
      "<!--<script>",
      "\" onmouseover=\"alert(1)",
      "' onmouseover='alert(1)",
      "]]>",
      "<![CDATA[x]]>",
      "&lt;b&gt;",
      "\x1b[31mred\x1b[0m\x1b]0;title\x07",
      "\x9b[31m",
      "\xc2\x9b[31m",
      "a\0b"s,
      "line\nfeed\r\n\ttab",
      "evil\xe2\x80\xae.txt.exe",
      "zero\xe2\x80\x8bwidth\xef\xbb\xbf",
      "\xff\xfe\x80",
      "\xc0\xaf",
      "\xed\xa0\x80",
      "\xf4\x90\x80\x80",
      "\xe2\x82",
      "\xef\xbf\xbe\xef\xbf\xbf",
      "| a | b |\n|---|---|",
      "`code` ``more`` ```",
      "[text](javascript:alert(1)) ![x](http://a/b)",
      "@octocat #12 GH-1 http://a.example www.a.example a@b.example",
      "# heading\n- list\n> quote\n***\n1. one",
      "$x^2$ :tada: ~~gone~~ <b>bold</b>",
      "\xe2\x80\xa8separators\xe2\x80\xa9",
      "line \\ back\\slash \\| pipe",
      "gr\xc3\xbc\xc3\x9ft, \xe4\xb8\xad\xe6\x96\x87, \xf0\x9f\x98\x80"};
  return kHostile;
}

bool has_raw_control(const std::string& text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return true;
  }
  return false;
}

bool has_deceptive(const std::string& text) {
  for (const char* hidden :
       {"\xe2\x80\xae", "\xe2\x80\x8b", "\xef\xbb\xbf", "\xc2\x9b", "\xe2\x80\xa8", "\xe2\x80\xa9"}) {
    if (text.find(hidden) != std::string::npos) return true;
  }
  return false;
}

TEST(Utf8, IllFormedBytesBecomeReplacementCharacters) {
  const std::string r = "\xef\xbf\xbd";
  EXPECT_EQ(valid_utf8("plain"), "plain");
  EXPECT_EQ(valid_utf8("gr\xc3\xbc\xc3\x9ft"), "gr\xc3\xbc\xc3\x9ft");
  // The examples of the Unicode standard, tables 3-8 to 3-11.
  EXPECT_EQ(valid_utf8("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41"), r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(valid_utf8("\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41"), r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(valid_utf8("\xf4\x91\x92\x93\xff\x41\x80\xbf\x42"), r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(valid_utf8("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41"), r + r + r + r + "A");
  EXPECT_EQ(valid_utf8("a\0b"s), "a\0b"s);
}

TEST(Utf8, SaysWhatIsWellFormed) {
  EXPECT_TRUE(is_valid_utf8(""));
  EXPECT_TRUE(is_valid_utf8("\xf4\x8f\xbf\xbf"));
  for (const char* bad : {"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "a\x80"}) {
    EXPECT_FALSE(is_valid_utf8(bad)) << bad;
  }
}

TEST(Shortened, CountsCodePointsAndNeverCutsOne) {
  EXPECT_EQ(shortened("abc", 3), "abc");
  EXPECT_EQ(shortened("abcd", 3), "abc…");
  EXPECT_EQ(shortened("\xc3\xbc\xc3\xbc\xc3\xbc", 2), "\xc3\xbc\xc3\xbc…");
  EXPECT_EQ(shortened("", 0), "");
  EXPECT_EQ(shortened("x", 0), "…");
}

TEST(Html, NothingLeavesTextOrAttribute) {
  for (const std::string& text : hostile()) {
    const std::string out = escape_html(text);
    EXPECT_TRUE(is_valid_utf8(out)) << out;
    EXPECT_EQ(out.find_first_of("<>\"'"), std::string::npos) << out;
    EXPECT_FALSE(has_raw_control(out)) << out;
    EXPECT_FALSE(has_deceptive(out)) << out;
    // Every & is the beginning of one of our own references.
    for (std::size_t i = out.find('&'); i != std::string::npos; i = out.find('&', i + 1)) {
      EXPECT_TRUE(out.compare(i, 5, "&amp;") == 0 || out.compare(i, 4, "&lt;") == 0 ||
                  out.compare(i, 4, "&gt;") == 0 || out.compare(i, 6, "&quot;") == 0 ||
                  out.compare(i, 5, "&#39;") == 0)
          << out;
    }
  }
  EXPECT_EQ(escape_html("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
  EXPECT_EQ(escape_html("\x1b[31m\0"s), "\xe2\x90\x9b[31m\xe2\x90\x80");
  EXPECT_EQ(escape_html("a\xe2\x80\xae"
                        "b"),
            "a[U+202E]b");
  EXPECT_EQ(escape_html("a\nb"),
            "a\xe2\x86\xb5"
            "b");
}

TEST(Xml, StaysWellFormedInTextAndAttributes) {
  for (const std::string& text : hostile()) {
    const std::string out = escape_xml(text);
    std::unique_ptr<testing::XmlElement> root;
    std::string document = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<r a=\"";
    document.append(out).append("\">").append(out).append("</r>");
    ASSERT_NO_THROW(root = testing::parse_xml(document)) << out;
    // What a reader gets back is the same in both places.
    EXPECT_EQ(root->attributes.at("a"), root->text);
    EXPECT_TRUE(root->children.empty());
  }
}

TEST(Xml, TheCheckerRefusesWhatIsNotXml) {
  const std::string head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
  for (const std::string& bad : {"<r>"s, "<r></s>"s, "<r a=\"<\"/>"s, "<r>]]></r>"s, "<r>\x01</r>"s,
                                 "<r>\xff</r>"s, "<r a=\"1\" a=\"2\"/>"s, "<r>&bad;</r>"s, "<r/><r/>"s,
                                 "<r a=\"\n\"/>"s, "<r>\xef\xbf\xbf</r>"s, "<r>&</r>"s}) {
    EXPECT_THROW(testing::parse_xml(head + bad), std::runtime_error) << bad;
  }
  EXPECT_THROW(testing::parse_xml("<r/>"), std::runtime_error);
}

TEST(Markdown, NothingKeepsItsMeaning) {
  for (const std::string& text : hostile()) {
    for (const std::string& out : {escape_markdown(text), markdown_code(text)}) {
      EXPECT_TRUE(is_valid_utf8(out)) << out;
      EXPECT_EQ(out.find_first_of("|[]*~$!\\>{}"),
                out.rfind("<code>", 0) == 0 ? out.find('>') : std::string::npos)
          << out;
      EXPECT_FALSE(has_raw_control(out)) << out;
      EXPECT_EQ(out.find("http:"), std::string::npos) << out;
      EXPECT_EQ(out.find("www."), std::string::npos) << out;
    }
    EXPECT_EQ(escape_markdown(text).find('`'), std::string::npos);
    EXPECT_EQ(escape_markdown(text).find('<'), std::string::npos);
  }
  EXPECT_EQ(escape_markdown("a_b"), "a_b");
  EXPECT_EQ(escape_markdown("_b_"), "&#95;b&#95;");
  EXPECT_EQ(escape_markdown("- x"), "&#45; x");
  EXPECT_EQ(escape_markdown("12. x"), "12&#46; x");
  EXPECT_EQ(escape_markdown("x-y 0.5"), "x-y 0.5");
  EXPECT_EQ(escape_markdown("first: x"), "first: x");
  EXPECT_EQ(escape_markdown("https://a"), "https&#58;//a");
  EXPECT_EQ(escape_markdown("@me"), "@\xe2\x80\x8bme");
}

TEST(Markdown, CodeSpansArePlainWhereTheyCanBe) {
  EXPECT_EQ(markdown_code("sum-2+2"), "`sum-2+2`");
  EXPECT_EQ(markdown_code("a`b"), "<code>a&#96;b</code>");
  EXPECT_EQ(markdown_code("a|b"), "<code>a&#124;b</code>");
  EXPECT_EQ(markdown_code(" a"), "<code> a</code>");
  EXPECT_EQ(markdown_code(""), "<code></code>");
}

TEST(Markdown, CodeBlocksCannotBeClosedFromWithin) {
  EXPECT_EQ(markdown_code_block("x --y"), "```sh\nx --y\n```\n");
  EXPECT_EQ(markdown_code_block("a\n```\nb"),
            "````sh\na\xe2\x86\xb5```\xe2\x86\xb5"
            "b\n````\n");
}

TEST(Terminal, NothingMovesTheCursorOrReorders) {
  for (const std::string& text : hostile()) {
    const std::string out = escape_terminal(text);
    EXPECT_TRUE(is_valid_utf8(out)) << out;
    EXPECT_FALSE(has_raw_control(out)) << out;
    EXPECT_FALSE(has_deceptive(out)) << out;
  }
  EXPECT_EQ(escape_terminal("\x1b[31m"), "\\x1b[31m");
  EXPECT_EQ(escape_terminal("a\nb\tc\rd"), "a\\nb\\tc\\rd");
  EXPECT_EQ(escape_terminal("\xc2\x9b"
                            "31m"),
            "\\u009b31m");
  EXPECT_EQ(escape_terminal("\xe2\x80\xae"), "\\u202e");
  EXPECT_EQ(escape_terminal("\xf3\xa0\x81\x81"), "\\U000e0041");
  EXPECT_EQ(escape_terminal("\xff"), "\xef\xbf\xbd");
  EXPECT_EQ(escape_terminal("a\0b"s), "a\\x00b");
  EXPECT_EQ(escape_terminal("gr\xc3\xbc\xc3\x9ft"), "gr\xc3\xbc\xc3\x9ft");
}

TEST(ScriptJson, CannotCloseTheElementAndStaysTheSameJson) {
  for (const std::string& text : hostile()) {
    const nlohmann::json value = {{"text", valid_utf8(text)}, {valid_utf8(text), 1}};
    const std::string out = escape_script_json(value.dump());
    EXPECT_EQ(out.find_first_of("<>&"), std::string::npos) << out;
    EXPECT_EQ(out.find("\xe2\x80\xa8"), std::string::npos);
    EXPECT_EQ(out.find("\xe2\x80\xa9"), std::string::npos);
    EXPECT_EQ(nlohmann::json::parse(out), value);
  }
}

TEST(Fragment, OnlyUnreservedCharactersStay) {
  EXPECT_EQ(escape_fragment("a-b_c.d~e"), "a-b_c.d~e");
  EXPECT_EQ(escape_fragment("2+2=?#\"<\xc3\xbc\n"), "2%2B2%3D%3F%23%22%3C%C3%BC%0A");
}

/// What a shell makes of the words.
std::string shell_echo(const std::string& quoted) {
  const std::string command = "bash -c " + shell_quote("printf %s " + quoted);
  std::FILE* pipe = ::popen(("exec " + command).c_str(), "r");
  std::string out;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe))
    out += static_cast<char>(static_cast<unsigned char>(c));
  ::pclose(pipe);
  return out;
}

TEST(ShellQuote, AShellGetsTheSameBytesBack) {
  for (const std::string& text : hostile()) {
    if (text.find('\0') != std::string::npos) continue;  // no word of a shell holds one
    const std::string quoted = shell_quote(text);
    for (const char c : quoted) EXPECT_TRUE(c >= 0x20 && c < 0x7F) << quoted;
    // Twice: printable words only, because the outer shell is sh.
    if (quoted[0] != '$') {
      EXPECT_EQ(shell_echo(quoted), text) << quoted;
    }
  }
  for (const std::string& text :
       {"two words"s, "it's"s, "$(id) `id` $HOME"s, "a;b&c|d>e"s, "*?[a]"s, "~"s, "!x"s, ""s}) {
    EXPECT_EQ(shell_echo(shell_quote(text)), text);
  }
  EXPECT_EQ(shell_quote("plain-id_1.2"), "plain-id_1.2");
  EXPECT_EQ(shell_quote("a\n'b"), "$'a\\x0A\\'b'");
}

}  // namespace
}  // namespace crossval::reports
