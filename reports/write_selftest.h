#pragma once
// The detection matrix of a selftest (crossval.selftest/1), rendered.

#include <nlohmann/json.hpp>
#include <string>

namespace crossval::reports {

/// For a step summary: what was missed first, then every fault.
std::string selftest_markdown(const nlohmann::json& selftest);
/// One offline page.
std::string selftest_html(const nlohmann::json& selftest);
/// "PASS: 118 of 118 faults detected, ...".
std::string selftest_headline(const nlohmann::json& selftest);

}  // namespace crossval::reports
