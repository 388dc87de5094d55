#pragma once
// From a record file to a Report, in one pass.

#include <filesystem>

#include "reports/report.h"

namespace crossval::reports {

/// Throws RecordError or OutputError (see render.h). Records of a type, and fields, that this build does not
/// know are passed over; a last line that was cut off is left out and noted.
Report aggregate(const std::filesystem::path& results_jsonl);

}  // namespace crossval::reports
