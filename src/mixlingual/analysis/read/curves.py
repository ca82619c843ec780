"""Reads the training curves of runs, thinned for drawing."""

from __future__ import annotations

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
        curve = pd.read_csv(path)
        curve = (
            curve[["step", *(name for name in COLUMNS if name in curve)]]
            .apply(pd.to_numeric, errors="coerce")
            .astype(float)
        )
    except (OSError, ValueError, KeyError):
        return pd.DataFrame(columns=["step"])
    curve = curve[np.isfinite(curve.step)]
    kept = np.unique(np.linspace(0, len(curve) - 1, min(points, len(curve))).round().astype(int))
    return curve.iloc[kept]
