#pragma once
// One function per rendering. Each writes the whole document to `out` and throws what AtomicFile throws.

#include "reports/atomic_file.h"
#include "reports/report.h"

namespace crossval::reports {

/// Schema crossval.report/1, docs/reference/schema/report.schema.json.
void write_json(const Report& report, AtomicFile& out);
void write_junit(const Report& report, AtomicFile& out);
/// Stays below 1,024 KiB, the most that GitHub takes as a step summary.
void write_markdown(const Report& report, AtomicFile& out);
/// SARIF 2.1.0: a result for each operation that failed where the records say in which file it is computed.
void write_sarif(const Report& report, AtomicFile& out);
/// Stays below 5 MB, whatever the run.
void write_html(const Report& report, AtomicFile& out);

}  // namespace crossval::reports
