#include "engine/convert/json_object.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <vector>

#include "engine/error.h"
#include "engine/gguf/mapping.h"
#include "engine/gguf/printable.h"

namespace bitnet::hf {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxDepth = 64;
// Far above any tokenizer.json; a parsed text takes some ten times its size.
constexpr std::size_t kMaxBytes = std::size_t{1} << 28;
constexpr const char* kAgain = "; download the file again";

[[noreturn]] void fail_in(const std::string& file, std::string_view field, std::string_view what) {
  throw InputError(gguf::printable_message(file) + ": " + gguf::printable(field, 200) + ": " +
                   gguf::printable_message(what));
}

// Refuses while parsing what a parsed value would not show any more.
class Guard {
 public:
  explicit Guard(const std::string& file) : file_(file) {}

  bool operator()(int, json::parse_event_t event, json& parsed) {
    using Event = json::parse_event_t;
    if (event == Event::object_start || event == Event::array_start) {
      keys_.emplace_back();
      if (keys_.size() > kMaxDepth)
        fail_in(file_, "file", "is nested more than " + std::to_string(kMaxDepth) + " levels deep" + kAgain);
    } else if (event == Event::object_end || event == Event::array_end) {
      keys_.pop_back();
    } else if (event == Event::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys_.back().insert(key).second) fail_in(file_, key, std::string("stands twice") + kAgain);
    }
    return true;
  }

 private:
  const std::string& file_;
  std::vector<std::unordered_set<std::string>> keys_;
};

}  // namespace

struct JsonObject::Document {
  std::string file;
  nlohmann::json root;
};

JsonObject::JsonObject(std::shared_ptr<const Document> document, const nlohmann::json& json,
                       std::string field)
    : document_(std::move(document)), json_(&json), field_(std::move(field)) {}

JsonObject JsonObject::parse(std::string_view text, std::string name) {
  if (text.size() > kMaxBytes)
    fail_in(name, "file", "is larger than " + std::to_string(kMaxBytes >> 20) + " MiB; is this the file?");
  auto document = std::make_shared<Document>();
  document->file = std::move(name);
  Guard guard(document->file);
  try {
    document->root =
        nlohmann::json::parse(text, [&guard](int depth, nlohmann::json::parse_event_t event,
                                             nlohmann::json& parsed) { return guard(depth, event, parsed); });
  } catch (const nlohmann::json::parse_error& e) {
    fail_in(document->file, "file", "is no JSON at its byte " + std::to_string(e.byte) + kAgain);
  } catch (const nlohmann::json::out_of_range&) {
    fail_in(document->file, "file", std::string("holds a number that is too great") + kAgain);
  }
  if (!document->root.is_object()) fail_in(document->file, "file", std::string("is no JSON object") + kAgain);
  const nlohmann::json& root = document->root;
  return {std::move(document), root, ""};
}

JsonObject JsonObject::open(const std::filesystem::path& path) {
  const gguf::Mapping file(path);
  return parse({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, path.string());
}

std::optional<JsonObject> JsonObject::find_file(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::nullopt;
  return open(path);
}

const std::string& JsonObject::file() const {
  return document_->file;
}

const nlohmann::json* JsonObject::find(const std::string& key) const {
  const auto it = json_->find(key);
  return it == json_->end() || it->is_null() ? nullptr : &*it;
}

std::optional<std::string> JsonObject::text(const std::string& key) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) fail(key, "must be a text");
  return value->get<std::string>();
}

std::optional<bool> JsonObject::flag(const std::string& key) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) fail(key, "must be true or false");
  return value->get<bool>();
}

std::optional<double> JsonObject::number(const std::string& key) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number() || !std::isfinite(value->get<double>())) fail(key, "must be a finite number");
  return value->get<double>();
}

std::optional<std::uint64_t> JsonObject::count(const std::string& key) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number_unsigned()) fail(key, "must be a whole number that is not negative");
  return value->get<std::uint64_t>();
}

std::optional<JsonObject> JsonObject::object(const std::string& key) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return std::nullopt;
  return element(*value, key);
}

JsonObject JsonObject::element(const nlohmann::json& value, std::string field) const {
  if (!value.is_object()) fail(field, "must be an object");
  return {document_, value, field_of(field)};
}

std::string JsonObject::field_of(std::string_view key) const {
  return field_.empty() ? std::string(key) : field_ + "." + std::string(key);
}

void JsonObject::fail(std::string_view key, std::string_view what) const {
  fail_in(document_->file, field_of(key), what);
}

}  // namespace bitnet::hf
