#pragma once
// Checks a document against a JSON Schema, for the part of the 2020-12 vocabulary that docs/reference/schema
// uses: $ref within the file, type, const, enum, required, properties, additionalProperties, items, minItems,
// maxItems, minimum, maximum, allOf, anyOf, oneOf, not, if/then/else.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace crossval::reports::testing {

/// What is wrong, each with its place in the document; empty where it conforms. Throws on a keyword that it
/// does not know, so that no part of a schema goes unchecked.
std::vector<std::string> schema_errors(const nlohmann::json& schema, const nlohmann::json& document);

}  // namespace crossval::reports::testing
