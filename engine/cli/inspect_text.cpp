// The report of `bitnet inspect` for people.

#include <algorithm>
#include <iomanip>
#include <sstream>

#include "engine/cli/inspect.h"
#include "engine/gguf/printable.h"

namespace bitnet {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxValue = 100;

// Text of a field; already printable text (that which has a twin) stays as it is.
std::string text_of(const Json& object, const std::string& field) {
  const std::string text = object.at(field).get<std::string>();
  return object.contains(field + "_b64") ? text : gguf::printable(text);
}

std::string limited(const std::string& printable_text) {
  if (printable_text.size() <= kMaxValue) return printable_text;
  std::size_t end = kMaxValue;
  while (end > 0 && (static_cast<unsigned char>(printable_text[end]) & 0xc0) == 0x80) --end;
  return printable_text.substr(0, end) + "...";
}

// 1234567 as 1,234,567.
std::string grouped(std::uint64_t n) {
  std::string digits = std::to_string(n);
  for (std::size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

std::string scalar(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  return value.dump();
}

std::string value_text(const Json& kv) {
  if (kv.at("type") == "array") {
    std::string head;
    for (const Json& element : kv.at("head")) head += (head.empty() ? "" : ", ") + limited(scalar(element));
    const auto count = kv.at("count").get<std::uint64_t>();
    if (count > kv.at("head").size()) head += ", ...";
    return "[" + head + "] (" + grouped(count) + " of " + kv.at("element_type").get<std::string>() + ")";
  }
  if (kv.at("type") == "string") return "\"" + limited(text_of(kv, "value")) + "\"";
  return scalar(kv.at("value"));
}

std::string shape_text(const Json& shape) {
  std::string text;
  for (const Json& n : shape) text += (text.empty() ? "" : " x ") + std::to_string(n.get<std::uint64_t>());
  return text;
}

std::string percent(std::uint64_t part, std::uint64_t whole) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(2)
      << (whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole)) << " %";
  return out.str();
}

void put_keys(std::ostream& out, const Json& report) {
  out << "\nkeys\n";
  for (const Json& kv : report.at("keys"))
    out << "  " << text_of(kv, "key") << " (" << kv.at("type").get<std::string>() << ") = " << value_text(kv)
        << "\n";
}

void put_tensors(std::ostream& out, const Json& report) {
  std::size_t width = 0;
  for (const Json& t : report.at("tensors")) width = std::max(width, text_of(t, "name").size());
  out << "\ntensors\n";
  for (const Json& t : report.at("tensors")) {
    out << "  " << std::left << std::setw(static_cast<int>(width)) << text_of(t, "name") << "  "
        << std::setw(5) << t.at("type").get<std::string>() << "  " << std::setw(16)
        << shape_text(t.at("shape")) << std::right << std::setw(14)
        << grouped(t.at("bytes").get<std::uint64_t>()) << " bytes";
    if (t.contains("scale")) out << "  scale " << scalar(t.at("scale"));
    out << "\n";
  }
}

void put_totals(std::ostream& out, const Json& report) {
  out << "\ntypes\n";
  for (const Json& t : report.at("types"))
    out << "  " << std::left << std::setw(6) << t.at("type").get<std::string>() << std::right << std::setw(5)
        << t.at("tensors").get<std::uint64_t>() << " tensors, "
        << grouped(t.at("elements").get<std::uint64_t>()) << " elements, "
        << grouped(t.at("bytes").get<std::uint64_t>()) << " bytes\n";
  if (!report.contains("ternary")) return;
  const Json& t = report.at("ternary");
  const auto weights = t.at("weights").get<std::uint64_t>();
  out << "\nternary weights: " << grouped(weights) << " in " << t.at("tensors").get<std::uint64_t>()
      << " tensors, scales " << scalar(t.at("scale_min")) << " to " << scalar(t.at("scale_max")) << "\n";
  if (!t.contains("minus")) return;
  out << "  -1 " << percent(t.at("minus").get<std::uint64_t>(), weights) << ", 0 "
      << percent(t.at("zero").get<std::uint64_t>(), weights) << ", +1 "
      << percent(t.at("plus").get<std::uint64_t>(), weights);
  if (const auto invalid = t.at("invalid").get<std::uint64_t>(); invalid > 0)
    out << ", INVALID " << grouped(invalid);
  out << "\n";
}

void put_checks(std::ostream& out, const Json& report) {
  out << "\nchecks\n";
  for (const Json& c : report.at("checks"))
    out << "  " << (c.at("ok").get<bool>() ? "ok    " : "FAILED") << "  " << c.at("name").get<std::string>()
        << ": " << c.at("message").get<std::string>() << "\n";
}

void put_compatibility(std::ostream& out, const Json& report) {
  out << "\ncompatibility\n";
  for (const Json& c : report.at("compatibility")) {
    out << "  " << c.at("program").get<std::string>()
        << (c.at("loads").get<bool>() ? " loads this" : " does not load this");
    const char* separator = ": ";
    for (const Json& reason : c.at("because")) {
      out << separator << reason.get<std::string>();
      separator = "; ";
    }
    out << "\n";
    for (const Json& remark : c.at("remarks")) out << "    note: " << remark.get<std::string>() << "\n";
  }
}

}  // namespace

std::string inspect_text(const Json& report) {
  std::ostringstream out;
  out << text_of(report, "file") << ": GGUF version " << report.at("version").get<std::uint32_t>() << ", "
      << grouped(report.at("file_bytes").get<std::uint64_t>()) << " bytes, data from byte "
      << grouped(report.at("data_offset").get<std::uint64_t>()) << " in steps of "
      << report.at("alignment").get<std::uint64_t>() << "\n";
  put_keys(out, report);
  put_tensors(out, report);
  put_totals(out, report);
  if (report.contains("i2s_layout")) {
    const Json& found = report.at("i2s_layout");
    out << "\nlayout of I2_S: "
        << (found.at("layout").is_null() ? "x86, not determined" : found.at("layout").get<std::string>())
        << " (" << found.at("because").get<std::string>() << ")\n";
  }
  put_checks(out, report);
  put_compatibility(out, report);
  if (report.contains("repeated_input")) {
    const Json& r = report.at("repeated_input");
    out << "\narg max repeats its input token in " << r.at("repeats").get<std::int64_t>() << " of "
        << r.at("steps").get<std::int64_t>() << " greedy steps ("
        << percent(r.at("repeats").get<std::uint64_t>(), r.at("steps").get<std::uint64_t>()) << ")\n";
  }
  return out.str();
}

}  // namespace bitnet
