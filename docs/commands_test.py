#!/usr/bin/env python3
"""The commands in the documents are run, their output is looked for, and their links are followed.

A fenced block that begins with ```sh run is run by bash in a folder of its page, where `fixtures` is the repository's;
```sh run=1 must end with exit code 1. A block that begins with ```text output holds lines that the block before it must
print, in this order; `...` stands for anything.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def pages():
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page):
    """(number of the line, info, text) of each fenced block."""
    found, info, start, lines = [], None, 0, []
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        if info is None and line.startswith("```"):
            info, start, lines = line[3:].strip(), number, []
        elif info is not None and line.startswith("```"):
            found.append((start, info, "\n".join(lines)))
            info = None
        elif info is not None:
            lines.append(line)
    if info is not None:
        raise SystemExit(f"{page}:{start}: the block has no end")
    return found


def missing_line(wanted, output):
    """The first of the lines that the output does not have after the ones before it, or None."""
    lines = iter(output.splitlines())
    for want in wanted.splitlines():
        pattern = ".*".join(re.escape(part) for part in want.strip().split("..."))
        if not any(re.fullmatch(pattern, line.strip()) for line in lines):
            return want
    return None


def run_page(page, binaries):
    failures, output = [], ""
    with tempfile.TemporaryDirectory() as scratch:
        os.symlink(ROOT / "fixtures", Path(scratch) / "fixtures")
        environment = dict(os.environ, PATH=f"{binaries}:{os.environ['PATH']}", CROSSVAL_LLAMA_ADAPTER="none",
                           GITHUB_STEP_SUMMARY=str(Path(scratch) / "step-summary.md"), LC_ALL="C.UTF-8")
        for number, info, text in blocks(page):
            at = f"{page.relative_to(ROOT)}:{number}"
            kind = re.fullmatch(r"sh run(?:=(\d+))?", info)
            if kind:
                done = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", text], cwd=scratch, env=environment,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240)
                output = done.stdout
                if done.returncode != int(kind[1] or 0):
                    failures.append(f"{at}: exit code {done.returncode}, not {kind[1] or 0}:\n{output[-2000:]}")
            elif info == "text output":
                want = missing_line(text, output)
                if want is not None:
                    failures.append(f"{at}: the command before it does not print `{want}`, but\n{output[-3000:]}")
            elif info.startswith(("sh run", "text out")):
                failures.append(f"{at}: `{info}` is not understood; write `sh run`, `sh run=1` or `text output`")
    return failures


def broken_links(page):
    failures = []
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        if "://" not in target and not (page.parent / target).exists():
            failures.append(f"{page.relative_to(ROOT)}: links to {target}, which is not there")
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="folder of the built crossval and bitnet")
    parser.add_argument("pages", nargs="*", type=Path, help="run these alone")
    arguments = parser.parse_args()
    binaries = Path(arguments.bin).resolve()
    failures, ran = [], 0
    for page in [p.resolve() for p in arguments.pages] or pages():
        ran += sum(info.startswith("sh run") for _, info, _ in blocks(page))
        failures += run_page(page, binaries)
        failures += broken_links(page)
    print("\n".join(failures) or f"{ran} blocks of commands ran as the documents say")
    return 1 if failures or ran == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
