"""Lists the names of benchmarks, those of the modules of `mixlingual.data.benchmarks`, without importing them."""

from __future__ import annotations

from pathlib import Path


def module_names(folder: Path) -> tuple[str, ...]:
    """Returns the names of the Python modules of a folder, sorted, without those that start with an underscore."""
    return tuple(sorted(path.stem for path in folder.glob("[!_.]*.py")))


BENCHMARKS = module_names(Path(__file__).parents[1] / "data" / "benchmarks")
"""What `evaluation.benchmarks` may list."""
