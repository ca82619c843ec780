"""Two runs that share the cores of this machine, against the same two in turn.

    python -m benchmarks.two_runs [--rounds 3] [--model scratch_m] [--steps 40] [--out FILE]

Each round trains two seeds on the embedded data in every way of `WAYS`, by the command lines of the project. Time is
that of training alone, from the first start of a run to the last end of one; CPU seconds are those of all processes,
their start included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.rows import Row, write_rows

GOAL = 1.15
"""The time of two runs at once over that of the two in turn, at most."""

WAYS: dict[str, tuple[bool, tuple[str, ...], dict[str, str]]] = {
    "in turn": (False, (), {}),
    "two commands at once": (True, (), {}),
    "the parallel launcher": (False, ("hydra/launcher=parallel",), {}),
    "two commands at once, spinning": (True, (), {"GOMP_SPINCOUNT": "300000"}),
}
"""Way -> whether each run has a command of its own, its words, and variables: 300000 is what libgomp does by itself."""


class Took(NamedTuple):
    """Seconds of one round of a way."""

    wall: float
    cpu: float


def measure(way: str, words: list[str]) -> Took:
    """Trains two runs in a way."""
    apart, more, variables = WAYS[way]
    hidden = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    environment = {name: value for name, value in os.environ.items() if name not in hidden} | variables
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "mixlingual.train", "-m", *words, *more, f"seed={seeds}"],
                cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for seeds in (("0", "1") if apart else ("0,1",))
        ]  # fmt: skip
        if any(process.wait() for process in started):
            raise RuntimeError(f"{way}: a run failed")
        results = [json.loads(path.read_text()) for path in Path(folder).glob("multirun/*/*/result.json")]
        seconds = [result["timings"]["train"] for result in results]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    at_once = apart or bool(more)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Took(max(seconds) if at_once else sum(seconds), cpu)


def rows_of(took: dict[str, list[Took]]) -> list[Row]:
    """Returns wall and CPU seconds of every way beside those in turn; a ratio is the median over rounds."""
    base = took["in turn"]
    rows = []
    for way in [way for way in took if way != "in turn"]:
        for kind in Took._fields:
            ratio = median(getattr(one, kind) / getattr(of, kind) for one, of in zip(took[way], base))
            in_turn = median(getattr(of, kind) for of in base)
            rows.append(Row(f"{kind} seconds of two runs, {way} / in turn", "s", ratio * in_turn, in_turn))
    return rows


def main() -> None:
    """Measures, prints each way beside the runs in turn, and writes the rows where --out says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="scratch_m")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--out", type=Path, help="JSON file for rows of {name, unit, ours, peer, ratio}")
    options = parser.parse_args()
    words = [
        f"model={options.model}", f"trainer.steps={options.steps}", "trainer.save_model=false",
        "trainer.accelerator=cpu", "evaluation=none", "trainer.checkpoint_minutes=null",
    ]  # fmt: skip
    took: defaultdict[str, list[Took]] = defaultdict(list)
    for n in range(options.rounds):
        for way in WAYS:
            took[way].append(measure(way, words))
            one = took[way][-1]
            print(f"round {n + 1}, {way:32} {one.wall:7.1f} s to train, {one.cpu:7.1f} CPU s", flush=True)
    rows = rows_of(took)
    for row in rows:
        goal = f" (goal at most {GOAL})" if row.name.startswith("wall") and "spinning" not in row.name else ""
        print(f"{row.name}: {row.ratio:.2f}{goal}")
    if options.out:
        write_rows(options.out, rows)


if __name__ == "__main__":
    main()
