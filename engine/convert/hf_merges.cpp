#include "engine/convert/hf_merges.h"

#include <nlohmann/json.hpp>
#include <string_view>
#include <unordered_map>

#include "engine/gguf/printable.h"
#include "engine/tokenizer/tokenizer.h"
#include "engine/tokenizer/unicode.h"

namespace bitnet::hf {
namespace {

using nlohmann::json;

constexpr const char* kAgain = "; download the file again";

std::string field_of(std::size_t merge) {
  return "merges[" + std::to_string(merge) + "]";
}

bool is_plain(const json& part) {
  return part.is_string() && !part.get_ref<const std::string&>().empty() &&
         part.get_ref<const std::string&>().find(' ') == std::string::npos;
}

// "a b", or since tokenizers 0.20 ["a", "b"]; nothing for anything else.
std::string text_of(const json& merge) {
  if (merge.is_array()) {
    if (merge.size() != 2 || !is_plain(merge[0]) || !is_plain(merge[1])) return "";
    return merge[0].get_ref<const std::string&>() + " " + merge[1].get_ref<const std::string&>();
  }
  if (!merge.is_string()) return "";
  const auto& text = merge.get_ref<const std::string&>();
  const std::size_t space = text.find(' ');
  const bool two =
      space != std::string::npos && space != 0 && space + 1 != text.size() && space == text.rfind(' ');
  return two ? text : "";
}

// Turns merges into scores; counts the merges of each token, to find what is missing.
class Scores {
 public:
  Scores(const JsonObject& model, std::span<const std::string> tokens, std::span<const std::int32_t> types)
      : model_(model), tokens_(tokens), types_(types), scores_(tokens.size(), 0), merges_(tokens.size(), 0) {
    for (std::size_t id = 0; id < tokens.size(); ++id)
      if (!tokens[id].empty()) ids_.emplace(tokens[id], id);
  }

  void add(std::size_t rank, std::string_view merge) {
    const std::size_t space = merge.find(' ');
    const std::string_view left = merge.substr(0, space), right = merge.substr(space + 1);
    const auto made = ids_.find(std::string(left) + std::string(right));
    if (made == ids_.end()) model_.fail(field_of(rank), std::string("makes no token") + kAgain);
    const std::size_t id = made->second;
    if (id != last_) {
      if (scores_[id] != 0)
        model_.fail(field_of(rank), "makes " + in_quotes(tokens_[id]) +
                                        " again after other tokens, which the scores of a SentencePiece "
                                        "vocabulary cannot express");
      scores_[id] = -static_cast<float>(++made_);
      last_ = id;
    }
    merges_[id] += is_normal(left) && is_normal(right);
  }

  std::vector<float> take() && {
    for (std::size_t id = 0; id < tokens_.size(); ++id) {
      if (!is_normal(tokens_[id])) continue;
      require_all_merges(id);
      // A character, which nothing makes: behind all that is made, where SentencePiece's trainer has it.
      if (scores_[id] == 0) scores_[id] = -static_cast<float>(++made_);
    }
    return std::move(scores_);
  }

 private:
  static std::string in_quotes(std::string_view text) { return "`" + gguf::printable(text, 80) + "`"; }

  bool is_normal(std::string_view text) const {
    const auto it = ids_.find(std::string(text));
    return it != ids_.end() && types_[it->second] == static_cast<std::int32_t>(TokenType::normal);
  }

  void require_all_merges(std::size_t id) const {
    const std::string_view text = tokens_[id];
    std::uint64_t ways = 0;
    for (std::size_t cut = unicode::decode_at(text, 0).bytes; cut < text.size();
         cut += unicode::decode_at(text, cut).bytes)
      ways += is_normal(text.substr(0, cut)) && is_normal(text.substr(cut));
    if (ways != merges_[id])
      model_.fail("merges", "make " + in_quotes(text) + " in " + std::to_string(merges_[id]) + " of " +
                                std::to_string(ways) + " ways, but SentencePiece makes it in all of them");
  }

  const JsonObject& model_;
  std::span<const std::string> tokens_;
  std::span<const std::int32_t> types_;
  std::vector<float> scores_;
  std::vector<std::uint64_t> merges_;
  std::unordered_map<std::string, std::size_t> ids_;
  std::size_t last_ = static_cast<std::size_t>(-1);
  std::uint32_t made_ = 0;
};

}  // namespace

std::vector<std::string> read_merges(const JsonObject& model) {
  const json* list = model.find("merges");
  if (list == nullptr || !list->is_array()) model.fail("merges", std::string("must be a list") + kAgain);
  std::vector<std::string> merges;
  merges.reserve(list->size());
  for (const json& merge : *list) {
    std::string text = text_of(merge);
    if (text.empty())
      model.fail(field_of(merges.size()),
                 std::string("must be two texts with one space between them, or a list of the two") + kAgain);
    merges.push_back(std::move(text));
  }
  return merges;
}

std::vector<float> scores_of_merges(const JsonObject& model, std::span<const std::string> merges,
                                    std::span<const std::string> tokens,
                                    std::span<const std::int32_t> types) {
  Scores scores(model, tokens, types);
  for (std::size_t rank = 0; rank < merges.size(); ++rank) scores.add(rank, merges[rank]);
  return std::move(scores).take();
}

}  // namespace bitnet::hf
