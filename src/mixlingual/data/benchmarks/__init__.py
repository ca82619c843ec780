"""The benchmarks, one module each: its name is that of the benchmark, its `load` reads it."""
