"""The results of a sweep as data frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mixlingual.analysis.read import collect
from mixlingual.analysis.tables.grid import languages_table, results_table
from mixlingual.layout import QUERIES


@dataclass(frozen=True)
class SweepFrames:
    """What the runs of a sweep have left, also half-way."""

    runs: pd.DataFrame
    """A row for each run, planned or begun: run, state, reason, model, series, ratio, seed."""
    results: pd.DataFrame
    """A row for each finished run, benchmark, setting and metric: its macro mean."""
    languages: pd.DataFrame
    """The same for each language, or ordered pair of languages."""
    _files: dict[str, Path]

    def questions(self) -> pd.DataFrame:
        """Returns the scores of every question of every finished run: queries.parquet of each, with its run's name."""
        read = {name: pd.read_parquet(path) for name, path in self._files.items() if path.exists()}
        return (
            pd.concat(read, names=["run", "row"]).reset_index(level="run").reset_index(drop=True)
            if read
            else pd.DataFrame()
        )


def read_sweep(folder: str | Path) -> SweepFrames:
    """Reads a sweep, finished or not.

    Args:
        folder: multirun/SWEEP.

    Raises:
        MixlingualError: the folder does not exist or holds no runs.
    """
    sweep = collect.read_sweep(Path(folder))
    point = {run.name: run.point for run in sweep.runs}
    runs = pd.DataFrame(
        {
            "run": run.name,
            "state": run.state,
            "reason": run.reason,
            **{axis: getattr(point[run.name], axis, None) for axis in ("model", "series", "ratio", "seed")},
        }
        for run in sweep.runs
    )
    files = {run.name: sweep.folder / run.name / QUERIES for run in sweep.in_state("done")}
    return SweepFrames(runs, results_table(sweep), languages_table(sweep), files)
