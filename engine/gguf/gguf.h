#pragma once
// GGUF v2 and v3: a mapped, fully validated, read-only file.
// Source: reference-semantics "GGUF container, keys, tensors"; the ggml project's gguf.md.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/formats/tensor_type.h"

namespace bitnet::gguf {

/// Type numbers as they stand in the file.
enum class ValueType : std::uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12
};

/// An array of strings or of scalars. Scalars stay as raw little-endian bytes in the mapped file (they may be
/// unaligned); `as<T>` copies them out.
struct Array {
  ValueType type{};
  std::uint64_t count = 0;
  std::span<const std::byte> bytes;       // scalars: count * size of type
  std::vector<std::string_view> strings;  // strings: count views into the map
  template <class T>
  std::vector<T> as() const;  // T must be the C++ type of `type`; throws InputError otherwise
};

using Value =
    std::variant<std::uint8_t, std::int8_t, std::uint16_t, std::int16_t, std::uint32_t, std::int32_t, float,
                 bool, std::string_view, Array, std::uint64_t, std::int64_t, double>;

/// One tensor: ne[0] is the row length (fastest dimension); unused dimensions are 1.
struct Tensor {
  std::string_view name;
  std::uint64_t ne[4] = {1, 1, 1, 1};
  int n_dims = 0;
  TensorType type{};
  std::uint32_t number = 0;         // of the type, as it stands in the file
  std::uint64_t offset = 0;         // relative to the data section
  std::span<const std::byte> data;  // exactly tensor_bytes(type, ne); aligned as the file says, maybe to 1
  std::uint64_t rows() const { return ne[1] * ne[2] * ne[3]; }
  std::uint64_t elements() const { return ne[0] * rows(); }
};

/// A GGUF file, mapped for as long as this object lives. Everything is validated by `open` before anything
/// is used: magic, version, counts, lengths, alignment, bounds, overlaps, duplicate names, known types.
/// Each failure is an InputError of one line: "FILE: FIELD: what is wrong; what to do".
class File {
 public:
  static File open(const std::filesystem::path& path);
  /// The same for bytes in memory (tests, fuzzing). `name` stands for the path in messages. Bytes must
  /// outlive the File.
  static File parse(std::span<const std::byte> bytes, std::string name);

  File(File&&) noexcept;
  File& operator=(File&&) noexcept;
  ~File();

  const std::string& name() const;  // the path as given
  std::uint32_t version() const;
  std::uint64_t alignment() const;
  std::uint64_t file_bytes() const;
  std::uint64_t data_offset() const;  // where the data section starts

  struct KeyValue {
    std::string_view key;
    Value value;
  };
  const std::vector<KeyValue>& key_values() const;  // file order
  const std::vector<Tensor>& tensors() const;       // file order

  const Value* find(std::string_view key) const;  // nullptr when absent
  const Tensor* find_tensor(std::string_view name) const;

  /// Typed look-ups. The type must match exactly, as in bitnet.cpp; another type is an InputError that names
  /// both. `require_*` throw when the key is absent.
  template <class T>
  std::optional<T> get(std::string_view key) const;
  template <class T>
  T require(std::string_view key) const;

  /// Throws InputError("FILE: FIELD: WHAT"), harmless to print: for those who find fault with a value of this
  /// file.
  [[noreturn]] void fail(std::string_view field, std::string_view what) const;

 private:
  struct Impl;
  explicit File(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitnet::gguf
