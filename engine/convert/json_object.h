#pragma once
// The JSON files of a checkpoint, read with suspicion.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace bitnet::hf {

/// An object of a JSON file, and how messages call it. Look-ups treat null as absent, as transformers does; a
/// value of another type than asked for is an InputError of one line that names file and field. Values are
/// cheap to copy and keep the file's contents alive.
class JsonObject {
 public:
  /// The file must be one JSON object: valid UTF-8, no key twice, at most 64 levels deep. InputError.
  static JsonObject open(const std::filesystem::path& path);
  /// Nothing where there is no such file.
  static std::optional<JsonObject> find_file(const std::filesystem::path& path);
  /// The same for a text in memory; `name` stands for the path in messages.
  static JsonObject parse(std::string_view text, std::string name);

  const std::string& file() const;
  const nlohmann::json& json() const { return *json_; }

  /// nullptr where the key is absent or null.
  const nlohmann::json* find(const std::string& key) const;
  std::optional<std::string> text(const std::string& key) const;
  std::optional<bool> flag(const std::string& key) const;
  std::optional<double> number(const std::string& key) const;  // finite
  std::optional<std::uint64_t> count(const std::string& key) const;
  std::optional<JsonObject> object(const std::string& key) const;

  /// As `object`, for an element of a list within this object; `field` is how messages call it.
  JsonObject element(const nlohmann::json& value, std::string field) const;

  /// Throws InputError("FILE: FIELD: WHAT"), harmless to print. `key` is within this object.
  [[noreturn]] void fail(std::string_view key, std::string_view what) const;

 private:
  struct Document;
  JsonObject(std::shared_ptr<const Document> document, const nlohmann::json& json, std::string field);
  std::string field_of(std::string_view key) const;

  std::shared_ptr<const Document> document_;
  const nlohmann::json* json_;
  std::string field_;  // "" for the whole file
};

}  // namespace bitnet::hf
