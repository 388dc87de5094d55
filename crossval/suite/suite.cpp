#include "crossval/suite/suite.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>

#include "crossval/records/sha256.h"
#include "engine/base64.h"
#include "engine/error.h"
#include "reports/escape.h"

namespace crossval {
namespace {

using bitnet::InputError;
using bitnet::Token;
using nlohmann::json;

constexpr std::size_t kMaxSuiteBytes = std::size_t{256} << 20;
constexpr std::size_t kMaxCases = 1'000'000;
constexpr std::int64_t kMaxTokens = 1 << 20;

// Reads one JSON object, remembering where it stands for messages, and refuses keys that nobody asked for.
class Fields {
 public:
  Fields(const json& object, std::string file, std::string where)
      : object_(object), file_(std::move(file)), where_(std::move(where)) {
    if (!object.is_object()) fail("", "must be an object");
  }

  [[noreturn]] void fail(const std::string& key, const std::string& what) const {
    const std::string field = key.empty() ? where_ : where_.empty() ? key : where_ + "." + key;
    throw InputError(file_ + ": " + (field.empty() ? "top level" : field) + ": " + what);
  }

  const json* find(const std::string& key) {
    known_.insert(key);
    const auto it = object_.find(key);
    return it == object_.end() ? nullptr : &*it;
  }

  void refuse_others() const {
    for (const auto& [key, value] : object_.items()) {
      if (known_.contains(key)) continue;
      std::string names;
      for (const auto& k : known_) names += (names.empty() ? "" : ", ") + k;
      fail(printable(key), "unknown key; known here are " + names);
    }
  }

  // `key`, or its twin `key_b64` for text that is no UTF-8.
  std::optional<std::string> text(const std::string& key) {
    const json* plain = find(key);
    const json* coded = find(key + "_b64");
    if (plain && coded) fail(key, "stands beside " + key + "_b64; give one of them");
    if (coded) {
      if (!coded->is_string()) fail(key + "_b64", "must be a string");
      auto bytes = bitnet::base64_decode(coded->get_ref<const std::string&>());
      if (!bytes) fail(key + "_b64", "is not valid base64");
      return bytes;
    }
    if (!plain) return std::nullopt;
    if (!plain->is_string()) fail(key, "must be a string");
    return plain->get<std::string>();
  }

  std::optional<std::int64_t> integer(const std::string& key, std::int64_t low, std::int64_t high) {
    const json* value = find(key);
    if (!value) return std::nullopt;
    if (!value->is_number_integer() ||
        (value->is_number_unsigned() && value->get<std::uint64_t>() > INT64_MAX))
      fail(key, "must be an integer");
    const auto n = value->get<std::int64_t>();
    if (n < low || n > high)
      fail(key, "must be between " + std::to_string(low) + " and " + std::to_string(high) + ", not " +
                    std::to_string(n));
    return n;
  }

  std::optional<double> number(const std::string& key, double low, double high) {
    const json* value = find(key);
    if (!value) return std::nullopt;
    if (!value->is_number()) fail(key, "must be a number");
    const auto x = value->get<double>();
    if (!(x >= low && x <= high)) {
      std::ostringstream text;
      text << "must be between " << low << " and " << high << ", not " << x;
      fail(key, text.str());
    }
    return x;
  }

  std::optional<std::vector<std::string>> texts(const std::string& key) {
    const json* value = find(key);
    if (!value) return std::nullopt;
    if (!value->is_array()) fail(key, "must be an array of strings");
    std::vector<std::string> result;
    for (const json& item : *value) {
      if (!item.is_string()) fail(key, "must be an array of strings");
      result.push_back(item.get<std::string>());
    }
    return result;
  }

  std::optional<std::vector<Token>> token_ids(const std::string& key) {
    const json* value = find(key);
    if (!value) return std::nullopt;
    if (!value->is_array()) fail(key, "must be an array of token ids");
    std::vector<Token> ids;
    for (const json& item : *value) {
      if (!item.is_number_integer() || item.get<std::int64_t>() < 0 || item.get<std::int64_t>() > INT32_MAX)
        fail(key, "must be an array of token ids (integers from 0)");
      ids.push_back(item.get<Token>());
    }
    return ids;
  }

  const std::string& file() const { return file_; }
  const std::string& where() const { return where_; }

  static std::string printable(const std::string& text) {
    std::string out;
    for (char c : text.substr(0, 60)) out += (c >= 0x20 && c < 0x7f) ? c : '?';
    return out;
  }

 private:
  const json& object_;
  std::string file_;
  std::string where_;
  std::set<std::string> known_;
};

void read_sampling(Fields& fields, bitnet::SamplingParams& sampling) {
  const json* value = fields.find("sampling");
  if (!value) return;
  Fields s(*value, fields.file(), fields.where().empty() ? "sampling" : fields.where() + ".sampling");
  if (auto x = s.number("temperature", 0, 100)) sampling.temperature = static_cast<float>(*x);
  if (auto n = s.integer("top_k", 0, INT32_MAX)) sampling.top_k = static_cast<int>(*n);
  if (auto x = s.number("top_p", 0, 1)) sampling.top_p = static_cast<float>(*x);
  if (auto x = s.number("min_p", 0, 1)) sampling.min_p = static_cast<float>(*x);
  if (auto x = s.number("repetition_penalty", 0.01, 100))
    sampling.repetition_penalty = static_cast<float>(*x);
  if (auto n = s.integer("repetition_window", 0, kMaxTokens))
    sampling.repetition_window = static_cast<int>(*n);
  if (auto n = s.integer("seed", 0, INT64_MAX)) sampling.seed = static_cast<std::uint64_t>(*n);
  s.refuse_others();
}

// What a case may take from `defaults`.
void read_shared(Fields& fields, Case& out) {
  if (auto name = fields.text("template")) {
    if (*name != bitnet::kAutoTemplate) try {
        bitnet::parse_chat_template(*name);
      } catch (const InputError& e) {
        fields.fail("template", e.what());
      }
    out.chat_template = *name;
  }
  if (auto n = fields.integer("max_tokens", 0, kMaxTokens)) out.max_tokens = *n;
  if (auto stop = fields.texts("stop")) out.stop = *stop;
  for (const auto& s : out.stop)
    if (s.empty()) fields.fail("stop", "must not hold an empty string");
  read_sampling(fields, out.sampling);
}

Expectation read_expectation(const json& value, const Fields& parent) {
  Fields fields(value, parent.file(), parent.where() + ".expect");
  std::vector<Expectation> found;
  if (auto t = fields.text("equals")) found.push_back({Expectation::Kind::equals, {*t}, {}});
  if (auto t = fields.text("contains")) found.push_back({Expectation::Kind::contains, {*t}, {}});
  if (auto t = fields.text("regex")) {
    try {
      std::regex(*t, std::regex::ECMAScript);
    } catch (const std::regex_error& e) {
      fields.fail("regex", std::string("is no ECMAScript expression: ") + e.what());
    }
    found.push_back({Expectation::Kind::regex, {*t}, {}});
  }
  if (auto t = fields.texts("any_of")) {
    if (t->empty()) fields.fail("any_of", "must not be empty: nothing could meet it");
    found.push_back({Expectation::Kind::any_of, *t, {}});
  }
  if (auto ids = fields.token_ids("token_ids")) found.push_back({Expectation::Kind::token_ids, {}, *ids});
  fields.refuse_others();
  if (found.size() != 1) fields.fail("", "needs exactly one of equals, contains, regex, any_of, token_ids");
  return found.front();
}

std::vector<bitnet::Message> read_messages(const json& value, const Fields& parent) {
  if (!value.is_array() || value.empty()) parent.fail("messages", "must be a non-empty array");
  std::vector<bitnet::Message> messages;
  for (const json& item : value) {
    Fields fields(item, parent.file(), parent.where() + ".messages[" + std::to_string(messages.size()) + "]");
    auto role = fields.text("role");
    auto content = fields.text("content");
    fields.refuse_others();
    if (!role || !content) fields.fail("", "needs role and content");
    if (*role != "system" && *role != "user" && *role != "assistant")
      fields.fail("role", "must be system, user or assistant");
    messages.push_back({*role, *content});
  }
  return messages;
}

Case read_case(const json& value, const std::string& file, std::size_t index, const Case& defaults) {
  Case out = defaults;
  const std::string where = "cases[" + std::to_string(index) + "]";
  if (value.is_string()) {
    out.id = "case-" + std::to_string(index);
    out.messages = {{"user", value.get<std::string>()}};
    return out;
  }
  Fields fields(value, file, where);
  const auto id = fields.text("id");
  if (!id || id->empty()) fields.fail("id", "is missing or empty");
  if (!reports::is_valid_utf8(*id)) fields.fail("id", "must be UTF-8");
  if (id->size() > 200) fields.fail("id", "is longer than 200 bytes");
  out.id = *id;
  read_shared(fields, out);
  const auto prompt = fields.text("prompt");
  const json* messages = fields.find("messages");
  const auto tokens = fields.token_ids("tokens");
  if ((prompt ? 1 : 0) + (messages ? 1 : 0) + (tokens ? 1 : 0) != 1)
    fields.fail("", "needs exactly one of prompt, messages, tokens");
  if (prompt) out.messages = {{"user", *prompt}};
  if (messages) {
    out.messages = read_messages(*messages, fields);
    out.is_prompt = false;
  }
  if (tokens) {
    if (tokens->empty()) fields.fail("tokens", "must not be empty");
    out.tokens = *tokens;
  }
  if (auto ids = fields.token_ids("continuation")) {
    if (!tokens) fields.fail("continuation", "needs tokens beside it");
    out.continuation = *ids;
  }
  if (const json* expect = fields.find("expect")) out.expect = read_expectation(*expect, fields);
  if (const json* gates = fields.find("gates"))
    out.gates = parse_gates(*gates, file + ": " + where + ".gates");
  fields.refuse_others();
  return out;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kWhite = " \t\r\n\f\v";
  const auto first = text.find_first_not_of(kWhite);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kWhite) - first + 1);
}

}  // namespace

std::string_view to_string(Expectation::Kind kind) {
  switch (kind) {
    case Expectation::Kind::equals:
      return "equals";
    case Expectation::Kind::contains:
      return "contains";
    case Expectation::Kind::regex:
      return "regex";
    case Expectation::Kind::any_of:
      return "any_of";
    case Expectation::Kind::token_ids:
      return "token_ids";
  }
  return "equals";
}

Suite parse_suite(std::string_view text, const std::string& name) {
  Suite suite;
  suite.path = name;
  suite.sha256 = sha256_hex(text);
  json document;
  try {
    // Depth is bounded by the parser's explicit stack; the size was bounded before.
    document = json::parse(text);
  } catch (const json::exception& e) {
    throw InputError(name + ": not valid JSON: " + Fields::printable(std::string(e.what()).substr(0, 200)) +
                     "; mend the file");
  }
  Case defaults;
  const json* cases = &document;
  if (document.is_object()) {
    Fields fields(document, name, "");
    const auto schema = fields.text("schema");
    if (!schema) fields.fail("schema", "is missing; write \"schema\": \"crossval.suite/1\"");
    if (*schema != "crossval.suite/1")
      fields.fail("schema", "is `" + Fields::printable(*schema) + "`; this version reads crossval.suite/1");
    if (const json* value = fields.find("defaults")) {
      Fields shared(*value, name, "defaults");
      read_shared(shared, defaults);
      shared.refuse_others();
    }
    cases = fields.find("cases");
    if (!cases) fields.fail("cases", "is missing");
    fields.refuse_others();
  }
  if (!cases->is_array()) throw InputError(name + ": cases: must be an array");
  if (cases->empty()) throw InputError(name + ": cases: is empty; a suite needs at least one case");
  if (cases->size() > kMaxCases) throw InputError(name + ": cases: more than " + std::to_string(kMaxCases));
  std::set<std::string> ids;
  for (std::size_t i = 0; i < cases->size(); ++i) {
    if (!document.is_object() && !(*cases)[i].is_string())
      throw InputError(name + ": cases[" + std::to_string(i) + "]: a bare array must hold strings only");
    suite.cases.push_back(read_case((*cases)[i], name, i, defaults));
    if (!ids.insert(suite.cases.back().id).second)
      throw InputError(name + ": cases[" + std::to_string(i) + "].id: `" +
                       Fields::printable(suite.cases.back().id) + "` stands there twice; ids must be unique");
  }
  return suite;
}

Suite load_suite(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in || std::filesystem::is_directory(path))
    throw InputError(path.string() + ": cannot be read; check the path given with --prompts");
  std::string text;
  char buffer[1 << 16];
  while (in.read(buffer, sizeof buffer) || in.gcount() > 0) {
    text.append(buffer, static_cast<std::size_t>(in.gcount()));
    if (text.size() > kMaxSuiteBytes)
      throw InputError(path.string() + ": is larger than 256 MiB; split the suite");
  }
  return parse_suite(text, path.string());
}

bool meets(const Expectation& e, std::string_view answer, const std::vector<Token>& tokens) {
  const std::string_view text = trimmed(answer);
  const auto equals = [&](const std::string& want) { return text == trimmed(want); };
  switch (e.kind) {
    case Expectation::Kind::equals:
      return equals(e.texts.front());
    case Expectation::Kind::contains:
      return answer.find(e.texts.front()) != std::string_view::npos;
    case Expectation::Kind::regex:
      return std::regex_search(answer.begin(), answer.end(), std::regex(e.texts.front()));
    case Expectation::Kind::any_of:
      return std::any_of(e.texts.begin(), e.texts.end(), equals);
    case Expectation::Kind::token_ids:
      return tokens == e.token_ids;
  }
  return false;
}

}  // namespace crossval
