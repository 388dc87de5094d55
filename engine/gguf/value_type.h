#pragma once
// The value types of GGUF keys: names, sizes.

#include <cstddef>
#include <string_view>

#include "engine/gguf/gguf.h"

namespace bitnet::gguf {

/// "u32", "string", ...
std::string_view value_type_name(ValueType type);

/// Bytes of a scalar; 0 for strings and arrays.
std::size_t value_type_bytes(ValueType type);

/// The type of a value.
ValueType value_type(const Value& value);

}  // namespace bitnet::gguf
