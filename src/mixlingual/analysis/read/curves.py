"""Reads the training curves of runs, thinned for drawing."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd

COLUMNS = ("loss", "loss_mono", "loss_cross", "gradient_norm", "learning_rate", "pairs_per_second")
"""Columns of curves.csv beside `step`; see `training.callbacks`."""


def thinned_curve(path: Path, points: int) -> pd.DataFrame:
    """At most `points` rows of a curves.csv, evenly spread, with the first and the last among them.

    Rows are those of the file, nothing is averaged. A file that is absent or cannot be read gives no rows: the run
    may be writing it.

    Returns:
        Columns step and those of `COLUMNS` that the file has, as numbers; NaN where it has none.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            head, *lines = csv.reader(file)
        names = ["step", *(name for name in COLUMNS if name in head)]
        places = [head.index(name) for name in names]
    except (OSError, ValueError, csv.Error):
        return pd.DataFrame(columns=["step"])
    lines = [line for line in lines if np.isfinite(_number(line, places[0]))]
    kept = np.unique(np.linspace(0, len(lines) - 1, min(points, len(lines))).round().astype(int))
    rows = [[_number(lines[line], place) for place in places] for line in kept]
    return pd.DataFrame(rows, columns=names, dtype=float)


def _number(line: list[str], place: int) -> float:
    try:
        return float(line[place])
    except (ValueError, IndexError):
        return np.nan
