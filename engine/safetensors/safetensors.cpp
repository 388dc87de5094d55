#include "engine/safetensors/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <unordered_set>

#include "engine/error.h"
#include "engine/gguf/mapping.h"
#include "engine/gguf/printable.h"

namespace bitnet {
namespace {

using gguf::printable;

static_assert(std::endian::native == std::endian::little, "safetensors holds little-endian values");

constexpr const char* kAgain = "; the file is damaged: copy or write it again";
// The limit of the safetensors library.
constexpr std::uint64_t kMaxHeader = 100'000'000;
constexpr std::size_t kMaxDimensions = 8;

// Of the numbers that the format knows; those that it packs below a byte are not.
struct TypeRow {
  Safetensors::Type type;
  std::string_view name;
  std::uint64_t bytes;
};
using Type = Safetensors::Type;
constexpr TypeRow kTypes[] = {
    {Type::boolean, "BOOL", 1},    {Type::u8, "U8", 1},           {Type::i8, "I8", 1},
    {Type::f8_e4m3, "F8_E4M3", 1}, {Type::f8_e5m2, "F8_E5M2", 1}, {Type::u16, "U16", 2},
    {Type::i16, "I16", 2},         {Type::f16, "F16", 2},         {Type::bf16, "BF16", 2},
    {Type::u32, "U32", 4},         {Type::i32, "I32", 4},         {Type::f32, "F32", 4},
    {Type::u64, "U64", 8},         {Type::i64, "I64", 8},         {Type::f64, "F64", 8},
};

// What the header says of one tensor.
struct Stated {
  std::string name;
  std::optional<std::string> dtype;
  std::optional<std::vector<std::uint64_t>> shape;
  std::optional<std::vector<std::uint64_t>> offsets;
};

// The header, taken as it is parsed, because a parsed object would have lost its duplicate names.
class HeaderReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderReader(const Safetensors& file, std::map<std::string, std::string, std::less<>>& metadata)
      : file_(file), metadata_(metadata) {}

  std::vector<Stated> tensors;

  bool null() override { return stray("null"); }
  bool boolean(bool) override { return stray("a boolean"); }
  bool number_integer(number_integer_t) override { return stray("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { return stray("a fraction"); }
  bool binary(binary_t&) override { return stray("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (!list_) return stray("a number");
    const std::size_t limit = in_shape_ ? kMaxDimensions : 2;
    if (list_->size() == limit) fail("has more than " + std::to_string(limit) + " numbers");
    list_->push_back(value);
    return true;
  }

  bool string(string_t& value) override {
    if (depth_ == 2 && in_metadata_)
      metadata_[key_] = std::move(value);
    else if (depth_ == 2 && key_ == "dtype")
      tensors.back().dtype = std::move(value);
    else
      return stray("a text");
    return true;
  }

  bool start_object(std::size_t) override {
    if (list_ || depth_ > 1) return stray("an object");
    if (depth_ == 1) {
      in_metadata_ = name_ == "__metadata__";
      if (!in_metadata_) tensors.push_back({.name = name_});
      keys_.clear();
      key_.clear();
    }
    ++depth_;
    return true;
  }
  bool end_object() override {
    if (--depth_ == 1) key_.clear();
    return true;
  }

  bool key(string_t& value) override {
    if (depth_ == 1) {
      name_ = std::move(value);
      if (!names_.insert(name_).second) fail("stands twice in the header");
      return true;
    }
    key_ = std::move(value);
    if (!keys_.insert(key_).second) fail("stands twice");
    if (!in_metadata_ && key_ != "dtype" && key_ != "shape" && key_ != "data_offsets")
      fail("is no key of a tensor; there are dtype, shape, data_offsets");
    return true;
  }

  bool start_array(std::size_t) override {
    if (list_ || depth_ != 2 || in_metadata_ || key_ == "dtype") return stray("a list");
    in_shape_ = key_ == "shape";
    list_ = &(in_shape_ ? tensors.back().shape : tensors.back().offsets).emplace();
    return true;
  }
  bool end_array() override {
    list_ = nullptr;
    return true;
  }

  bool parse_error(std::size_t at, const std::string&, const nlohmann::json::exception&) override {
    file_.fail("header", "is no JSON at its byte " + std::to_string(at) + kAgain);
  }

 private:
  bool stray(const char* what) { fail(std::string("is ") + what + ", which cannot stand here"); }
  [[noreturn]] void fail(const std::string& what) {
    std::string field = depth_ == 0 ? "header" : name_;
    if (!key_.empty()) field += " " + key_;
    file_.fail(field, what + kAgain);
  }

  const Safetensors& file_;
  std::map<std::string, std::string, std::less<>>& metadata_;
  int depth_ = 0;
  bool in_metadata_ = false, in_shape_ = false;
  std::string name_, key_;
  std::unordered_set<std::string> names_;
  std::set<std::string> keys_;
  std::vector<std::uint64_t>* list_ = nullptr;
};

}  // namespace

struct Safetensors::Map {
  explicit Map(const std::filesystem::path& path) : mapping(path) {}
  gguf::Mapping mapping;
};

Safetensors::Safetensors(std::string name) : name_(std::move(name)) {}
Safetensors::Safetensors(Safetensors&&) noexcept = default;
Safetensors& Safetensors::operator=(Safetensors&&) noexcept = default;
Safetensors::~Safetensors() = default;

void Safetensors::fail(std::string_view field, std::string_view what) const {
  throw InputError(gguf::printable_message(name_) + ": " + printable(field, 200) + ": " +
                   gguf::printable_message(what));
}

std::uint64_t Safetensors::Tensor::elements() const {
  std::uint64_t n = 1;
  for (const std::uint64_t d : shape) n *= d;  // fits: the reader has multiplied it too
  return n;
}

std::string_view Safetensors::type_name(Type type) {
  return std::ranges::find(kTypes, type, &TypeRow::type)->name;
}

Safetensors Safetensors::open(const std::filesystem::path& path) {
  Safetensors file(path.string());
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) file.fail("file", "is a directory; give the file itself");
  file.map_ = std::make_unique<Map>(path);
  file.read(file.map_->mapping.bytes());
  return file;
}

Safetensors Safetensors::parse(std::span<const std::byte> bytes, std::string name) {
  Safetensors file(std::move(name));
  file.read(bytes);
  return file;
}

void Safetensors::read(std::span<const std::byte> bytes) {
  std::uint64_t length = 0;
  if (bytes.size() < sizeof length)
    fail("header length", "the file ends within it; is this a safetensors file?");
  std::memcpy(&length, bytes.data(), sizeof length);
  bytes = bytes.subspan(sizeof length);
  if (length > kMaxHeader)
    fail("header length", "is " + std::to_string(length) + ", more than " + std::to_string(kMaxHeader) +
                              "; is this a safetensors file?");
  if (length > bytes.size())
    fail("header length", "is " + std::to_string(length) + ", but only " + std::to_string(bytes.size()) +
                              " bytes follow" + kAgain);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(length));
  if (!text.starts_with('{')) fail("header", "does not begin with {; is this a safetensors file?");
  const std::span<const std::byte> data = bytes.subspan(static_cast<std::size_t>(length));

  HeaderReader header(*this, metadata_);
  nlohmann::json::sax_parse(text, &header);
  tensors_.reserve(header.tensors.size());
  std::vector<std::pair<std::uint64_t, std::uint64_t>> places;
  std::vector<std::size_t> order;
  std::vector<Type> types;
  for (Stated& t : header.tensors) {
    const auto lacks = [&](const char* key) { fail(t.name, std::string("has no ") + key + kAgain); };
    if (!t.dtype) lacks("dtype");
    if (!t.shape) lacks("shape");
    if (!t.offsets || t.offsets->size() != 2) lacks("data_offsets of two numbers");
    const TypeRow* type = std::ranges::find(kTypes, *t.dtype, &TypeRow::name);
    if (type == std::end(kTypes))
      fail(t.name, "is of type `" + printable(*t.dtype, 40) + "`, which is unknown; write it as F32 or BF16");
    std::uint64_t size = type->bytes;
    for (const std::uint64_t n : *t.shape)
      if (__builtin_mul_overflow(size, n, &size))
        fail(t.name, std::string("its shape is too large") + kAgain);
    const std::uint64_t begin = (*t.offsets)[0], end = (*t.offsets)[1];
    if (begin > end || end > data.size())
      fail(t.name, "its data_offsets " + std::to_string(begin) + " to " + std::to_string(end) +
                       " are not within the " + std::to_string(data.size()) + " bytes of data" + kAgain);
    if (end - begin != size)
      fail(t.name, "its shape needs " + std::to_string(size) + " bytes, its data_offsets give " +
                       std::to_string(end - begin) + kAgain);
    order.push_back(places.size());
    places.emplace_back(begin, end);
    types.push_back(type->type);
  }
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return places[i]; });
  std::uint64_t at = 0;
  for (const std::size_t i : order) {
    Stated& t = header.tensors[i];
    const auto [begin, end] = places[i];
    if (begin != at)
      fail(t.name, (begin < at ? "overlaps the tensor before it, which ends at "
                               : "leaves a gap behind the tensor before it, which ends at ") +
                       std::to_string(at) + kAgain);
    at = end;
    tensors_.push_back({.name = std::move(t.name),
                        .type = types[i],
                        .shape = std::move(*t.shape),
                        .data = data.subspan(begin, end - begin)});
  }
  if (at != data.size())
    fail("data", std::to_string(data.size() - at) + " bytes at the end belong to no tensor" + kAgain);
}

}  // namespace bitnet
