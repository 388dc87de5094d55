#pragma once
// Text that comes from a model, a suite or a participant is data. These functions turn it into something that
// can be shown: whatever the bytes are, the result is valid UTF-8, fits on one line, and cannot leave the
// place it is put into. Control characters and characters that hide or reorder their neighbours are made
// visible: in documents as ↵, ⇥, control pictures (U+2400...) or [U+202E], on a terminal as \n, \x1b or
// \u202e.

#include <cstddef>
#include <string>
#include <string_view>

namespace crossval::reports {

/// Ill-formed UTF-8 becomes U+FFFD, one for each maximal part of a sequence (the Unicode standard's
/// practice). Everything else stays, control characters too.
std::string valid_utf8(std::string_view bytes);

/// Whether the bytes are well-formed UTF-8.
bool is_valid_utf8(std::string_view bytes);

/// At most `limit` code points; what was cut is marked with an ellipsis. Ill-formed bytes become U+FFFD.
std::string shortened(std::string_view bytes, std::size_t limit);

/// For text between HTML tags and in quoted attributes.
std::string escape_html(std::string_view bytes);

/// For text between XML 1.0 tags and in quoted attributes.
std::string escape_xml(std::string_view bytes);

/// For running Markdown text and table cells (GitHub's and GitLab's dialects): no emphasis, no HTML, no
/// links, no mentions, no table borders.
std::string escape_markdown(std::string_view bytes);

/// An inline code span for Markdown text and table cells.
std::string markdown_code(std::string_view bytes);

/// A fenced Markdown code block, lines included, for one line of text.
std::string markdown_code_block(std::string_view bytes);

/// For one line on a terminal: nothing in it can move the cursor, colour, beep or reorder.
std::string escape_terminal(std::string_view bytes);

/// JSON text (already serialized) for a <script type="application/json"> element: it cannot close the
/// element, and stays the same JSON.
std::string escape_script_json(std::string_view json);

/// Percent-encoded for a URL's fragment or an id attribute: letters, digits and -._~ stay.
std::string escape_fragment(std::string_view bytes);

/// One word of a POSIX shell (bash, ksh and zsh where bytes must be escaped). Printable ASCII only.
std::string shell_quote(std::string_view bytes);

}  // namespace crossval::reports
