#include "reports/render.h"

#include <array>
#include <memory>
#include <vector>

#include "reports/aggregate.h"
#include "reports/atomic_file.h"
#include "reports/writers.h"

namespace crossval::reports {

Rendered render(const std::filesystem::path& results_jsonl, const std::filesystem::path& out_dir) {
  const Report report = aggregate(results_jsonl);
  struct Rendering {
    const char* name;
    void (*write)(const Report&, AtomicFile&);
  };
  static constexpr std::array<Rendering, 5> kRenderings{{{"report.json", write_json},
                                                         {"junit.xml", write_junit},
                                                         {"summary.md", write_markdown},
                                                         {"results.sarif", write_sarif},
                                                         {"index.html", write_html}}};
  std::vector<std::unique_ptr<AtomicFile>> files;
  for (const Rendering& rendering : kRenderings) {
    files.push_back(std::make_unique<AtomicFile>(out_dir / rendering.name));
    rendering.write(report, *files.back());
    files.back()->close();
  }
  for (const auto& file : files) file->commit();

  Rendered rendered;
  rendered.verdict = to_string(report.verdict);
  rendered.exit_code = report.exit_code;
  rendered.headline = report.headline;
  rendered.claim = report.claim;
  rendered.cases_pass = report.counts.pass;
  rendered.cases_fail = report.counts.fail;
  rendered.cases_incomparable = report.counts.incomparable;
  rendered.cases_invalid = report.counts.invalid;
  rendered.planned = report.planned;
  rendered.made = report.made;
  rendered.skipped = report.skipped;
  rendered.finished = report.finished;
  rendered.notes = report.notes;
  return rendered;
}

}  // namespace crossval::reports
