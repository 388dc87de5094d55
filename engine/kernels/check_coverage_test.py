#!/usr/bin/env python3
"""check_coverage.py with something missing each time."""
import unittest

from check_coverage import entries, gaps, offered

LIST = """
CROSSVAL_ISA(scalar, scalar, any, "portable")
CROSSVAL_LIMIT(scalar, read, read)
CROSSVAL_KERNEL(scalar, add, add)
#if defined(__x86_64__)
CROSSVAL_KERNEL(avx2, add, add_eight)
#endif
#if defined(__aarch64__)
CROSSVAL_KERNEL(neon, add, add)
#endif
"""
SYMBOLS = """
0000000000000000 T bitnet::scalar::add(float const*, float const*, long, float*)
0000000000000040 T bitnet::scalar::read(void const*, long)
0000000000000000 T bitnet::avx2::add_eight(float const*, float const*, long, float*)
0000000000000100 t bitnet::avx2::(anonymous namespace)::helper(float)
"""
TESTS = "KernelBits.\n  scalar_add\n  avx2_add\n"
PROPERTIES = "KernelProperties.\n  scalar_add_is_scalar_bit_for_bit\n  avx2_add_is_scalar_bit_for_bit\n"
BENCHMARKS = "add/scalar/6912\nread/scalar/limit\nadd/avx2/6912\n"


def found(symbols=SYMBOLS, tests=TESTS, properties=PROPERTIES, benchmarks=BENCHMARKS):
    return gaps(entries(LIST), offered(symbols), tests, properties, benchmarks)


class Coverage(unittest.TestCase):
    def test_the_list_is_that_of_the_machine(self):
        self.assertEqual(entries(LIST), [("LIMIT", "scalar", "read", "read"), ("KERNEL", "scalar", "add", "add"),
                                         ("KERNEL", "avx2", "add", "add_eight")])
        self.assertIn(("KERNEL", "neon", "add", "add"), entries(LIST, "__aarch64__"))

    def test_nothing_missing(self):
        self.assertEqual(found(), [])
        self.assertEqual(found(benchmarks=None), [])

    def test_a_kernel_that_is_not_listed(self):
        stray = SYMBOLS + "0000000000000200 T bitnet::avx2::mul(float const*, float const*, long, float*)\n"
        self.assertEqual(found(symbols=stray), ["avx2::mul is not in kernels.inc, so nothing tests it"])

    def test_an_entry_without_test_property_or_benchmark(self):
        self.assertEqual(found(tests="KernelBits.\n  scalar_add\n"),
                         ["avx2::add_eight lacks its unit test KernelBits.avx2_add"])
        self.assertEqual(found(properties=PROPERTIES.replace("avx2_add", "avx2_mul")),
                         ["avx2::add_eight lacks its property KernelProperties.avx2_add_is_scalar_bit_for_bit"])
        self.assertEqual(found(benchmarks="add/scalar/1\nread/scalar/limit\nmul/avx2/1\n"),
                         ["avx2::add_eight lacks its benchmark add/avx2"])
        self.assertEqual(found(benchmarks="add/scalar/1\nread/scalar/limit\n"), [])  # cannot be run here
        self.assertEqual(found(benchmarks=""), ["bench_kernels measures nothing"])


if __name__ == "__main__":
    unittest.main()
