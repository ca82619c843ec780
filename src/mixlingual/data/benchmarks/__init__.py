"""Holds the benchmarks, one module each: the module has the benchmark's name, and its `load` reads it."""
