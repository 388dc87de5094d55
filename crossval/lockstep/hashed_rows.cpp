#include "crossval/lockstep/hashed_rows.h"

#include <limits>

#include "crossval/errors.h"
#include "crossval/records/sha256.h"

namespace crossval {

bool same_by_hash(const Tensor& a, const Tensor& b, std::int64_t i) {
  const auto hash = [i](const Tensor& t) {
    return t.hashes.empty() ? sha256_of(t.row(i)) : t.hashes[static_cast<std::size_t>(i)];
  };
  return hash(a) == hash(b);
}

Measured measured_by_hash(bool same) {
  Measured m;
  m.kl = 0;
  if (same) return m;
  constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
  m.row = {.cosine = kUnknown,
           .nmse = kUnknown,
           .norm_ratio = kUnknown,
           .max_abs = kUnknown,
           .got = std::numeric_limits<float>::quiet_NaN(),
           .expected = std::numeric_limits<float>::quiet_NaN(),
           .cosine_trimmed = kUnknown,
           .bits = 1};
  m.kl = kUnknown;
  return m;
}

void judge_by_hash(bool same, Judgement& judgement) {
  if (same || !judgement.gate) return;
  judgement.pass = false;
  judgement.severity = std::numeric_limits<double>::infinity();
  judgement.excusable = false;
  judgement.why = "differs in some bit; the trace holds only the row's SHA-256, so by how much is not known";
}

void check_hashes(const Tensor& tensor) {
  if (tensor.hashes.empty()) return;
  for (std::int64_t i = 0; i < tensor.rows(); ++i)
    if (tensor.known(i) && sha256_of(tensor.row(i)) != tensor.hashes[static_cast<std::size_t>(i)])
      throw Invalid("tap " + bitnet::to_string(tensor.id) +
                    ": the trace's values and its SHA-256 of them contradict each other; copy or record it "
                    "again");
}

}  // namespace crossval
