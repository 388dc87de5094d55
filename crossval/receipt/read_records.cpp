#include "crossval/receipt/read_records.h"

#include "engine/error.h"
#include "reports/line_reader.h"
#include "reports/render.h"

namespace crossval {

using nlohmann::json;

void read_records(const std::filesystem::path& results, const RecordReader& reader) {
  try {
    reports::LineReader lines(results);
    const auto broken = [&](const std::string& what) {
      return bitnet::InputError(results.string() + ":" + std::to_string(lines.number()) + ": " + what +
                                "; this is no record of crossval, or it is damaged");
    };
    std::string_view line;
    const auto read = [&] {
      if (reader.line) reader.line(line);
      if (line.find("\"type\":\"comparison\"") != std::string_view::npos) {
        if (!reader.comparison) return;
        std::string error;
        bool malformed = false;
        const auto comparison = reports::parse_comparison(line, error, malformed);
        if (!comparison) throw broken(error);
        reader.comparison(*comparison, line);
      } else if (reader.other) {
        const json record = json::parse(line, nullptr, /*allow_exceptions=*/false);
        if (!record.is_object() || !record.value("type", json()).is_string())
          throw broken("the line is no object with a `type`");
        reader.other(record);
      }
    };
    while (lines.next(line)) {
      try {
        read();
      } catch (const json::exception& e) {
        throw broken(e.what());  // a field that is missing, or of another kind
      }
    }
  } catch (const reports::RecordError& e) {
    throw bitnet::InputError(e.what());
  }
}

}  // namespace crossval
