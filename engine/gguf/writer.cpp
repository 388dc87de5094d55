#include "engine/gguf/writer.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <optional>
#include <set>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "engine/error.h"
#include "engine/gguf/output_file.h"
#include "engine/gguf/printable.h"
#include "engine/gguf/value_type.h"

namespace bitnet::gguf {
namespace {

// The bytes of a header, in memory.
class Bytes {
 public:
  template <class T>
  requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  void put(T value) {
    static_assert(!std::is_same_v<T, bool>);
    raw(std::as_bytes(std::span(&value, 1)));
  }
  void string(std::string_view text) {
    put(static_cast<std::uint64_t>(text.size()));
    raw(std::as_bytes(std::span(text.data(), text.size())));
  }
  void raw(std::span<const std::byte> part) { bytes_.insert(bytes_.end(), part.begin(), part.end()); }
  const std::vector<std::byte>& get() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

void put_value(Bytes& out, std::uint32_t v) {
  out.put(ValueType::u32), out.put(v);
}
void put_value(Bytes& out, std::int32_t v) {
  out.put(ValueType::i32), out.put(v);
}
void put_value(Bytes& out, std::uint64_t v) {
  out.put(ValueType::u64), out.put(v);
}
void put_value(Bytes& out, std::int64_t v) {
  out.put(ValueType::i64), out.put(v);
}
void put_value(Bytes& out, std::uint8_t v) {
  out.put(ValueType::u8), out.put(v);
}
void put_value(Bytes& out, std::int8_t v) {
  out.put(ValueType::i8), out.put(v);
}
void put_value(Bytes& out, std::uint16_t v) {
  out.put(ValueType::u16), out.put(v);
}
void put_value(Bytes& out, std::int16_t v) {
  out.put(ValueType::i16), out.put(v);
}
void put_value(Bytes& out, float v) {
  out.put(ValueType::f32), out.put(v);
}
void put_value(Bytes& out, double v) {
  out.put(ValueType::f64), out.put(v);
}
void put_value(Bytes& out, bool v) {
  out.put(ValueType::boolean), out.put(static_cast<std::uint8_t>(v));
}
void put_value(Bytes& out, std::string_view v) {
  out.put(ValueType::string), out.string(v);
}
void put_value(Bytes& out, const std::string& v) {
  put_value(out, std::string_view(v));
}

void put_array_head(Bytes& out, ValueType type, std::uint64_t count) {
  out.put(ValueType::array);
  out.put(type);
  out.put(count);
}

void put_value(Bytes& out, const std::vector<std::string>& v) {
  put_array_head(out, ValueType::string, v.size());
  for (const auto& text : v) out.string(text);
}
template <class T>
void put_scalars(Bytes& out, ValueType type, const std::vector<T>& v) {
  put_array_head(out, type, v.size());
  out.raw(std::as_bytes(std::span(v)));
}
void put_value(Bytes& out, const std::vector<float>& v) {
  put_scalars(out, ValueType::f32, v);
}
void put_value(Bytes& out, const std::vector<std::int32_t>& v) {
  put_scalars(out, ValueType::i32, v);
}
void put_value(Bytes& out, const std::vector<std::uint32_t>& v) {
  put_scalars(out, ValueType::u32, v);
}
void put_value(Bytes& out, const Array& v) {
  put_array_head(out, v.type, v.count);
  if (v.type == ValueType::string)
    for (const auto text : v.strings) out.string(text);
  else
    out.raw(v.bytes);
}

constexpr std::string_view kAlignmentKey = "general.alignment";
constexpr std::uint32_t kDefaultAlignment = 32;

struct Declaration {
  std::string name;
  std::vector<std::uint64_t> ne;
  TensorType type{};
  std::uint64_t bytes = 0;
};

}  // namespace

struct Writer::Impl {
  std::string file;
  OutputFile out;
  std::uint64_t alignment;
  Bytes key_values;
  std::uint64_t n_kv = 0;
  std::set<std::string, std::less<>> names;  // of keys and, marked by a leading zero byte, of tensors
  std::vector<Declaration> tensors;
  bool begun = false;
  std::size_t current = 0;    // the tensor that `append` writes to
  std::uint64_t written = 0;  // bytes of it

  Impl(std::filesystem::path path, std::uint32_t align)
      : file(printable_message(path.string())), out(std::move(path)), alignment(align) {}

  void add_name(const std::string& name, const char* kind) {
    if (begun) throw std::logic_error("gguf::Writer: everything is declared before begin()");
    const std::string entry = (*kind == 't' ? std::string(1, '\0') : std::string()) + name;
    if (name.empty() || name.find('\0') != std::string::npos || !names.insert(entry).second)
      throw InputError(file + ": " + kind + " `" + printable(name, 100) +
                       "`: is empty, holds a zero byte or occurs twice; names must be unique");
  }

  template <class V>
  void add(const std::string& key, const V& value) {
    add_name(key, "key");
    key_values.string(key);
    put_value(key_values, value);
    ++n_kv;
  }

  void pad() {
    static constexpr std::byte kZeros[256] = {};
    std::uint64_t missing = (alignment - out.written() % alignment) % alignment;
    while (missing > 0) {
      const std::uint64_t n = std::min<std::uint64_t>(missing, sizeof kZeros);
      out.write({kZeros, static_cast<std::size_t>(n)});
      missing -= n;
    }
  }
};

Writer::Writer(std::filesystem::path path, std::uint32_t alignment) {
  if (!std::has_single_bit(alignment)) throw std::invalid_argument("GGUF alignment must be a power of two");
  impl_ = std::make_unique<Impl>(std::move(path), alignment);
  if (alignment != kDefaultAlignment) impl_->add(std::string(kAlignmentKey), alignment);
}

Writer::~Writer() = default;

void Writer::add(std::string key, WriteValue value) {
  std::visit([&](const auto& v) { impl_->add(key, v); }, value);
}

void Writer::add(const File::KeyValue& key_value) {
  std::visit([&](const auto& v) { impl_->add(std::string(key_value.key), v); }, key_value.value);
}

void Writer::add_tensor(std::string name, std::vector<std::uint64_t> ne, TensorType type) {
  impl_->add_name(name, "tensor");
  std::optional<std::uint64_t> rows = 1;
  bool valid = !ne.empty() && ne.size() <= 4 && ne[0] != 0;
  for (std::size_t d = 1; d < ne.size() && valid; ++d) {
    valid = ne[d] != 0 && *rows <= std::numeric_limits<std::int64_t>::max() / ne[d];
    *rows *= ne[d];
  }
  const auto bytes = valid ? tensor_bytes(type, ne[0], *rows) : std::nullopt;
  if (!bytes)
    throw InputError(impl_->file + ": tensor `" + printable(name, 100) + "`: this shape has no size in " +
                     std::string(type_name(type)) + "; choose another type");
  impl_->tensors.push_back({std::move(name), std::move(ne), type, *bytes});
}

void Writer::begin() {
  Impl& w = *impl_;
  if (std::exchange(w.begun, true)) throw std::logic_error("gguf::Writer: begin() twice");
  Bytes head;
  head.raw(std::as_bytes(std::span("GGUF", 4)));
  head.put(std::uint32_t{3});
  head.put(static_cast<std::uint64_t>(w.tensors.size()));
  head.put(w.n_kv);
  w.out.write(head.get());
  w.out.write(w.key_values.get());
  Bytes infos;
  std::uint64_t offset = 0;
  for (const Declaration& t : w.tensors) {
    infos.string(t.name);
    infos.put(static_cast<std::uint32_t>(t.ne.size()));
    for (const auto n : t.ne) infos.put(n);
    infos.put(file_number(t.type));
    infos.put(offset);
    offset += (t.bytes + w.alignment - 1) / w.alignment * w.alignment;
  }
  w.out.write(infos.get());
  w.pad();
}

void Writer::append(std::span<const std::byte> bytes) {
  Impl& w = *impl_;
  if (!w.begun) throw std::logic_error("gguf::Writer: append() before begin()");
  if (w.current == w.tensors.size() || bytes.size() > w.tensors[w.current].bytes - w.written)
    throw std::logic_error("gguf::Writer: more bytes than the tensor has");
  w.out.write(bytes);
  w.written += bytes.size();
  if (w.written < w.tensors[w.current].bytes) return;
  w.pad();
  ++w.current;
  w.written = 0;
}

void Writer::finish(const std::function<void(const std::filesystem::path&)>& verify) {
  Impl& w = *impl_;
  if (!w.begun || w.current != w.tensors.size())
    throw std::logic_error("gguf::Writer: finish() before every tensor was written");
  const std::filesystem::path& temporary = w.out.close();
  if (verify) verify(temporary);
  w.out.commit();
}

}  // namespace bitnet::gguf
