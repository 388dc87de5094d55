#pragma once
// The style and the script of index.html, embedded at build time from page.css and page.js.

#include <string_view>

namespace crossval::reports {

extern const std::string_view kPageCss;
extern const std::string_view kPageCssSha256;  ///< 64 hexadecimal digits
extern const std::string_view kPageJs;
extern const std::string_view kPageJsSha256;

}  // namespace crossval::reports
