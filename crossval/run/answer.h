#pragma once
// Tokens picked one after another, until the end of generation, a stop string or the limit.

#include <string>
#include <vector>

#include "crossval/suite/suite.h"
#include "engine/generate/stop.h"
#include "engine/tokenizer/tokenizer.h"

namespace crossval {

class Answer {
 public:
  Answer(const Case& spec, const bitnet::Tokenizer& tokenizer)
      : spec_(spec), tokenizer_(tokenizer), scanner_(spec.stop) {}

  /// Adds a pick; afterwards `done` tells whether generation ends with it.
  void add(bitnet::Token token) {
    picks_.push_back(token);
    if (tokenizer_.is_eog(token)) {
      done_ = true;
      return;
    }
    tokens_.push_back(token);
    done_ = scanner_.feed(tokenizer_.piece(token)) || done_;
    if (static_cast<std::int64_t>(picks_.size()) >= spec_.max_tokens) done_ = true;
  }

  bool done() const { return done_ || spec_.max_tokens == 0; }
  const std::string& text() const { return scanner_.text(); }           // up to the stop string
  const std::vector<bitnet::Token>& tokens() const { return tokens_; }  // without the end-of-generation token
  const std::vector<bitnet::Token>& picks() const { return picks_; }    // with it

 private:
  const Case& spec_;
  const bitnet::Tokenizer& tokenizer_;
  std::vector<bitnet::Token> picks_;
  std::vector<bitnet::Token> tokens_;
  bitnet::StopScanner scanner_;
  bool done_ = false;
};

}  // namespace crossval
