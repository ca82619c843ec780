"""Says what the means of a sweep suggest about its question, where there are no statistics yet.

`reporting.findings.headline` is the tested answer, and the report shows it wherever the sweep allows one.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from mixlingual.analysis.read.points import RATIO_SERIES
from mixlingual.analysis.tables.grid import SETTINGS, Axes, Grid, size_by_ratio
from mixlingual.measures.registry import METRICS, SETTING_TITLES


class Answer(NamedTuple):
    """An answer and how far to trust it."""

    sentence: str
    nature: str
    """What the sentence rests on, and what it does not say."""


class _Best(NamedTuple):
    """The best ratio of a size, and whether its seeds are apart from those of every other ratio."""

    model: str
    ratio: float
    apart: bool


def headline(results: pd.DataFrame, benchmark: str) -> tuple[str, str] | None:
    """(setting, metric) that sums a benchmark up: the first metric it has, in the widest setting that has it."""
    present = set(results.loc[results.benchmark == benchmark, ["setting", "metric"]].itertuples(index=False, name=None))
    order = ((setting, metric) for metric in METRICS for setting in reversed(SETTINGS))
    return next((pair for pair in order if pair in present), None)


def answer(results: pd.DataFrame, axes: Axes, benchmark: str) -> Answer:
    """Where the best ratio of each size lies on a benchmark, and whether it moves with size.

    It is read off means over seeds, for as long as no statistics are at hand, and says so.

    Args:
        results: `results_table` of the sweep.
        axes: sizes and points of the sweep.
        benchmark: its name.
    """
    shown = headline(results, benchmark)
    grid = size_by_ratio(results, axes, benchmark, *shown) if shown else None
    best = [found for model in axes.sizes if (found := _best(grid, model))] if grid is not None else []
    if grid is None or not best:
        return Answer(f"On {benchmark} there is no answer yet.", "No size has finished runs at two ratios.")
    measure = f"{SETTING_TITLES[grid.setting]} {grid.facts.label}"
    return Answer(f"On {benchmark}, {measure} {_where(best)}{_doubt(grid, best)}.", _nature(grid))


def _best(grid: Grid, model: str) -> _Best | None:
    """None where fewer than two ratios are measured."""
    if RATIO_SERIES not in grid.mean.columns.get_level_values("series"):
        return None
    mean, low, high = (frame.loc[model, RATIO_SERIES].dropna() for frame in (grid.mean, grid.low, grid.high))
    if len(mean) < 2:
        return None
    larger = grid.facts.larger_is_better
    ratio = mean.idxmax() if larger else mean.idxmin()
    rest = mean.index != ratio
    apart = low[ratio] > high[rest].max() if larger else high[ratio] < low[rest].min()
    return _Best(model, float(ratio), bool(apart))


def _where(best: list[_Best]) -> str:
    ratios = [f"\N{GREEK SMALL LETTER ALPHA} = {found.ratio:g}" for found in best]
    if len(best) == 1:
        return f"is best at {ratios[0]} for {best[0].model}, the only size with several ratios"
    if len(set(ratios)) == 1:
        return f"is best at {ratios[0]} for all {len(best)} sizes"
    places = ", ".join(f"{ratio} for {found.model}" for ratio, found in zip(ratios, best, strict=True))
    return f"is best at a ratio that differs between sizes ({places})"


def _doubt(grid: Grid, best: list[_Best]) -> str:
    if _most_seeds(grid) == 1:
        return "; one seed each, so that nothing is known of the noise"
    overlapping = sum(not found.apart for found in best)
    if not overlapping:
        return "; its seeds are all better than those of the other ratios"
    return f", but its seeds overlap with those of another ratio at {overlapping} of {len(best)} sizes"


def _nature(grid: Grid) -> str:
    read_off = "Read off single runs" if _most_seeds(grid) == 1 else "Read off means over seeds and their ranges"
    return (
        f"{read_off}: no test has been made and there is no confidence interval. Where seeds overlap the best ratio is "
        "a guess, and few seeds prove little where they do not."
    )


def _most_seeds(grid: Grid) -> int:
    return int(grid.seeds.to_numpy().max())
