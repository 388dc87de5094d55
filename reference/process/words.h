#pragma once
// A command line as a POSIX shell splits it into words, without a shell.

#include <string>
#include <string_view>
#include <vector>

namespace crossval {

/// Blanks and newlines part words; '...' keeps everything, "..." keeps everything but \" \\ \$ \` and a
/// backslash before a newline (which vanishes), a backslash outside quotes keeps the next character. Nothing
/// is expanded: $, *, ~ and ; are characters like others. Throws InputError for a quote or backslash that
/// nothing closes, for a zero byte and when there is no word.
std::vector<std::string> split_words(std::string_view text);

}  // namespace crossval
