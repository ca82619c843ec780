"""What runs scored on their development sets while they trained, finished or not."""

from __future__ import annotations

import re

import pandas as pd

from mixlingual.analysis.read.collect import Sweep
from mixlingual.records import is_number
from mixlingual.runs.validation import read_points

LEARNING_COLUMNS = ["run", "series", "model", "ratio", "seed", "step", "pairs", "set", "setting", "measure", "value"]


def learning_table(sweep: Sweep) -> pd.DataFrame:
    """One row per (run, validation, development set, setting, measure): columns `LEARNING_COLUMNS`.

    Measures are loss and pool_loss, in nats and with the setting `all`, mono or cross; map of parallel sets; and the
    official measure of sets with judged passages. A figure that is no finite number is left out.
    """
    rows = []
    for run in sweep.runs:
        if run.point is None:
            continue
        place = (run.name, run.point.series, run.point.model, run.point.ratio, run.point.seed)
        points = run.result.validation.get("points", []) if run.result else read_points(sweep.folder / run.name)
        for point in points:
            seen = (int(point["step"]), int(point["pairs"]))
            figures = ((name, value) for name, value in point.items() if "/" in name and is_number(value))
            rows += [(*place, *seen, *_what(name), float(value)) for name, value in figures]
    return pd.DataFrame(rows, columns=LEARNING_COLUMNS)


def _what(name: str) -> tuple[str, str, str]:
    """(set, setting, measure) of a figure's name."""
    where, _, measure = name.rpartition("/")
    if found := re.fullmatch(r"((?:pool_)?loss)(?:_(mono|cross))?", measure):
        return where, found[2] or "all", found[1]
    benchmark, _, setting = where.rpartition("/")
    return benchmark, setting, measure
