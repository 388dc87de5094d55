#!/usr/bin/env python3
"""Fails where a kernel of an instruction set is not in kernels.inc, or an entry there lacks its unit test, its
property or its benchmark."""
import argparse
import pathlib
import re
import subprocess
import sys

KERNELS = pathlib.Path(__file__).with_name("kernels.inc")


def entries(text, machine="__x86_64__"):
    """The entries of kernels.inc that this machine's compiler sees: (macro, instruction set, operation, function)."""
    found, seen = [], True
    for line in text.splitlines():
        if condition := re.match(r"#if defined\((\w+)\)", line):
            seen = condition[1] == machine
        elif line.startswith("#endif"):
            seen = True
        elif seen and (entry := re.match(r"CROSSVAL_(KERNEL|LIMIT)\((\w+), (\w+), (\w+)\)", line)):
            found.append(entry.groups())
    return found


def gaps(listed, functions, tests, properties, benchmarks):
    """What is missing, a line each. `functions` are the (instruction set, function) that object files offer, the rest
    the output of programs that list what they have; `benchmarks` is None where they were not built."""
    lines = []
    for isa, function in sorted(functions - {(isa, function) for _, isa, _, function in listed}):
        lines.append(f"{isa}::{function} is not in kernels.inc, so nothing tests it")
    for macro, isa, operation, function in listed:
        kernel = f"{isa}::{function}"
        if (isa, function) not in functions:
            lines.append(f"{kernel} is in kernels.inc, but no object file has it")
        if macro == "KERNEL" and not re.search(rf"^  {isa}_{operation}$", tests, re.M):
            lines.append(f"{kernel} lacks its unit test KernelBits.{isa}_{operation}")
        if macro == "KERNEL" and not re.search(rf"^  {isa}_{operation}_is_scalar_bit_for_bit$", properties, re.M):
            lines.append(f"{kernel} lacks its property KernelProperties.{isa}_{operation}_is_scalar_bit_for_bit")
        # Sets that this machine cannot run are not measured.
        measured = benchmarks is not None and re.search(rf"/{isa}/", benchmarks)
        if measured and not re.search(rf"^{operation}/{isa}/", benchmarks, re.M):
            lines.append(f"{kernel} lacks its benchmark {operation}/{isa}")
    if benchmarks is not None and "/scalar/" not in benchmarks:
        lines.append("bench_kernels measures nothing")
    return lines


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def offered(symbols):
    """(instruction set, function) of the functions that `nm --demangle` shows as defined for others."""
    return set(re.findall(r" T bitnet::(\w+)::(\w+)\(", symbols))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nm", required=True)
    parser.add_argument("--tests", required=True)
    parser.add_argument("--properties", required=True)
    parser.add_argument("--benchmarks")
    parser.add_argument("--objects", nargs="+", required=True)
    given = parser.parse_args()
    benchmarks = None
    if given.benchmarks and pathlib.Path(given.benchmarks).exists():
        benchmarks = output_of(given.benchmarks, "--benchmark_list_tests")
    listed = entries(KERNELS.read_text())
    missing = gaps(listed, offered(output_of(given.nm, "--demangle", "--defined-only", *given.objects)),
                   output_of(given.tests, "--gtest_list_tests"), output_of(given.properties, "--gtest_list_tests"),
                   benchmarks)
    print("\n".join(missing) or f"{len(listed)} kernels and limits, all with tests, properties"
          + (" and benchmarks" if benchmarks else "; benchmarks were not built"))
    return 1 if missing or not listed else 0


if __name__ == "__main__":
    sys.exit(main())
