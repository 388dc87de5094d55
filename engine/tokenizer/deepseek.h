#pragma once
// The pre-tokenizer of DeepSeek LLM.

#include "engine/tokenizer/pre_tokenizer.h"

namespace bitnet {

/// One expression after another, each cutting what the one before left: line breaks, words of cased letters,
/// punctuation, white space at the end, CJK and Hangul, numbers. A space goes with the word or the
/// punctuation after it. Each expression cuts the pieces of those before it too: the ASCII letters of a word
/// count as punctuation, so a word is cut between ASCII and other letters.
Ends deepseek_llm(const CodePoints& text);

}  // namespace bitnet
