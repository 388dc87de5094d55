#include "engine/convert/hf_vocabulary.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/convert/hf_merges.h"
#include "engine/error.h"
#include "engine/gguf/printable.h"
#include "engine/tokenizer/pre_tokenizer.h"
#include "engine/tokenizer/special_roles.h"
#include "engine/tokenizer/spm.h"
#include "engine/tokenizer/tokenizer.h"

namespace bitnet::hf {
namespace {

using nlohmann::json;

constexpr const char* kAgain = "; download the file again";
constexpr float kAddedScore = -1000;
constexpr float kGapScore = -10000;

std::int32_t number_of(TokenType type) {
  return static_cast<std::int32_t>(type);
}

using PieceId = std::optional<std::uint32_t> SentencePieceModel::*;

std::string in_quotes(std::string_view text) {
  return "`" + gguf::printable(text, 80) + "`";
}

class Reader {
 public:
  Reader(const TokenizerFiles& files, std::uint32_t n_vocab, const std::string& pre)
      : files_(files), pre_(pre), taken_(n_vocab, false) {
    v_.source = files.tokenizer ? files.tokenizer->file() : files.pieces->file;
    v_.tokens.resize(n_vocab);
    v_.scores.assign(n_vocab, kGapScore);
    v_.types.assign(n_vocab, number_of(TokenType::unused));
  }

  HfVocabulary read() {
    sentence_piece_ = !files_.tokenizer || is_sentence_piece(*files_.tokenizer);
    if (files_.pieces) read_pieces(*files_.pieces);
    if (files_.tokenizer) read_model(*files_.tokenizer);
    read_added_tokens();
    fill_gaps();
    if (sentence_piece_)
      finish_pieces();
    else
      read_pre_tokenizer();
    read_post_processor();
    read_special_ids();
    read_chat_template();
    return std::move(v_);
  }

 private:
  void note(std::string text) { v_.notes.push_back(std::move(text)); }

  void read_model(const JsonObject& tokenizer) {
    const auto model = tokenizer.object("model");
    if (!model) tokenizer.fail("model", std::string("missing") + kAgain);
    const std::string type = model->text("type").value_or("BPE");  // old files do not say it
    if (type != "BPE") model->fail("type", in_quotes(type) + " is not supported; only BPE is");
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
      if (!model->text(key).value_or("").empty())
        model->fail(key, "is not empty, which a GGUF vocabulary cannot express");
    read_vocab(*model);
    v_.merges = read_merges(*model);
    if (!sentence_piece_ && tokenizer.find("normalizer") != nullptr)
      note("tokenizer.json has a normalizer, which GGUF cannot express: it is left out");
  }

  void read_pieces(const SentencePieceModel& model) {
    for (std::size_t id = 0; id < model.pieces.size(); ++id) {
      const SentencePieceModel::Piece& piece = model.pieces[id];
      place(model, "piece " + std::to_string(id), piece.text, id, piece.type);
      v_.scores[id] = piece.score;
    }
    if (model.maps_characters)
      note("tokenizer.model maps characters to others, which GGUF cannot express: it is left out");
    if (model.drops_spaces)
      note("tokenizer.model drops spaces that it calls extra, which GGUF cannot express: they stay");
  }

  void read_vocab(const JsonObject& model) {
    const auto vocab = model.object("vocab");
    if (!vocab) model.fail("vocab", std::string("missing") + kAgain);
    for (const auto& [text, id] : vocab->json().items()) {
      if (!id.is_number_unsigned()) vocab->fail(text, std::string("must be an id") + kAgain);
      place(*vocab, text, text, id.get<std::uint64_t>(),
            sentence_piece_ ? type_of_piece(model, text) : TokenType::normal);
    }
  }

  static TokenType type_of_piece(const JsonObject& model, const std::string& text) {
    if (text == model.text("unk_token")) return TokenType::unknown;
    return Spm::byte_of(text) >= 0 ? TokenType::byte : TokenType::normal;
  }

  // A type that tells more than `normal` stays when another file names the token too. Of llama's vocabularies
  // llama.cpp's converter gives this score to what is added.
  template <class File>
  void place(const File& where, const std::string& field, const std::string& text, std::uint64_t id,
             TokenType type) {
    if (id >= v_.tokens.size())
      where.fail(field, "has id " + std::to_string(id) + ", but the embedding has only " +
                            std::to_string(v_.tokens.size()) +
                            " rows; tokenizer and weights are of different checkpoints");
    const auto i = static_cast<std::size_t>(id);
    if (taken_[i] && v_.tokens[i] != text)
      where.fail(field,
                 "has id " + std::to_string(id) + ", which is that of " + in_quotes(v_.tokens[i]) + kAgain);
    if (!taken_[i]) v_.scores[i] = kAddedScore;
    if (!taken_[i] || v_.types[i] == number_of(TokenType::normal)) v_.types[i] = number_of(type);
    taken_[i] = true;
    v_.tokens[i] = text;
  }

  void read_added_tokens() {
    if (!files_.tokenizer) return read_added_pieces();
    const json* list = files_.tokenizer->find("added_tokens");
    if (list == nullptr) return;
    if (!list->is_array()) files_.tokenizer->fail("added_tokens", std::string("must be a list") + kAgain);
    for (std::size_t i = 0; i < list->size(); ++i) {
      const JsonObject token =
          files_.tokenizer->element((*list)[i], "added_tokens[" + std::to_string(i) + "]");
      const auto id = token.count("id");
      if (!id) token.fail("id", std::string("missing") + kAgain);
      add_token(token, "id", *id);
    }
  }

  void add_token(const JsonObject& token, const char* field, std::uint64_t id) {
    const auto text = token.text("content");
    if (!text || text->empty()) token.fail("content", std::string("missing") + kAgain);
    place(token, field, *text, id,
          token.flag("special").value_or(false) ? TokenType::control : TokenType::user_defined);
  }

  // Where there is no tokenizer.json: {"32000": {"content": "<pad>", "special": true}} in
  // tokenizer_config.json, {"<pad>": 32000} in added_tokens.json.
  void read_added_pieces() {
    const auto decoder =
        files_.tokenizer_config ? files_.tokenizer_config->object("added_tokens_decoder") : std::nullopt;
    if (decoder)
      for (const auto& [key, value] : decoder->json().items()) {
        std::uint64_t id = 0;
        const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
        if (error != std::errc() || end != key.data() + key.size())
          decoder->fail(key, std::string("is no id") + kAgain);
        add_token(decoder->element(value, key), "content", id);
      }
    if (!files_.added_tokens) return;
    for (const auto& [text, id] : files_.added_tokens->json().items()) {
      if (!id.is_number_unsigned() || text.empty())
        files_.added_tokens->fail(text, std::string("must be the id of a text") + kAgain);
      place(*files_.added_tokens, text, text, id.get<std::uint64_t>(), TokenType::user_defined);
    }
  }

  // Rows of the embedding that no token has, which models keep to round their number up.
  void fill_gaps() {
    std::size_t gaps = 0;
    for (std::size_t id = 0; id < taken_.size(); ++id) {
      if (taken_[id]) continue;
      ++gaps;
      v_.tokens[id] = "[PAD" + std::to_string(id) + "]";
    }
    if (gaps > 0)
      note(std::to_string(gaps) + " of " + std::to_string(taken_.size()) +
           " ids have no token: they are written as unused");
  }

  void finish_pieces() {
    v_.model = "llama";
    v_.pre = "default";  // which llama.cpp's converter writes, and nothing reads
    if (!pre_.empty())
      throw InputError("--pre: " + in_quotes(pre_) + " cannot be: " + gguf::printable_message(v_.source) +
                       " is of SentencePiece, which has no pre-tokenizer; leave it out");
    read_space_prefix();
    if (!files_.pieces)
      v_.scores = scores_of_merges(*files_.tokenizer->object("model"), v_.merges, v_.tokens, v_.types);
    v_.merges.clear();
    note(std::string("vocabulary: SentencePiece, scores ") +
         (files_.pieces ? "of tokenizer.model" : "by the order of the merges in tokenizer.json"));
    // What was added is looked for in a text before its spaces are rewritten.
    for (std::size_t id = 0; id < v_.tokens.size(); ++id) {
      if (v_.types[id] != number_of(TokenType::user_defined)) continue;
      const std::string text = std::move(v_.tokens[id]);
      v_.tokens[id].clear();
      Spm::append_text(text, v_.tokens[id]);
    }
  }

  void read_space_prefix() {
    if (files_.pieces) v_.add_space_prefix = files_.pieces->adds_space;
    if (files_.tokenizer) {
      const auto prefix = space_prefix(*files_.tokenizer);
      if (!prefix)
        files_.tokenizer->fail("normalizer",
                               "does with pre_tokenizer more than to write spaces as U+2581, which GGUF "
                               "cannot express of a SentencePiece vocabulary");
      v_.add_space_prefix = *prefix;
    }
    if (const auto& config = files_.tokenizer_config)
      v_.add_space_prefix = config->flag("add_prefix_space").value_or(v_.add_space_prefix);
  }

  void read_pre_tokenizer() {
    v_.model = "gpt2";
    v_.scores.clear();
    const JsonObject& tokenizer = *files_.tokenizer;
    const auto found = pre_tokenizer_name(tokenizer);
    v_.pre = pre_.empty() ? found.value_or("") : pre_;
    if (v_.pre.empty())
      tokenizer.fail("pre_tokenizer",
                     "is none that bitnet.cpp has a name for; if you know which one it "
                     "is, give --pre, one of " +
                         pre_tokenizer_names());
    if (find_pre_tokenizer(v_.pre) == nullptr)
      tokenizer.fail("pre_tokenizer",
                     "--pre " + in_quotes(v_.pre) + " is unknown; choose one of " + pre_tokenizer_names());
    if (pre_.empty())
      note("pre-tokenizer " + v_.pre + ": tokenizer.json describes it");
    else if (found != pre_)
      note("pre-tokenizer " + v_.pre + ": given as --pre; tokenizer.json describes " +
           found.value_or("none that is known"));
  }

  // What a TemplateProcessing puts before and behind a single text.
  void read_template(const JsonObject& step) {
    const json* single = step.find("single");
    if (single == nullptr || !single->is_array() || single->empty())
      step.fail("single", std::string("must be a list") + kAgain);
    const auto special = [&](const json& part) {
      const JsonObject piece = step.element(part, "single");
      const auto token = piece.object("SpecialToken");
      return token ? token->text("id") : std::nullopt;
    };
    template_bos_ = special(single->front());
    v_.add_bos = template_bos_.has_value();
    v_.add_eos = single->size() > 1 && special(single->back()).has_value();
    has_template_ = true;
  }

  void read_post_processor() {
    const auto processor = files_.tokenizer ? files_.tokenizer->object("post_processor") : std::nullopt;
    if (processor) {
      const json* list = processor->find("processors");
      if (processor->text("type").value_or("") == "TemplateProcessing") read_template(*processor);
      if (list != nullptr && !list->is_array())
        processor->fail("processors", std::string("must be a list") + kAgain);
      for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
        const JsonObject step = processor->element((*list)[i], "processors[" + std::to_string(i) + "]");
        if (step.text("type").value_or("") == "TemplateProcessing") read_template(step);
      }
    }
    // The post-processor is what transformers does; the flags are for tokenizers without one.
    if (has_template_) return;
    v_.add_bos = !files_.tokenizer;  // as SentencePiece's class in transformers
    if (!files_.tokenizer_config) return;
    v_.add_bos = files_.tokenizer_config->flag("add_bos_token").value_or(v_.add_bos);
    v_.add_eos = files_.tokenizer_config->flag("add_eos_token").value_or(false);
  }

  std::uint32_t id_of(const JsonObject& where, const std::string& key, const std::string& text) const {
    const auto it = std::ranges::find(v_.tokens, text);
    if (it == v_.tokens.end()) where.fail(key, "is " + in_quotes(text) + ", which is no token");
    return static_cast<std::uint32_t>(it - v_.tokens.begin());
  }

  std::optional<std::uint32_t> first_of(TokenType type) const {
    const auto it = std::ranges::find(v_.types, number_of(type));
    if (it == v_.types.end()) return std::nullopt;
    return static_cast<std::uint32_t>(it - v_.types.begin());
  }

  std::uint32_t checked(const JsonObject& where, const std::string& key, const json& value) const {
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() >= v_.tokens.size())
      where.fail(key, "must be an id below " + std::to_string(v_.tokens.size()));
    return value.get<std::uint32_t>();
  }

  // "bos_token": a text, or an object with its content.
  std::optional<std::uint32_t> named_token(const char* key) const {
    const auto& config = files_.tokenizer_config;
    const json* value = config ? config->find(key) : nullptr;
    if (value == nullptr) return std::nullopt;
    if (value->is_string()) return id_of(*config, key, value->get<std::string>());
    const auto text = config->element(*value, key).text("content");
    if (!text) config->fail(key, "must be a text or an object with its content");
    return id_of(*config, key, *text);
  }

  // "eos_token_id": an id or a list of them, of the first file that has it.
  std::vector<std::uint32_t> ids_of(const char* key) const {
    for (const auto* file : {&files_.generation_config, &files_.config}) {
      const json* value = *file ? (*file)->find(key) : nullptr;
      if (value == nullptr) continue;
      std::vector<std::uint32_t> ids;
      if (!value->is_array()) return {checked(**file, key, *value)};
      for (const json& id : *value) ids.push_back(checked(**file, key, id));
      return ids;
    }
    return {};
  }

  void read_special_ids() {
    const auto add = [&](const char* key, std::optional<std::uint32_t> id) {
      if (id) v_.ids.emplace_back(key, *id);
    };
    const auto first = [](const std::vector<std::uint32_t>& ids) {
      return ids.empty() ? std::nullopt : std::optional(ids.front());
    };
    const auto named_or = [&](const char* name, PieceId id) {
      const auto named = named_token(name);
      return named || !files_.pieces ? named : (*files_.pieces).*id;
    };
    const auto token = [&](const char* name, PieceId id) {
      const auto listed = first(ids_of((std::string(name) + "_id").c_str()));
      return listed && !named_token(name) ? listed : named_or(name, id);
    };
    // What the post-processor writes is what transformers puts first, whatever is called BOS.
    auto bos = token("bos_token", &SentencePieceModel::bos);
    if (template_bos_) {
      const std::uint32_t written = id_of(*files_.tokenizer, "post_processor", *template_bos_);
      if (bos && *bos != written)
        note("BOS is " + in_quotes(*template_bos_) + ", which the post-processor writes, not " +
             in_quotes(v_.tokens[*bos]));
      bos = written;
    }
    add("bos_token_id", bos);
    const auto eos = token("eos_token", &SentencePieceModel::eos);
    add("eos_token_id", eos);
    add_ends(eos, ids_of("eos_token_id"));
    auto unknown = named_or("unk_token", &SentencePieceModel::unk);
    if (!unknown && sentence_piece_) unknown = first_of(TokenType::unknown);
    add("unknown_token_id", unknown);
    add("seperator_token_id", named_token("sep_token"));
    add("padding_token_id", named_or("pad_token", &SentencePieceModel::pad));
    add("cls_token_id", named_token("cls_token"));
    add("mask_token_id", named_token("mask_token"));
  }

  // Every id that ends a generation has a key, or is one by its text; else it is said.
  void add_ends(std::optional<std::uint32_t> eos, const std::vector<std::uint32_t>& ends) {
    std::set<std::string> given;
    for (const std::uint32_t id : ends) {
      const std::string& text = v_.tokens[id];
      const auto has = [&](std::span<const std::string_view> texts) {
        return std::ranges::find(texts, text) != texts.end();
      };
      const std::string key = has(role_texts(Role::eom)) ? "eom_token_id" : "eot_token_id";
      if (eos == id) continue;
      if (given.insert(key).second)
        v_.ids.emplace_back(key, id);
      else if (!has(end_of_generation_texts()))
        note("token " + std::to_string(id) + ", " + in_quotes(text) +
             ", ends a generation in generation_config.json, for which GGUF has no key left");
    }
  }

  void read_chat_template() {
    if (files_.chat_template) {
      v_.chat_template = *files_.chat_template;
      return;
    }
    const auto& config = files_.tokenizer_config;
    const json* value = config ? config->find("chat_template") : nullptr;
    if (value == nullptr) return;
    if (value->is_string()) {
      v_.chat_template = value->get<std::string>();
      return;
    }
    if (!value->is_array()) config->fail("chat_template", "must be a text or a list of named ones");
    for (std::size_t i = 0; i < value->size(); ++i) {
      const JsonObject one = config->element((*value)[i], "chat_template[" + std::to_string(i) + "]");
      if (one.text("name").value_or("") != "default") continue;
      v_.chat_template = one.text("template").value_or("");
      note("of " + std::to_string(value->size()) + " chat templates the one named default is written");
      return;
    }
    config->fail("chat_template", "has no template named default");
  }

  const TokenizerFiles& files_;
  const std::string& pre_;
  std::vector<bool> taken_;
  bool sentence_piece_ = false;
  bool has_template_ = false;
  std::optional<std::string> template_bos_;
  HfVocabulary v_;
};

}  // namespace

VocabData HfVocabulary::data() const {
  VocabData d;
  d.source = source;
  d.model = model;
  d.pre = pre;
  d.tokens.assign(tokens.begin(), tokens.end());
  d.types = types;
  if (model == "llama") {
    d.scores = scores;
    d.add_space_prefix = add_space_prefix;
  } else {
    d.merges.emplace(merges.begin(), merges.end());
  }
  d.ids = ids;
  d.add_bos = add_bos;
  d.add_eos = add_eos;
  d.chat_template = chat_template;
  return d;
}

bool is_sentence_piece(const JsonObject& tokenizer) {
  const auto model = tokenizer.object("model");
  return model && model->text("type").value_or("BPE") == "BPE" &&
         model->flag("byte_fallback").value_or(false);
}

HfVocabulary read_hf_vocabulary(const TokenizerFiles& files, std::uint32_t n_vocab, const std::string& pre) {
  return Reader(files, n_vocab, pre).read();
}

}  // namespace bitnet::hf
