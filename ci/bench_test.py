#!/usr/bin/env python3
"""ci/bench with commands that only pretend to measure."""
import json
import os
import shlex
import subprocess
import sys
import tempfile
import textwrap
import unittest

BENCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bench")

# Notes its name and words in a log, and prints the next of its figures.
FAKE = textwrap.dedent("""\
    import json, sys
    log, name, kind, *figures = sys.argv[1:]
    words = figures[figures.index("--"):]
    figures = [float(f) for f in figures[:figures.index("--")]]
    calls = [json.loads(line) for line in open(log)]
    open(log, "a").write(json.dumps([name, words]) + "\\n")
    turn = sum(1 for n, w in calls if n == name and "--limits" not in w)
    figure = figures[turn % len(figures)]
    if kind == "bitnet":
        none = "--limits" in words
        out = {"prefill": {"tokens": 0 if none else 128, "tok_s": [] if none else [10 * figure] * 3},
               "decode": {"tokens": 0 if none else 64, "tok_s": [] if none else [1.0, figure, 1000.0]},
               "depth": 8 if "--depth" in words else 0, "sequences": 32 if "--sequences" in words else 1}
        if none:
            out["limits"] = {"read_bytes_s": 4e10, "int8_ops_s": 9e11, "f32_ops_s": 2e11}
    elif kind == "llama":
        out = [{"n_prompt": 512, "n_gen": 0, "avg_ts": 7.0},
               {"n_prompt": 0, "n_gen": 64, "avg_ts": 0, "samples_ts": [figure] * 3},
               {"n_prompt": 128, "n_gen": 64, "avg_ts": 3.0}]
    elif kind == "batched":
        print("main: n_kv_max = 2048\\n\\n"
              "|    PP |     TG |    B |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s |      T s |    S t/s |\\n"
              "|-------|--------|------|--------|----------|----------|----------|----------|----------|----------|\\n"
              "|     8 |     64 |   32 |   2304 |    4.376 |    58.50 |    6.607 |" + f"{figure:9.2f} |" +
              "   10.983 |    46.62 |\\n")
        sys.exit()
    elif kind == "fails":
        sys.exit("out of luck")
    else:
        out = None
    print(json.dumps(out) if out else "no JSON")
    """)


class Bench(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.log = os.path.join(self.folder.name, "calls")
        open(self.log, "w").close()
        self.fake = os.path.join(self.folder.name, "fake.py")
        with open(self.fake, "w") as file:
            file.write(FAKE)

    def side(self, name, kind, figures, words=()):
        return shlex.join([sys.executable, self.fake, self.log, name, kind, *map(str, figures), "--", *words])

    def bench(self, a, b, *options):
        return subprocess.run([sys.executable, BENCH, "--a", a, "--b", b, *options], capture_output=True, text=True)

    def calls(self):
        with open(self.log) as file:
            return [json.loads(line) for line in file]

    def report(self, a, b, *options):
        done = self.bench(a, b, "--json", *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_ratios_are_those_of_runs_that_follow_each_other(self):
        # The first figure of each belongs to the round before the counted ones.
        a = self.side("a", "bitnet", [999, 10, 20, 30, 40, 50])
        b = self.side("b", "bitnet", [999, 5, 20, 10, 10, 100])
        report = self.report(a, b)
        decode = next(r for r in report["results"] if r["measure"] == "decode 64")
        self.assertEqual(decode["a"], {"median": 30.0, "tok_s": [10.0, 20.0, 30.0, 40.0, 50.0]})
        self.assertEqual(decode["b"]["median"], 10.0)
        self.assertEqual(decode["ratio"], {"min": 0.5, "median": 2.0, "max": 4.0, "all": [2.0, 1.0, 3.0, 4.0, 0.5]})
        prefill = next(r for r in report["results"] if r["measure"] == "prefill 128")
        self.assertEqual(prefill["a"]["median"], 300.0)
        self.assertEqual(report["rounds"], 5)
        self.assertTrue(report["cpu"])

    def test_runs_alternate_between_measurements_of_the_limits(self):
        words = ["--model", "m", "--gen-tokens", "64", "--prompt-tokens=128", "--full-head", "--threads", "2"]
        report = self.report(self.side("a", "bitnet", [1], words), self.side("b", "bitnet", [1]), "--rounds", "6")
        counted = [name for name, words in self.calls() if "--limits" not in words]
        self.assertEqual("".join(counted), "ab" + "abba" * 3)
        limits = [words for _, words in self.calls() if "--limits" in words]
        self.assertEqual(limits, 2 * [["--", "--model", "m", "--threads", "2", "--prompt-tokens", "0", "--gen-tokens",
                                       "0", "--limits"]])
        self.assertEqual([name for name, words in self.calls()][2], "a")
        self.assertEqual(report["before"]["limits"]["int8_ops_s"], 9e11)
        self.assertEqual(report["after"]["limits"]["read_bytes_s"], 4e10)

    def test_llama_bench_is_a_side(self):
        report = self.report(self.side("a", "bitnet", [30]), self.side("b", "llama", [10]))
        self.assertEqual([r["measure"] for r in report["results"]], ["decode 64"])
        self.assertEqual(report["results"][0]["ratio"]["median"], 3.0)
        other = self.report(self.side("c", "llama", [30]), self.side("d", "llama", [10]))
        self.assertEqual([r["measure"] for r in other["results"]], ["prefill 512", "decode 64"])
        self.assertIsNone(other["before"]["limits"])

    def test_llama_batched_bench_is_a_side(self):
        words = ["--sequences", "32", "--depth", "8"]
        report = self.report(self.side("a", "bitnet", [30], words), self.side("b", "batched", [12]))
        self.assertEqual([r["measure"] for r in report["results"]], ["decode 64 at depth 8, 32 sequences"])
        self.assertEqual(report["results"][0]["ratio"]["median"], 2.5)

    def test_prints_a_table(self):
        done = self.bench(self.side("a", "bitnet", [30]), self.side("b", "bitnet", [10]))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"decode 64 +30\.00 +10\.00 +3\.000 \(3\.000 to 3\.000\)")
        self.assertIn("memory read 40.0 GB/s, int8 900 GOPS, f32 200 GFLOPS", done.stdout)

    def test_a_requirement_that_is_not_met_is_exit_1(self):
        a, b = self.side("a", "bitnet", [30]), self.side("b", "bitnet", [10])
        self.assertEqual(self.bench(a, b, "--require", "decode 64=3.0").returncode, 0)
        done = self.bench(a, b, "--require", "decode 64=3.01")
        self.assertEqual(done.returncode, 1)
        self.assertIn("decode 64: 3.000 is below 3.01", done.stderr)
        self.assertEqual(self.bench(a, b, "--require", "decode 65=1").returncode, 2)
        self.assertEqual(self.bench(a, b, "--require", "decode 64").returncode, 2)

    def test_what_cannot_be_measured_is_exit_4(self):
        good = self.side("a", "bitnet", [30])
        for kind, said in (("fails", "exit 1: out of luck"), ("silent", "prints no JSON")):
            done = self.bench(good, self.side("b", kind, [1]))
            self.assertEqual(done.returncode, 4)
            self.assertIn(said, done.stderr)
            self.assertEqual(done.stdout, "")
        self.assertEqual(self.bench(good, "/no/such/program").returncode, 4)
        nothing = self.bench(good, self.side("b", "bitnet", [1], ["--limits"]))
        self.assertEqual(nothing.returncode, 4)
        self.assertIn("holds no figure", nothing.stderr)

    def test_fewer_than_five_rounds_are_refused(self):
        side = self.side("a", "bitnet", [30])
        self.assertEqual(self.bench(side, side, "--rounds", "4").returncode, 2)


if __name__ == "__main__":
    unittest.main()
