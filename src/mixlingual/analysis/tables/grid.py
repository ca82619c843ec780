"""Makes tidy tables of a sweep's metrics, and size x ratio grids of them as means over seeds.

Runs are incomplete and files may be foreign: a metric that is absent or no finite number is
left out of the tidy tables and blank in a grid.

Shape suffixes: S sizes; P points.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mixlingual.analysis.read.collect import Run, Sweep
from mixlingual.analysis.read.points import RATIO_SERIES, ZERO_SHOT
from mixlingual.measures.registry import BIAS, METRICS, Measure
from mixlingual.records import is_number

SETTINGS = {"mono": "languages", "cross": "pairs", "multi": "languages"}
"""Setting -> key of its scores per language or per pair."""

ALL_LANGUAGES = "all"
"""Candidate language of the multilingual setting, which ranks the candidates of all languages together."""

_RUN_COLUMNS = ["run", "series", "model", "non_embedding", "ratio", "seed"]


class Point(NamedTuple):
    """A place on the ratio axis of one series."""

    series: str
    ratio: float

    @property
    def label(self) -> str:
        """The ratio; before it the series, unless that is the ratio axis itself, or has no ratio."""
        if self.series.startswith(ZERO_SHOT):
            return self.series
        return f"{self.ratio:g}" if self.series == RATIO_SERIES else f"{self.series} {self.ratio:g}"


@dataclass(frozen=True)
class Axes:
    """The rows and columns that all grids of a sweep share."""

    sizes: dict[str, int | None]
    """Model -> weights without the embedding table, ascending; None where no run is finished yet, last."""
    points: tuple[Point, ...]
    """The ratio axis, ascending, then other series by name, numbers in it as numbers."""


@dataclass(frozen=True)
class Grid:
    """One metric of one benchmark and setting over sizes (rows) and points (columns)."""

    benchmark: str
    setting: str
    metric: str
    mean: pd.DataFrame
    """Mean over seeds; NaN where no run is finished."""
    low: pd.DataFrame
    """Smallest value of a seed."""
    high: pd.DataFrame
    """Largest value of a seed."""
    seeds: pd.DataFrame
    """Number of seeds."""
    values: pd.DataFrame
    """Tidy columns model, series, ratio, seed, value: what the means are taken over."""

    @property
    def facts(self) -> Measure:
        """Name, direction and decimals of the metric."""
        return METRICS[self.metric]

    def best(self, decimals: int) -> pd.DataFrame:
        """True at the best means of each size within each series that has several points to choose from.

        Means that look equal at `decimals` are all best; none is where neither direction is better, and none of another
        number of seeds than most cells of its series.
        """
        shown_SP, series_P = self.mean.round(decimals).to_numpy(), self.mean.columns.get_level_values("series")
        best_SP = np.zeros(shown_SP.shape, dtype=bool)
        if self.facts.larger_is_better is not None:
            extreme = np.fmax if self.facts.larger_is_better else np.fmin
            for name in series_P.unique():
                own_P = series_P == name
                values = shown_SP[:, own_P]
                choices = (~np.isnan(values)).sum(axis=1, keepdims=True)
                seeds = self.seeds.to_numpy()[:, own_P]
                best_SP[:, own_P] = (
                    (values == extreme.reduce(values, axis=1, keepdims=True))
                    & (choices > 1)
                    & (seeds == usual_seeds(seeds.ravel().tolist()))
                )
        return pd.DataFrame(best_SP, self.mean.index, self.mean.columns)


def usual_seeds(counts: Iterable[int]) -> int:
    """The number of seeds that most cells have, of those with any; the larger of two that are as frequent."""
    found = Counter(count for count in counts if count)
    return max(found, key=lambda count: (found[count], count), default=0)


def results_table(sweep: Sweep) -> pd.DataFrame:
    """One row per (run, benchmark, setting, metric); the setting of figures from `bias` sections is `BIAS`."""
    rows = [
        (*_run_cells(section.run), section.benchmark, section.setting, metric, value)
        for section in _sections(sweep)
        for metric, value in section.numbers()
    ]
    return pd.DataFrame(rows, columns=[*_RUN_COLUMNS, "benchmark", "setting", "metric", "value"])


def languages_table(sweep: Sweep) -> pd.DataFrame:
    """One row per (run, benchmark, setting, query language, candidate language, metric); names are categories."""
    keys, counts = [], []
    metrics: list[str] = []
    values: list[float] = []
    for section in _sections(sweep):
        scores_of = _object(section.scores.get(SETTINGS.get(section.setting, "")))
        place = (*_run_cells(section.run), section.benchmark, section.setting)
        for key, scores in scores_of.items():
            known = dict(_numbers(_object(scores)))
            keys.append((*place, *_language_pair(section, key)))
            counts.append(len(known))
            metrics += known
            values += known.values()
    columns = [*_RUN_COLUMNS, "benchmark", "setting", "query_language", "candidate_language"]
    named = dict.fromkeys((name for name in columns if name not in ("non_embedding", "ratio", "seed")), "category")
    table = pd.DataFrame(keys, columns=columns).astype(named)
    table = table.loc[np.repeat(table.index, counts)].reset_index(drop=True)
    return table.assign(metric=pd.Categorical(metrics), value=np.array(values, dtype=np.float64))


def benchmarks(results: pd.DataFrame) -> list[str]:
    """Names of the benchmarks that some run has results of."""
    return sorted(results.benchmark.unique())


def grid_axes(sweep: Sweep) -> Axes:
    """Sizes and points of all runs whose place in the grid is known, finished or not."""
    done = [run.point for run in sweep.runs if run.point and run.result]
    named = {point.series for point in done}
    split = {series.partition(", ")[0] for series in named if ", " in series} - named
    points = done + [run.point for run in sweep.runs if run.point and not run.result and run.point.series not in split]
    weights = {
        run.point.model: int(run.result.parameters["non_embedding"]) for run in sweep.runs if run.point and run.result
    }
    models = sorted(dict.fromkeys(p.model for p in points), key=lambda model: weights.get(model, float("inf")))
    places = sorted({Point(p.series, p.ratio) for p in points}, key=_place)
    return Axes({model: weights.get(model) for model in models}, tuple(places))


def _place(point: Point) -> tuple[bool, list[tuple[float, str]], float]:
    parts = re.split(r"(\d+(?:\.\d+)?)", point.series)
    natural = [(float(part) if part[:1].isdigit() else -1.0, part) for part in parts]
    return point.series != RATIO_SERIES, natural, point.ratio


def size_by_ratio(results: pd.DataFrame, axes: Axes, benchmark: str, setting: str, metric: str) -> Grid:
    """The grid of one metric.

    Args:
        results: `results_table` of the sweep.
        axes: rows and columns, also of runs that are not finished.
        benchmark: its name.
        setting: mono, cross, multi or `BIAS`.
        metric: a key of `METRICS`.
    """
    (grid,) = grids(results, axes, benchmark, [(setting, metric)])
    return grid


def grids(results: pd.DataFrame, axes: Axes, benchmark: str, pairs: Sequence[tuple[str, str]]) -> list[Grid]:
    """The same of several (setting, metric) at once."""
    pair, cell, statistics = ["setting", "metric"], ["model", "series", "ratio"], ["mean", "min", "max", "count"]
    own = results[(results.benchmark == benchmark) & results.metric.isin({metric for _, metric in pairs})]
    values = own.groupby([*pair, *cell, "seed"], as_index=False)["value"].mean()
    by_cell = values.groupby([*pair, *cell])["value"].agg(statistics)
    places = pd.MultiIndex.from_tuples([(model, *point) for model in axes.sizes for point in axes.points], names=cell)
    of_pair = values.groupby(pair).indices
    index, columns = pd.Index(axes.sizes, name="model"), pd.MultiIndex.from_tuples(axes.points, names=cell[1:])
    found = []
    for name in pairs:
        table = by_cell.loc[name] if name in of_pair else by_cell.iloc[:0].droplevel(pair)
        shaped = table.reindex(places).to_numpy(dtype=float).T.reshape(len(statistics), len(index), len(columns))
        mean, low, high, seeds = (pd.DataFrame(each_SP, index, columns) for each_SP in shaped)
        rows = values.iloc[of_pair.get(name, [])].drop(columns=pair)
        found.append(Grid(benchmark, *name, mean, low, high, seeds.fillna(0).astype(int), rows))
    return found


def language_grid(languages: pd.DataFrame, benchmark: str, model: str, point: Point) -> pd.DataFrame:
    """Mean mAP over seeds by query language (rows) and candidate language (columns).

    The diagonal holds the monolingual setting and the rest the cross-lingual one.

    Args:
        languages: `languages_table` of the sweep.
        benchmark: its name.
        model: the size.
        point: series and ratio.
    """
    cell = (languages.model == model) & (languages.series == point.series) & (languages.ratio == point.ratio)
    shown = (languages.benchmark == benchmark) & (languages.setting != "multi") & (languages.metric == "map")
    pair = ["query_language", "candidate_language"]
    by_seed = languages[cell & shown].groupby([*pair, "seed"])["value"].mean()
    return by_seed.groupby(level=pair).mean().unstack("candidate_language")


class _Section(NamedTuple):
    run: Run
    benchmark: str
    languages: list[Any]
    setting: str
    scores: dict[str, Any]

    def numbers(self) -> Iterator[tuple[str, float]]:
        """(metric, value) of the section as a whole."""
        return _bias_numbers(self.scores) if self.setting == BIAS else _numbers(self.scores)


def _sections(sweep: Sweep) -> Iterator[_Section]:
    for run in sweep.in_state("done"):
        assert run.result is not None
        for benchmark, scores in run.result.benchmarks.items():
            languages = _object(scores).get("languages")
            for setting in (*SETTINGS, BIAS):
                section = _object(_object(scores).get(setting))
                yield _Section(run, benchmark, languages if isinstance(languages, list) else [], setting, section)


def _run_cells(run: Run) -> tuple[str, str, str, int, float, int]:
    point, result = run.point, run.result
    assert point is not None
    assert result is not None
    return run.name, point.series, point.model, int(result.parameters["non_embedding"]), point.ratio, point.seed


def _language_pair(section: _Section, key: str) -> tuple[str, str]:
    """(query language, candidate language) of a score. Codes may hold hyphens, so pairs are split at known ones."""
    if section.setting == "mono":
        return key, key
    if section.setting == "multi":
        return key, ALL_LANGUAGES
    for language in section.languages:
        candidate = key.removeprefix(f"{language}-")
        if candidate != key and candidate in section.languages:
            return language, candidate
    query, _, candidate = key.partition("-")
    return query, candidate


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _numbers(scores: dict[str, Any]) -> Iterator[tuple[str, float]]:
    return ((name, float(value)) for name, value in scores.items() if is_number(value))


def _bias_numbers(section: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """(path, value) of every figure of a benchmark's `bias` section that is one number."""
    for group, figures in section.items():
        yield from ((f"{group}.{key}", value) for key, value in _numbers(_object(figures)))
