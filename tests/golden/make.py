"""Computes the golden numbers anew: `make golden`, or `python -m tests.golden.make` from the root of the repository.

Commit what it changes only where a change of the numbers is meant, and say why.
"""

from __future__ import annotations

import json
import os
import re
import sys
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.golden import work

TOLERANCES = {"32-true": 1e-4, "bf16-mixed": 1e-3, "evaluation": 1e-6, "report": 1e-5}
"""Largest difference from a golden number, as a share of it, or of .1 where it is smaller.

Between AVX-512 and AVX2 losses and gradient norms differed by up to 5e-6 and, in bfloat16, by 9e-5; the evaluation by
3e-15 and the tables of the report by less than 2e-7. A run in bfloat16 and one in float32 lie within the tolerance of
the former: encoders this small hardly show which it was.
"""


def path_of(name: str) -> Path:
    """The committed file."""
    return Path(__file__).with_name(f"{name}.json")


def read(name: str) -> dict[str, Any]:
    """losses (case/precision -> curves), evaluation or report."""
    content: dict[str, Any] = json.loads(path_of(name).read_text(encoding="utf-8"))
    return content


def differences(golden: Any, found: Any, tolerance: float, where: str = "") -> list[str]:
    """Every place at which numbers differ by more than the tolerance, or anything else differs at all."""
    if isinstance(golden, dict) and isinstance(found, dict):
        lost, new = golden.keys() - found.keys(), found.keys() - golden.keys()
        return [
            f"{where}/{key}: {what}" for keys, what in ((lost, "missing"), (new, "new")) for key in sorted(keys)
        ] + [
            line
            for key in golden
            if key in found
            for line in differences(golden[key], found[key], tolerance, f"{where}/{key}")
        ]
    if isinstance(golden, list) and isinstance(found, list) and len(golden) == len(found):
        return [
            line for n, (a, b) in enumerate(zip(golden, found)) for line in differences(a, b, tolerance, f"{where}/{n}")
        ]
    numbers = isinstance(golden, int | float) and isinstance(found, int | float)
    same = abs(golden - found) <= tolerance * max(abs(golden), 0.1) if numbers else golden == found
    return [] if same else [f"{where}: {golden} was golden, {found} now"]


def compute() -> dict[str, Any]:
    """Name of a file -> its content."""
    losses = {}
    for case, precision in product(work.CASES, work.PRECISIONS):
        with TemporaryDirectory() as folder:
            losses[f"{case}/{precision}"] = work.curves(case, precision, Path(folder))
    with TemporaryDirectory() as folder:
        tables = work.report_tables(Path(folder))
    return {"losses": losses, "evaluation": work.evaluation(), "report": tables}


def written(content: Any) -> str:
    """JSON with eight digits of each number, and a line for each list of numbers and each row of a table."""
    short = json.loads(json.dumps(content), parse_float=lambda digits: float(f"{float(digits):.8g}"))
    text = json.dumps(short, indent=1, ensure_ascii=False)
    return re.sub(r"\[\s+([^][{}]*?)\s+\]", lambda found: "[" + re.sub(r",\s+", ", ", found[1]) + "]", text) + "\n"


def main() -> None:
    """Writes the files, and says how far they were from the ones before."""
    with TemporaryDirectory() as cache:
        os.environ["MIXLINGUAL_CACHE"] = cache
        computed = compute()
    for name, content in computed.items():
        path = path_of(name)
        changed = differences(read(name), content, 1e-7) if path.exists() else ["all of it is new"]
        path.write_text(written(content), encoding="utf-8")
        sys.stdout.write("\n  ".join([f"{path.name}: {len(changed)} changes", *changed[:20]]) + "\n")


if __name__ == "__main__":
    main()
