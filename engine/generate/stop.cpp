#include "engine/generate/stop.h"

#include <algorithm>

#include "engine/error.h"

namespace bitnet {

std::string_view to_string(StopReason reason) {
  switch (reason) {
    case StopReason::eog:
      return "eog";
    case StopReason::stop_string:
      return "stop_string";
    case StopReason::max_tokens:
      return "max_tokens";
  }
  return {};
}

void StopScanner::Pattern::step(char c) {
  // A complete match ends the scan, so there is always a next character here.
  while (matched > 0 && text[matched] != c) matched = fallback[matched - 1];
  if (text[matched] == c) ++matched;
}

StopScanner::StopScanner(const std::vector<std::string>& strings) {
  for (const std::string& s : strings) {
    if (s.empty()) throw InputError("a stop string is empty; it would end every answer before it starts");
    Pattern p;
    p.text = s;
    p.fallback.assign(s.size(), 0);
    for (std::size_t i = 1, n = 0; i < s.size(); ++i) {
      while (n > 0 && s[i] != s[n]) n = p.fallback[n - 1];
      if (s[i] == s[n]) ++n;
      p.fallback[i] = n;
    }
    patterns_.push_back(std::move(p));
  }
}

bool StopScanner::feed(std::string_view piece) {
  if (stopped_) return true;
  for (const char c : piece) {
    text_.push_back(c);
    std::size_t held = 0;
    std::size_t complete = 0;
    for (Pattern& p : patterns_) {
      p.step(c);
      held = std::max(held, p.matched);
      if (p.matched == p.text.size()) complete = std::max(complete, p.matched);
    }
    if (complete > 0) {
      text_.resize(text_.size() - complete);
      settled_ = text_.size();
      stopped_ = true;
      return true;
    }
    settled_ = text_.size() - held;
  }
  return false;
}

}  // namespace bitnet
