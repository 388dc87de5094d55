#include "crossval/mistakes/mistake.h"

#include <algorithm>
#include <string>

#include "engine/error.h"

namespace crossval {

const std::vector<Mistake>& mistakes() {
  static const std::vector<Mistake> kAll = [] {
    std::vector<Mistake> all;
    for (std::vector<Mistake> (*some)() :
         {elementwise_mistakes, projection_mistakes, rope_mistakes, norm_mistakes, attention_mistakes,
          embedding_mistakes, variant_mistakes, number_mistakes})
      for (Mistake& m : some()) all.push_back(std::move(m));
    return all;
  }();
  return kAll;
}

const Mistake& mistake_named(std::string_view name) {
  const auto it = std::ranges::find(mistakes(), name, &Mistake::name);
  if (it != mistakes().end()) return *it;
  std::string known;
  for (const Mistake& m : mistakes()) known.append(known.empty() ? "" : ", ").append(m.name);
  throw bitnet::InputError("no mistake is called `" + std::string(name.substr(0, 60)) + "`; there are " +
                           known);
}

Remake evaluates_instead(const Workbench& bench,
                         std::function<bitnet::Operation(const bitnet::Operation&)> changed) {
  return [evaluate = bench.evaluate, changed = std::move(changed)](const Making& m, std::span<float> values) {
    const std::vector<float> other = evaluate(changed(m.operation));
    std::copy_n(other.begin(), std::min(other.size(), values.size()), values.begin());
  };
}

}  // namespace crossval
