#!/usr/bin/env python3
"""Types into real shells and presses Tab: what the completion of crossval and bitnet makes of it.

usage: shells_test.py FOLDER_OF_THE_COMMANDS SHELL      SHELL: bash, zsh or fish
"""

import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time

TIMEOUT = 120
START = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
}
PREPARE = {
    "bash": "bind 'set enable-bracketed-paste off'; bind 'set bell-style none'; PS1='ready> '; "
            "for c in crossval bitnet; do source <($c completion bash); done",
    "zsh": "unset zle_bracketed_paste; setopt no_beep; autoload -U compinit; compinit -u -D; PS1='ready> '; "
           "for c in crossval bitnet; do source <($c completion zsh); done",
}


class Terminal:
    """A shell on a terminal of its own."""

    def __init__(self, shell, environment):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(START[shell][0], START[shell], environment)
        # Typed before the shell is there it would be echoed twice.
        self.type("PS1='re''ady> '\n")
        self.read_until(r"ready> $")
        self.type(PREPARE[shell] + "\n")
        self.read_until(r"ready> $")

    def type(self, text):
        os.write(self.fd, text.encode())

    def read_until(self, pattern):
        seen, end = "", time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            if select.select([self.fd], [], [], 0.2)[0]:
                seen += os.read(self.fd, 4096).decode(errors="replace")
                seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]", "", seen)
            if found := re.search(pattern, seen):
                return found
        raise SystemExit(f"shells_test: waited in vain for {pattern!r}; seen: {seen[-2000:]!r}")

    def completed(self, line):
        """The line after one Tab: it is not run, but echoed between marks."""
        self.type(line + "\t")
        time.sleep(0.3)
        self.type("@@\x01echo @@\n")  # ^A: at the beginning of the line
        return self.read_until(r"\n@@([^@\n]*)@@\r?\n(?s:.*)ready> $").group(1)

    def close(self):
        os.kill(self.pid, signal.SIGKILL)  # typed words can get lost behind an interrupt
        os.waitpid(self.pid, 0)


def fish_completed(line, environment, folder):
    """As fish says it itself; only where there is one candidate."""
    script = "for c in crossval bitnet; $c completion fish | source; end; complete -C (string join ' ' $argv)"
    out = subprocess.run(["fish", "--no-config", "-c", script, line], env=environment, cwd=folder, text=True,
                         stdout=subprocess.PIPE, check=True, timeout=TIMEOUT).stdout.splitlines()
    words = [entry.split("\t")[0] for entry in out]
    if len(words) != 1:
        return f"{len(words)} candidates: {words}"
    return line[:line.rfind(" ") + 1] + words[0]


def listed_in_bash(words, environment):
    """All that the script offers for the last of `words`."""
    line = " ".join(words)
    script = f"""source <({words[0]} completion bash); COMP_LINE='{line}'; COMP_POINT={len(line)}
                 _{words[0]}; printf '%s\\n' "${{COMPREPLY[@]}}" """
    return subprocess.run(["bash", "--norc", "-c", script], env=environment, text=True, stdout=subprocess.PIPE,
                          check=True, timeout=TIMEOUT).stdout.split()


def options_in_help(command, subcommand, environment):
    text = subprocess.run([command, subcommand, "--help"], env=environment, text=True, stdout=subprocess.PIPE,
                          check=True, timeout=TIMEOUT).stdout
    return sorted(set(re.findall(r"^  (?:-\w,)?(--[\w-]+)", text, re.MULTILINE)))


def main():
    commands, shell = os.path.abspath(sys.argv[1]), sys.argv[2]
    failures = []

    def expect(what, got, wanted):
        print(("ok   " if got == wanted else "FAIL ") + what)
        if got != wanted:
            failures.append(f"{what}: got {got!r}, wanted {wanted!r}")

    with tempfile.TemporaryDirectory() as folder:
        # A terminal wide enough for every line; a home without anybody's settings.
        environment = {"PATH": commands + ":" + os.environ["PATH"], "HOME": folder, "TERM": "dumb", "COLUMNS": "200",
                       "LC_ALL": "C.UTF-8"}
        (pathlib.Path(folder) / "only.gguf").touch()
        (pathlib.Path(folder) / "shards").mkdir()
        cases = [
            ("crossval ru", "crossval run"),
            ("crossval run --mod", "crossval run --model"),
            ("crossval --prom", "crossval --prompts"),  # a line of options alone is `run`
            (f"crossval run --model {folder}/on", f"crossval run --model {folder}/only.gguf"),
            (f"crossval run --model={folder}/on", f"crossval run --model={folder}/only.gguf"),
            ("crossval run --candidate orac", "crossval run --candidate oracle"),
            ("crossval run --candidate trac", "crossval run --candidate trace:"),
            (f"crossval run --candidate trace:{folder}/on", f"crossval run --candidate trace:{folder}/only.gguf"),
            ("crossval run --tokens-from cand", "crossval run --tokens-from candidate"),
            (f"crossval merge {folder}/sh", f"crossval merge {folder}/shards/"),
            ("crossval run --isa scal", "crossval run --isa scalar"),
            ("crossval completion fi", "crossval completion fish"),
            ("bitnet quant", "bitnet quantize"),
            ("bitnet run --template instr", "bitnet run --template instruct"),
        ]
        if shell == "fish":
            for typed, wanted in cases:
                expect(typed, fish_completed(typed, environment, folder), wanted)
        else:
            terminal = Terminal(shell, environment)
            for typed, wanted in cases:
                expect(typed, terminal.completed(typed).rstrip(" "), wanted)
            terminal.close()
        if shell == "bash":
            for command, subcommand in (("crossval", "run"), ("crossval", "selftest"), ("bitnet", "bench")):
                expect(f"{command} {subcommand}: every option of its help",
                       sorted(listed_in_bash([command, subcommand, "--"], environment)),
                       options_in_help(command, subcommand, environment))

    if failures:
        sys.exit("\n".join(failures))


main()
