"""What a sweep says about its question, in a sentence for each benchmark.

The one place where statistics enter the report: a tested answer replaces the body of `answer`, and everything that
shows answers follows.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from mixlingual.analysis.grid import SETTINGS, Axes, Grid, size_by_ratio
from mixlingual.analysis.measures import METRICS
from mixlingual.analysis.points import RATIO_SERIES


class Answer(NamedTuple):
    """An answer and how far to trust it."""

    sentence: str
    nature: str
    """What the sentence rests on, and what it does not say."""


class _Best(NamedTuple):
    """The best ratio of a size, and whether its seeds are apart from those of every other ratio."""

    model: str
    ratio: float
    mean: float
    low: float
    high: float
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
    measure = f"{grid.setting}lingual {grid.facts.label}"
    ratios = {found.ratio for found in best}
    if len(best) > 1 and len(ratios) == 1:
        where = f"is best at {_alpha(best[0])} for all {len(best)} sizes"
        values = ", ".join(f"{found.model} {_value(found, grid.facts.decimals)}" for found in best)
    else:
        where = "is best" if len(best) == 1 else "is best at a ratio that differs between sizes"
        values = ", ".join(f"{_alpha(b)} for {b.model}, {_value(b, grid.facts.decimals)}" for b in best)
    alone = "; with one size, nothing can be said about size" if len(best) == 1 else ""
    sentence = f"On {benchmark}, {measure} {where}: {values}{alone}."
    return Answer(sentence, _nature(grid, best))


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
    return _Best(model, float(ratio), float(mean[ratio]), float(low[ratio]), float(high[ratio]), bool(apart))


def _alpha(best: _Best) -> str:
    return f"\N{GREEK SMALL LETTER ALPHA} = {best.ratio:g}"


def _value(best: _Best, decimals: int) -> str:
    mean, low, high = (f"{value:.{decimals}f}" for value in (best.mean, best.low, best.high))
    return f"{mean} [{low}, {high}]" if low != high else mean


def _nature(grid: Grid, best: list[_Best]) -> str:
    counts = sorted({int(count) for count in grid.seeds.to_numpy().ravel() if count})
    if counts[-1] == 1:
        return (
            "Read off single runs. One seed says nothing about noise: another seed may move every best ratio. "
            "No test has been made."
        )
    seeds = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    apart = sum(found.apart for found in best)
    return (
        f"Read off means over {seeds} seeds, in brackets the smallest and largest; no test has been made. The seeds of the best ratio are all better than "
        f"those of every other ratio at {apart} of {len(best)} sizes; where they are not, the best ratio is a guess. "
        "A range of seeds is no confidence interval."
    )
