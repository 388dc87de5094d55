#include "reports/testing/json_schema.h"

#include <set>
#include <stdexcept>

namespace crossval::reports::testing {
namespace {

using nlohmann::json;

class Checker {
 public:
  explicit Checker(const json& root) : root_(root) {}

  void check(const json& schema, const json& value, const std::string& at,
             std::vector<std::string>& errors) const {
    if (schema.is_boolean()) {
      if (!schema.get<bool>()) errors.push_back(at + ": is not allowed");
      return;
    }
    for (const auto& [keyword, rule] : schema.items())
      keyword_check(schema, keyword, rule, value, at, errors);
  }

 private:
  static std::string below(std::string at, const std::string& name) { return at.append("/").append(name); }

  bool conforms(const json& schema, const json& value) const {
    std::vector<std::string> errors;
    check(schema, value, "", errors);
    return errors.empty();
  }

  static bool has_type(const json& value, const std::string& type) {
    if (type == "object") return value.is_object();
    if (type == "array") return value.is_array();
    if (type == "string") return value.is_string();
    if (type == "number") return value.is_number();
    if (type == "integer") return value.is_number_integer();
    if (type == "boolean") return value.is_boolean();
    if (type == "null") return value.is_null();
    throw std::runtime_error("unknown type " + type);
  }

  void keyword_check(const json& schema, const std::string& keyword, const json& rule, const json& value,
                     const std::string& at, std::vector<std::string>& errors) const {
    static const std::set<std::string> kSilent = {"$schema", "$id",      "title", "description",
                                                  "$defs",   "examples", "then",  "else"};
    if (kSilent.count(keyword) > 0) return;
    const auto wrong = [&](const std::string& what) { errors.push_back(at + ": " + what); };
    if (keyword == "$ref") {
      const std::string reference = rule.get<std::string>();
      check(root_.at(json::json_pointer(reference.substr(1))), value, at, errors);
    } else if (keyword == "type") {
      bool any = false;
      for (const json& type : rule.is_array() ? rule : json::array({rule}))
        any = any || has_type(value, type.get<std::string>());
      if (!any) wrong("is no " + rule.dump() + ": " + value.dump().substr(0, 60));
    } else if (keyword == "const") {
      if (value != rule) wrong("is not " + rule.dump());
    } else if (keyword == "enum") {
      bool any = false;
      for (const json& option : rule) any = any || value == option;
      if (!any) wrong("is none of " + rule.dump() + ": " + value.dump().substr(0, 60));
    } else if (keyword == "required") {
      if (!value.is_object()) return;
      for (const json& name : rule) {
        if (!value.contains(name.get<std::string>())) wrong("lacks " + name.dump());
      }
    } else if (keyword == "properties") {
      if (!value.is_object()) return;
      for (const auto& [name, member] : rule.items()) {
        if (value.contains(name)) check(member, value[name], below(at, name), errors);
      }
    } else if (keyword == "additionalProperties") {
      if (!value.is_object()) return;
      for (const auto& [name, member] : value.items()) {
        if (!schema.contains("properties") || !schema["properties"].contains(name))
          check(rule, member, below(at, name), errors);
      }
    } else if (keyword == "items") {
      if (!value.is_array()) return;
      for (std::size_t i = 0; i < value.size(); ++i)
        check(rule, value[i], below(at, std::to_string(i)), errors);
    } else if (keyword == "minItems") {
      if (value.is_array() && value.size() < rule.get<std::size_t>()) wrong("has too few items");
    } else if (keyword == "maxItems") {
      if (value.is_array() && value.size() > rule.get<std::size_t>()) wrong("has too many items");
    } else if (keyword == "minimum") {
      if (value.is_number() && value.get<double>() < rule.get<double>()) wrong("is below " + rule.dump());
    } else if (keyword == "maximum") {
      if (value.is_number() && value.get<double>() > rule.get<double>()) wrong("is above " + rule.dump());
    } else if (keyword == "allOf") {
      for (const json& part : rule) check(part, value, at, errors);
    } else if (keyword == "anyOf" || keyword == "oneOf") {
      std::size_t matching = 0;
      for (const json& part : rule) matching += conforms(part, value) ? 1 : 0;
      if (matching == 0 || (keyword == "oneOf" && matching > 1)) {
        wrong("matches " + std::to_string(matching) + " of " + keyword);
      }
    } else if (keyword == "not") {
      if (conforms(rule, value)) wrong("matches what it must not");
    } else if (keyword == "if") {
      const char* branch = conforms(rule, value) ? "then" : "else";
      if (schema.contains(branch)) check(schema[branch], value, at, errors);
    } else {
      throw std::runtime_error("the check does not know the schema keyword " + keyword);
    }
  }

  const json& root_;
};

}  // namespace

std::vector<std::string> schema_errors(const json& schema, const json& document) {
  std::vector<std::string> errors;
  Checker(schema).check(schema, document, "", errors);
  return errors;
}

}  // namespace crossval::reports::testing
