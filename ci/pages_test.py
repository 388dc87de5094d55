#!/usr/bin/env python3
"""The report page in a headless Chromium: it opens, filters, sorts, links and can be used by keyboard and screen reader,
asks nothing of the network and logs no error. Reports are of real runs, of 2,000 made-up cases, and of hostile text.
usage: ci/pages_test.py --crossval FILE [--screenshots DIR] [unittest's options]"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from chromium import Chromium

ROOT = pathlib.Path(__file__).resolve().parent.parent
OPTIONS = None

HOSTILE = "</script><img src=x onerror=alert(1)>\"'`|&]]>\x1b[31m[a](http://b.example)\u202e\u2028# x<script>alert(2)</script>"

# (role, how it must be called) of what a screen reader's user looks for.
LANDMARKS = [("heading", "FAIL"), ("navigation", "Parts of the report"), ("link", "Skip to the report"),
             ("combobox", "Tap"), ("combobox", "Figure"), ("searchbox", "Filter failures"), ("searchbox", "Filter cases"),
             ("combobox", "Verdict"), ("table", "Failing comparisons"), ("table", "Cases"),
             ("grid", "Local, all taps, 1 − cosine, layers by steps"),
             ("grid", "Free-running, all taps, 1 − cosine, operations by layers")]
NAMED_ROLES = {"link", "button", "searchbox", "textbox", "combobox", "grid", "table", "region", "navigation", "heading",
               "image", "img", "columnheader", "main", "banner"} - {"main", "banner"}

# The lowest contrast between text and what is behind it, and where.
CONTRAST = """(() => {
  const channels = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
      .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  let worst = [100, ''];
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
    const box = e.getBoundingClientRect();
    const style = getComputedStyle(e);
    if (box.width < 2 || box.height < 2 || style.visibility === 'hidden' || e.closest('script, style, [hidden], option')) continue;
    if (style.fontSize === '0px' || style.position === 'absolute') continue;
    let behind = e;
    while (behind && (channels(getComputedStyle(behind).backgroundColor)[3] === 0)) behind = behind.parentElement;
    const back = behind ? channels(getComputedStyle(behind).backgroundColor) : [255, 255, 255];
    const ink = channels(e.namespaceURI.endsWith('svg') ? style.fill : style.color);
    const [low, high] = [luminance(ink), luminance(back)].sort((a, b) => a - b);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < worst[0]) worst = [ratio, e.tagName + '.' + e.getAttribute('class') + ' ' + e.textContent.trim().slice(0, 40)];
  }
  return worst;
})()"""


def records(cases, layers=6, steps=3, failing_every=8, text=""):
    """A made-up run of many cases, as crossval would record it; each `failing_every`-th goes wrong in ffn_act-2."""
    taps = ["attn_norm", "Qcur#1", "kq", "attn_out", "ffn_act", "ffn_down", "l_out"]
    model = {"path": "model.gguf", "sha256": "0" * 64, "arch": "bitnet", "name": "made up" + text, "n_layer": layers,
             "n_embd": 256, "n_vocab": 1024, "warnings": []}
    side = {"name": "engine" + text, "version": "1", "build": "Release", "isa": "avx2", "details": {"note": "n" + text}}
    yield {"type": "run", "schema": "crossval.results/1", "time": "2026-01-01T00:00:00Z",
           "claim": "made up for a test of the page", "crossval": {"version": "1", "build": "x", "compiler": "x"},
           "model": model, "reference_model": None, "suite": {"path": "s.json", "sha256": "1" * 64, "cases": cases},
           "gates": {"sha256": "2" * 64, "source": "default", "list": [
               {"name": "local.cosine", "mode": "local", "metric": "cosine", "taps": ["*"], "except": [],
                "threshold": 0.99999, "limit": ">= 0.99999", "min_compared": 1, "source": "default"}]},
           "candidate": side, "reference": dict(side, name="emulator"), "arbiter": None, "tokens_from": "reference",
           "reference_batch": 1, "shard": {"index": 0, "count": 1}, "host": {"cpu": "x", "cores": 2, "os": "x"},
           "taps": [t.split("#")[0] + f"-{n}" + ("#1" if "#" in t else "") for n in range(layers) for t in taps],
           "skipped_taps": [], "reproduce": "crossval run --model model.gguf --prompts s.json"}
    ids = [f"question-{i:04d}{text}" for i in range(cases)]
    yield {"type": "plan", "cases": ids}
    made = failed = failing_cases = flips = 0
    for i, name in enumerate(ids):
        wrong = i % failing_every == 3
        failing_cases += wrong
        made_before, failed_before = made, failed
        for step in range(steps):
            bad_step = wrong and step > 0
            for layer in range(layers):
                for tap in taps:
                    for mode in ("local", "free"):
                        bad = bad_step and (layer == 2 and tap == "ffn_act" if mode == "local" else layer > 2)
                        error = 0.2 if bad else (i * 37 + step * 11 + layer * 5) % 97 * (1e-13 if mode == "local" else 1e-8)
                        record = {"type": "comparison", "case": name, "step": step,
                                  "tap": tap.split("#")[0] + f"-{layer}" + ("#1" if "#" in tap else ""), "mode": mode,
                                  "row": 0, "rows": 1, "cosine": 1 - error, "nmse": 2 * error, "norm_ratio": 1 + error / 9,
                                  "max_abs": error, "at": [0, 117], "got": 1.5 if bad else 0.25, "expected": 0.25,
                                  "bits": 9 if error else 0, "count": 256, "gate": mode + ".cosine",
                                  "verdict": "FAIL" if bad else "PASS"}
                        if bad:
                            record["why"] = "cosine 0.8 < 0.999" + text
                        made += 1
                        failed += bad
                        yield record
            logits = (i * 13 % 89 + 1) * 1e-6
            record = {"type": "comparison", "case": name, "step": step, "tap": "result_output", "mode": "free", "row": 0,
                      "rows": 1, "cosine": 1.0, "nmse": 0.0, "norm_ratio": 1.0, "max_abs": logits, "at": [0, 3], "got": 1.0,
                      "expected": 1.0, "bits": 0, "count": 1024, "gate": "free.cosine", "verdict": "PASS",
                      "margin": 10 ** (i % 40 / 10 - 3), "kl": 0.0, "top1": True, "topk": 1.0}
            made += 1
            yield record
            flip = wrong and step == 2
            flips += flip
            yield {"type": "tokens", "case": name, "step": step, "fed": [5], "candidate": 9 if flip else 5, "reference": 5,
                   "margin": record["margin"], "verdict": "FAIL" if flip else "PASS"}
        yield {"type": "case", "id": name, "verdict": "FAIL" if wrong else "PASS",
               "prompt": f"Q: What is the answer to question {i}, put at some length?\nA:" + text,
               "answer": f" It is {i * 7}." + text, "tokens": [5] * steps,
               "expect": {"kind": "contains", "want": str(i * 7) + text, "met": True},
               "flips": {"explained": 0, "unexplained": int(wrong and steps > 2)}, "planned": made - made_before,
               "comparisons": made - made_before, "skipped": 0, "failed": failed - failed_before,
               "first_failure": {"step": 1, "tap": "ffn_act-2", "mode": "local"} if wrong else None}
    yield {"type": "summary", "planned": made, "made": made, "skipped": 0, "verdict": "FAIL" if failed else "PASS",
           "exit": 1 if failed else 0, "headline": "made up" + text, "failed": failed,
           "flips": {"explained": 0, "unexplained": flips}, "answers_wrong": 0,
           "cases": {"pass": cases - failing_cases, "fail": failing_cases, "incomparable": 0, "invalid": 0},
           "self_noise": {}, "logit_noise": 1e-5, "quadrant": "candidate wrong" if failed else "agree",
           "first_failure": {"case": ids[3], "step": 1, "tap": "ffn_act-2", "mode": "local"} if failed else None}


def made_up(folder, **shape):
    folder.mkdir()
    with open(folder / "results.jsonl", "w") as out:
        for record in records(**shape):
            out.write(json.dumps(record) + "\n")
    command = subprocess.run([OPTIONS.crossval, "render", str(folder)], capture_output=True, text=True)
    assert command.returncode == 1, command.stdout + command.stderr
    return folder / "index.html"


def real(folder, *flags, expected):
    command = subprocess.run([OPTIONS.crossval, "run", "--model", "fixtures/model/bundled.gguf", "--prompts",
                              "fixtures/suites/qa.json", "--quiet", "--out", str(folder), *flags],
                             cwd=ROOT, capture_output=True, text=True)
    assert command.returncode == expected, command.stdout + command.stderr
    return folder / "index.html"


class PageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="crossval-pages-")
        cls.addClassCleanup(cls.scratch.cleanup)
        folder = pathlib.Path(cls.scratch.name)
        cls.passing = real(folder / "pass", expected=0)
        cls.failing = real(folder / "fail", "--inject", "silu-for-relu2", expected=1)
        cls.many = made_up(folder / "many", cases=2000)
        cls.hostile = made_up(folder / "hostile", cases=12, text=HOSTILE)
        cls.browser = cls.enterClassContext(Chromium())

    def open(self, page, fragment="", **how):
        url = page.as_uri() + fragment
        self.browser.open(url, **how)
        return url

    def check_quiet(self, page):
        """The page asked for itself alone, and nothing in it complained."""
        self.assertEqual(self.browser.requests, [page.as_uri()])
        self.assertEqual(self.browser.problems, [])
        self.assertEqual(self.browser.dialogs, [])

    def shown(self, rows):
        return self.browser.run(f"[...document.querySelectorAll('#{rows} tr')].filter((r) => !r.hidden).map((r) => r.textContent)")

    def type_into(self, field, text):
        self.browser.run(f"document.getElementById('{field}').focus()")
        self.browser.run(f"document.getElementById('{field}').select()")
        self.browser.call("Input.insertText", text=text)

    def test_opens_quietly_at_any_width_in_either_scheme(self):
        for page, verdict in [(self.passing, "PASS"), (self.failing, "FAIL"), (self.many, "FAIL"), (self.hostile, "FAIL")]:
            for width in (1280, 400):
                for dark in (False, True):
                    with self.subTest(page=page.parent.name, width=width, dark=dark):
                        self.open(page, width=width, dark=dark)
                        self.check_quiet(page)
                        run = self.browser.run
                        self.assertEqual(run("document.querySelector('h1').textContent"), verdict)
                        # The claim stands first, then the verdict; all of it without scrolling.
                        top = run("['.claim', 'h1', '.headline'].map((s) => document.querySelector(s).getBoundingClientRect().top)")
                        self.assertEqual(top, sorted(top))
                        self.assertLess(top[-1], 300)
                        self.assertEqual(run("document.querySelectorAll('[role=grid]').length"), 4)
                        self.assertGreater(run("document.querySelectorAll('#layers-plot polyline').length"), 1)
                        self.assertGreater(run("document.querySelectorAll('#margin-plot .bin').length"), 0)
                        self.assertLessEqual(run("document.documentElement.scrollWidth"), width, "nothing sticks out")
                        ratio, where = run(CONTRAST)
                        self.assertGreaterEqual(ratio, 4.5, where)
                        lightness = run("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]")
                        (self.assertLess if dark else self.assertGreater)(lightness, 128)

    def test_a_failing_case_has_coordinates_both_values_and_its_command(self):
        self.open(self.failing)
        row = self.browser.run("[...document.querySelector('#failure-rows tr').cells].map((c) => c.textContent)")
        self.assertEqual(row[0], "capital-france")
        self.assertEqual(row[2:4], ["ffn_act-0", "local"])
        self.assertRegex(row[5], r"^\[\d+, \d+\]$")
        self.assertNotEqual(float(row[6]), float(row[7]))
        self.assertIn("crossval run --model fixtures/model/bundled.gguf", row[11])
        self.assertIn("--filter capital-france", row[11])
        self.assertIn("ffn_act-0", self.browser.run("document.getElementById('first-failure-title').textContent"))
        self.assertRegex(self.browser.run("document.getElementById('first-failure').textContent"),
                         r"engine/kernels/\w+/elementwise\.cpp:\d+")
        # Only the guilty operation is red in the local map; both maps name its failures.
        red = "[...document.querySelectorAll('[role=grid][aria-label^=\"%s\"][aria-label$=\"by layers\"] tbody tr')]" \
              ".filter((r) => r.querySelector('.failed')).map((r) => r.querySelector('th').textContent)"
        self.assertEqual(self.browser.run(red % "Local"), ["ffn_act"])
        self.assertIn("result_output", self.browser.run(red % "Free"))
        environment = self.browser.run("document.getElementById('environment').textContent")
        for word in ("Candidate", "Reference", "engine", "emulator"):
            self.assertIn(word, environment)

    def test_filters(self):
        self.open(self.failing)
        everything = self.shown("failure-rows")
        self.type_into("failure-filter", "FFN_ACT-1 local")
        some = self.shown("failure-rows")
        self.assertEqual(some, [r for r in everything if "ffn_act-1" in r and "local" in r])
        self.assertTrue(0 < len(some) < len(everything))
        self.assertEqual(self.browser.run("document.getElementById('failure-count').textContent"),
                         f"{len(some)} of {len(everything)} failures")
        self.open(self.many)
        self.assertEqual(len(self.shown("case-rows")), 2000)
        self.browser.run("(() => { const s = document.getElementById('case-state'); s.value = 'FAIL';"
                         "s.dispatchEvent(new Event('change')); })()")
        self.assertEqual(len(self.shown("case-rows")), 250)
        self.type_into("case-filter", "question-12")
        self.assertEqual(len(self.shown("case-rows")), len([i for i in range(1200, 1300) if i % 8 == 3]))
        self.check_quiet(self.many)

    def test_sorts(self):
        self.open(self.failing)
        column = "[...document.querySelectorAll('#failure-rows tr')].map((r) => Number(r.cells[%d].dataset.v))"
        head = "[...document.querySelectorAll('#failures thead th')][%d]"
        before = self.browser.run(column % 9)
        orders = []
        for _ in range(3):
            self.browser.run((head % 9) + ".querySelector('button').click()")
            orders.append((self.browser.run((head % 9) + ".getAttribute('aria-sort')"), self.browser.run(column % 9)))
        self.assertEqual(orders, [("descending", sorted(before, reverse=True)), ("ascending", sorted(before)), ("none", before)])
        self.assertNotEqual(before, sorted(before))

    def test_links_lead_to_what_was_seen(self):
        self.open(self.many, "#case=question-1003")
        row = "(() => { const b = document.getElementById('case=question-1003').getBoundingClientRect(); return [b.top, b.bottom]; })()"
        top, bottom = self.browser.run(row)
        self.assertTrue(60 < top < bottom < 900, (top, bottom))
        self.assertTrue(self.browser.run("document.getElementById('case=question-1003').matches('.here')"))
        # What is chosen goes into the address, and the address brings it back.
        self.type_into("case-filter", "question-00")
        self.browser.run("[...document.querySelectorAll('#cases thead th button')].find((b) => b.textContent === 'Failed').click()")
        self.browser.run("(() => { const s = document.getElementById('tap-select'); s.value = 'ffn_act';"
                         "s.dispatchEvent(new Event('change')); })()")
        seen = self.shown("case-rows")
        fragment = self.browser.run("location.hash")
        self.assertEqual(fragment, "#sort-cases=Failed%20descending&cases=question-00&tap=ffn_act")
        self.open(self.many, fragment)
        self.assertEqual(self.shown("case-rows"), seen)
        self.assertEqual(len(seen), 100)
        self.assertEqual(self.browser.run("document.querySelector('[role=grid]').getAttribute('aria-label')"),
                         "Local, ffn_act, 1 − cosine, layers by steps")
        # A link to a case that the filter hides shows it nevertheless.
        self.browser.run("location.hash = '#case=question-1003'")
        self.browser.run("new Promise((done) => setTimeout(done, 100))")
        self.assertFalse(self.browser.run("document.getElementById('case=question-1003').hidden"))
        self.open(self.many, "#tap=nonsense&verdict=nonsense&sort-cases=nonsense&case=%")
        self.assertEqual(len(self.shown("case-rows")), 2000)
        self.assertEqual(self.browser.problems, [])

    def test_keyboard(self):
        self.open(self.failing)
        focused = "document.activeElement.textContent"
        self.browser.key("Tab")
        self.assertEqual(self.browser.run(focused), "Skip to the report")
        self.browser.key("Enter", text="\r")
        self.assertEqual(self.browser.run("location.hash"), "#main")
        # From the heat map's second control one step leads into the first grid.
        self.browser.run("document.getElementById('metric-select').focus()")
        self.browser.key("Tab")
        label = "document.activeElement.getAttribute('aria-label')"
        first = self.browser.run(label)
        self.assertRegex(first, "^Local, layer 0, step 0: 1 − cosine 0.2.*failed$")
        readout = "document.getElementById('heat-readout').textContent"
        self.assertIn("Local, layer 0, step 0", self.browser.run(readout))
        self.browser.key("ArrowRight")
        self.assertIn("layer 0, step 1:", self.browser.run(label))
        self.browser.key("ArrowDown")
        self.assertIn("layer 1, step 1:", self.browser.run(label))
        self.assertIn("ffn_act", self.browser.run(readout))
        self.browser.key("End")
        self.assertIn("layer 1, step 6:", self.browser.run(label))
        self.browser.key("Home")
        self.assertIn("layer 1, step 0:", self.browser.run(label))
        self.browser.key("Enter", text="\r")
        self.assertEqual(self.browser.run("document.activeElement.getAttribute('aria-selected')"), "true")
        # Everything that can be reached shows where it is.
        self.assertNotEqual(self.browser.run("getComputedStyle(document.activeElement).outlineStyle"), "none")
        for _ in range(4):
            self.browser.key("Tab")
        self.assertNotIn("layer 1, step", self.browser.run(label) or "")

    def test_a_screen_reader_finds_its_way(self):
        for page in (self.failing, self.passing, self.hostile):
            self.open(page)
            nodes = self.browser.accessible()
            unnamed = [role for role, name in nodes if role in NAMED_ROLES and not name.strip()]
            self.assertEqual(unnamed, [])
            self.assertIn("main", [role for role, _ in nodes])
            self.assertIn("banner", [role for role, _ in nodes])
            if page == self.failing:
                for landmark in LANDMARKS:
                    self.assertIn(landmark, nodes)
            cells = [name for role, name in nodes if role == "gridcell" and name]
            self.assertGreater(len(cells), 50)
            self.assertTrue(all("1 − cosine" in name for name in cells))

    def test_the_command_is_copied_or_selected(self):
        self.open(self.failing)
        self.browser.run("document.querySelector('#first-failure .command button').click()")
        self.browser.run("new Promise((done) => setTimeout(done, 200))")
        self.assertIn(self.browser.run("document.querySelector('#first-failure .command button').textContent"),
                      ("Copied", "Selected"))

    def test_without_scripts_the_figures_are_there(self):
        self.browser.call("Emulation.setScriptExecutionDisabled", value=True)
        self.addCleanup(self.browser.call, "Emulation.setScriptExecutionDisabled", value=False)
        self.open(self.failing)
        names = self.browser.accessible()
        self.assertIn(("heading", "FAIL"), names)
        self.assertIn(("table", "Failing comparisons"), names)
        self.assertTrue(any("need JavaScript" in name for _, name in names))

    def test_two_thousand_cases(self):
        size = self.many.stat().st_size
        self.assertLess(size, 5_000_000)
        begun = time.monotonic()
        self.open(self.many)
        seconds = time.monotonic() - begun
        self.assertEqual(len(self.shown("case-rows")), 2000)
        self.assertLess(seconds, 20)
        for name, limit in (("summary.md", 1024 * 1024), ("results.sarif", 10_000_000)):
            self.assertLess((self.many.parent / name).stat().st_size, limit)
        print(f"2,000 cases: index.html of {size:,} bytes opens in {seconds:.1f} s")

    def test_hostile_text_is_text(self):
        self.open(self.hostile)
        self.check_quiet(self.hostile)
        count = "document.querySelectorAll('%s').length"
        self.assertEqual(self.browser.run(count % "script"), 2)
        self.assertEqual(self.browser.run(count % "img, iframe, object, embed, form, [onerror], [onclick]"), 0)
        self.assertIn("<img src=x onerror=alert(1)>", self.browser.run("document.getElementById('case-rows').textContent"))
        self.assertNotIn("\u202e", self.browser.run("document.body.textContent"))
        # Filters and links take it as it is.
        self.type_into("case-filter", "</script><img src=x")
        self.assertEqual(len(self.shown("case-rows")), 12)
        self.browser.run("document.querySelector('#failure-rows a').click()")
        self.assertEqual(self.browser.run(count % "tr.here"), 1)
        self.check_quiet(self.hostile)

    def test_every_format_says_the_same(self):
        for page, verdict, exit_code in [(self.passing, "PASS", 0), (self.failing, "FAIL", 1)]:
            folder = page.parent
            self.open(page)
            said = {"html": self.browser.run("document.querySelector('h1').textContent")}
            report = json.loads((folder / "report.json").read_text())
            said["json"] = report["verdict"]
            said["markdown"] = re.search(r"^## \S+ (\w+):", (folder / "summary.md").read_text(), re.M)[1]
            junit = (folder / "junit.xml").read_text()
            said["junit"] = re.search(r'name="verdict" value="(\w+)"', junit)[1]
            self.assertEqual(exit_code == 0, ' failures="0" errors="0"' in junit.split(">")[1] + ">", "JUnit is red where FAIL")
            sarif = json.loads((folder / "results.sarif").read_text())["runs"][0]
            said["sarif"] = sarif["properties"]["verdict"]
            self.assertEqual(set(said.values()), {verdict}, said)
            self.assertEqual([report["exit"], sarif["invocations"][0]["exitCode"]], [exit_code, exit_code])
            self.assertIn(f"exit code {exit_code}", self.browser.run("document.querySelector('footer').textContent"))
            self.assertEqual(len(sarif["results"]), exit_code)
            for result in sarif["results"]:
                place = result["locations"][0]["physicalLocation"]
                line = (ROOT / place["artifactLocation"]["uri"]).read_text().splitlines()[place["region"]["startLine"] - 1]
                self.assertIn("relu_squared(", line)

    def test_screenshots(self):
        folder = pathlib.Path(OPTIONS.screenshots or self.scratch.name)
        folder.mkdir(parents=True, exist_ok=True)
        for name, page, height, dark in [("report-pass", self.passing, 1180, True), ("report-fail", self.failing, 1500, False)]:
            self.open(page, height=height, dark=dark)
            if name == "report-fail":
                self.type_into("failure-filter", "ffn_act local")
                self.browser.run("document.activeElement.blur()")
            path = folder / (name + ".png")
            self.browser.screenshot(path)
            self.assertTrue(20_000 < path.stat().st_size < 300_000, path.stat().st_size)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crossval", required=True, type=os.path.abspath)
    parser.add_argument("--screenshots", help="keep them in this folder")
    OPTIONS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
