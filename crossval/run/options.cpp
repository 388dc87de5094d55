#include "crossval/run/options.h"

#include <algorithm>

#include "crossval/compare/gates.h"
#include "engine/error.h"

namespace crossval {
namespace {

template <class F>
void for_each_name(const std::string& list, F&& f) {
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t end = std::min(list.find(',', at), list.size());
    if (end > at) f(list.substr(at, end - at));
    at = end + 1;
  }
}

bool names(const std::string& pattern, TapId tap) {
  return matches_glob(pattern, bitnet::base_name(tap.tap)) || matches_glob(pattern, bitnet::to_string(tap));
}

}  // namespace

bool tap_selected(const std::string& list, TapId tap) {
  if (list == "all") return true;
  if (list == "none") return tap.tap == bitnet::Tap::result_output;
  bool found = false;
  for_each_name(list, [&](const std::string& name) { found = found || names(name, tap); });
  return found;
}

void check_tap_list(const std::string& list, const std::vector<TapId>& known) {
  if (list == "all" || list == "none") return;
  bool any = false;
  for_each_name(list, [&](const std::string& name) {
    any = true;
    if (std::none_of(known.begin(), known.end(), [&](TapId tap) { return names(name, tap); }))
      throw bitnet::InputError("--taps " + name.substr(0, 60) +
                               ": this model has no such tap; names are as in `l_out-0`, `Qcur#1`, `ffn_*`");
  });
  if (!any)
    throw bitnet::InputError("--taps: the list is empty; say all, none, or names separated by commas");
}

}  // namespace crossval
