"""Gathers the numbers of a sweep in one JSON document, which the page's script draws from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mixlingual.analysis.read.collect import Run, Sweep
from mixlingual.analysis.read.curves import thinned_curve
from mixlingual.analysis.read.points import RATIO_SERIES, ZERO_SHOT
from mixlingual.analysis.read.questions import QuestionScores
from mixlingual.analysis.statistics.estimates import Estimates
from mixlingual.analysis.statistics.gaps import Attempts
from mixlingual.analysis.tables.exposure import batches_table
from mixlingual.analysis.tables.grid import SETTINGS, Axes, Point, benchmarks
from mixlingual.data.writing_systems import script_of
from mixlingual.layout import CURVES
from mixlingual.measures.registry import BIAS, METRICS, SETTING_TITLES, headlines, language_bias
from mixlingual.records import is_number
from mixlingual.reporting.effects import effect_charts
from mixlingual.reporting.labels import size_label
from mixlingual.reporting.languages import in_script_order
from mixlingual.reporting.levels import unbiased_levels

CURVE_POINTS = 60
"""Points that are kept of each training curve."""

_ALL = "all"
"""The key of a benchmark's macro means, beside those of languages."""

_MATRIX_DECIMALS = 4

Values = list[float | None]
"""One value per finished run, in the order of `runs`."""


def payload(
    sweep: Sweep,
    results: pd.DataFrame,
    languages: pd.DataFrame,
    axes: Axes,
    parts: Sequence[QuestionScores] = (),
    attempt: Attempts | None = None,
    estimates: Estimates | None = None,
) -> dict[str, Any]:
    """Gathers all that the charts show, as JSON types.

    Args:
        sweep: what it is about.
        results: `results_table` of the sweep.
        languages: `languages_table` of the sweep.
        axes: rows and columns of its grids.
        parts: its scores by question.
        attempt: keeps a gap in place of a benchmark or of curves that cannot be shown.
        estimates: of the sweep, for the differences from a reference.
    """
    attempt = attempt or Attempts()
    runs = sweep.in_state("done")
    drawn = batches_table(sweep).set_index("run")["realised_ratio"].to_dict()

    def charts_of(name: str) -> dict[str, Any] | None:
        return attempt(f"Charts of {name}", lambda: _benchmark(name, sweep, results, languages, parts))

    return {
        "models": [
            {"name": model, "label": size_label(model, axes), "weights": weights}
            for model, weights in axes.sizes.items()
        ],
        "points": [_point(point) for point in axes.points],
        "ratio_series": RATIO_SERIES,
        "runs": [_place(run, axes, drawn) for run in runs],
        "headlines": headlines(),
        "effects": (estimates and attempt("Charts of differences", lambda: effect_charts(sweep, estimates, axes)))
        or {},
        "settings": SETTING_TITLES,
        "metrics": {name: _facts(name) for name in METRICS},
        "bias": [
            {
                "title": title,
                "measures": [
                    {"setting": METRICS[name].setting, "metric": name, "foremost": METRICS[name].foremost}
                    for name in names
                ],
            }
            for title, names in language_bias().items()
        ],
        "benchmarks": {name: charts for name in known_benchmarks(results) if (charts := charts_of(name))},
        "curves": attempt("Training curves", lambda: [_curve(sweep, run) for run in runs]) or [{} for _ in runs],
    }


def known_benchmarks(results: pd.DataFrame) -> list[str]:
    """Lists the benchmarks that some run has a known measure of; of others nothing can be drawn."""
    return benchmarks(results[results.metric.isin(METRICS)])


def as_json(document: dict[str, Any]) -> str:
    """Writes the document as JSON that is safe inside a script element: it holds no <, > or &, and ASCII only."""
    text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


def _point(point: Point) -> dict[str, Any]:
    baseline = point.series.startswith(ZERO_SHOT)
    return {"series": point.series, "ratio": point.ratio, "label": point.label, "baseline": baseline}


def _place(run: Run, axes: Axes, drawn: Mapping[str, float]) -> dict[str, Any]:
    assert run.point is not None
    point = axes.points.index(Point(run.point.series, run.point.ratio))
    place = {"model": list(axes.sizes).index(run.point.model), "point": point, "seed": run.point.seed}
    realised = drawn.get(run.name)
    return {"name": run.name} | place | {"realised": round(realised, 3) if is_number(realised) else None}


def _facts(name: str) -> dict[str, Any]:
    metric = METRICS[name]
    return {
        "label": metric.label,
        "direction": metric.direction,
        "decimals": metric.decimals,
        "larger": metric.larger_is_better,
        "meaning": metric.meaning,
        "unbiased": metric.unbiased,
    }


def _benchmark(
    name: str, sweep: Sweep, results: pd.DataFrame, languages: pd.DataFrame, parts: Sequence[QuestionScores]
) -> dict[str, Any]:
    runs = sweep.in_state("done")
    mine, by_language = results[results.benchmark == name], languages[languages.benchmark == name]
    pairs = by_language[by_language.setting != "multi"]
    codes = in_script_order([*by_language.query_language.unique(), *pairs.candidate_language.unique()])
    return {
        "languages": codes,
        "scripts": [script_of(code) for code in codes],
        "scores": _scores(mine, by_language, [run.name for run in runs]),
        "references": unbiased_levels(parts, name, mine, len(codes)),
        "matrices": _matrices(name, codes, pairs, runs),
    }


def _scores(mine: pd.DataFrame, by_language: pd.DataFrame, runs: Sequence[str]) -> dict[str, Any]:
    """Nests the values by setting, metric and language of the question, or `_ALL`."""
    scores: dict[str, Any] = {setting: {} for setting in (*SETTINGS, BIAS)}
    parts = [mine.assign(query_language=_ALL), by_language]
    for part in parts:
        key = ["setting", "metric", "query_language"]
        table = part[part.metric.isin(METRICS)].pivot_table(index=key, columns="run", values="value", aggfunc="mean")
        for (setting, metric, language), row in table.reindex(columns=runs).iterrows():
            values = _rounded(row, METRICS[metric].decimals + 1)
            scores[setting].setdefault(metric, {})[language] = values
    return {
        setting: {metric: found[metric] for metric in METRICS if metric in found} for setting, found in scores.items()
    }


def _matrices(
    name: str, codes: Sequence[str], pairs: pd.DataFrame, runs: Sequence[Run]
) -> dict[str, list[Values | None]]:
    """Gives, for each measure and run, values by query language, then candidate language; None where it has none."""
    present = set(pairs.metric.unique())
    metric = next((metric for metric in METRICS if metric in present), None)
    order = pd.MultiIndex.from_product([codes, codes])
    table = pairs[pairs.metric == metric].pivot_table(
        index="run", columns=["query_language", "candidate_language"], values="value"
    )
    table = table.reindex(columns=order)
    quality = [_rounded(table.loc[run.name], _MATRIX_DECIMALS) if run.name in table.index else None for run in runs]
    lifts = [_lift(run, name, codes) for run in runs]
    return ({metric: quality} if metric else {}) | ({"lift@10": lifts} if any(lifts) else {})


def _lift(run: Run, benchmark: str, codes: Sequence[str]) -> Values | None:
    """Reads the log2 lifts of a run, if its result has them."""
    assert run.result is not None
    found: Any = run.result.benchmarks.get(benchmark)
    for key in ("bias", "lift@10", "log2"):
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        return None
    rows = [found.get(code) for code in codes]
    cells = [row.get(code) if isinstance(row, dict) else None for row in rows for code in codes]
    return [round(value, _MATRIX_DECIMALS) if is_number(value) else None for value in cells]


def _curve(sweep: Sweep, run: Run) -> dict[str, Values]:
    curve = thinned_curve(sweep.folder / run.name / CURVES, CURVE_POINTS)
    return {
        str(column): [float(f"{value:.5g}") if is_number(value) else None for value in values]
        for column, values in curve.items()
        if values.notna().any()
    }


def _rounded(row: pd.Series[float], decimals: int) -> Values:
    return [round(value, decimals) if is_number(value) else None for value in row.tolist()]
