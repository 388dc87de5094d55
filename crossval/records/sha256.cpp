#include "crossval/records/sha256.h"

#include <openssl/evp.h>

#include <bit>
#include <fstream>
#include <memory>
#include <vector>

#include "engine/error.h"

namespace crossval {
namespace {

class Hash {
 public:
  Hash() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    if (!context_ || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1)
      throw bitnet::SystemError("SHA-256 is not available from the system's crypto library");
  }
  void add(const void* bytes, std::size_t n) { EVP_DigestUpdate(context_.get(), bytes, n); }
  Sha256 digest() {
    Sha256 bytes{};
    EVP_DigestFinal_ex(context_.get(), bytes.data(), nullptr);
    return bytes;
  }
  std::string hex() {
    std::string text;
    for (const std::uint8_t byte : digest()) {
      constexpr char kDigits[] = "0123456789abcdef";
      text += kDigits[byte >> 4];
      text += kDigits[byte & 15];
    }
    return text;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context_;
};

}  // namespace

std::string sha256_hex(std::string_view bytes) {
  Hash hash;
  hash.add(bytes.data(), bytes.size());
  return hash.hex();
}

Sha256 sha256_of(std::span<const float> row) {
  static_assert(std::endian::native == std::endian::little);
  Hash hash;
  hash.add(row.data(), row.size_bytes());
  return hash.digest();
}

std::string sha256_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw bitnet::InputError(path.string() + ": cannot be read");
  Hash hash;
  std::vector<char> buffer(std::size_t{1} << 20);
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || in.gcount() > 0)
    hash.add(buffer.data(), static_cast<std::size_t>(in.gcount()));
  if (in.bad()) throw bitnet::InputError(path.string() + ": cannot be read to its end");
  return hash.hex();
}

}  // namespace crossval
