"""This finds all measures, by importing every file of this package, computes them and lists them for people.

Shape suffixes: Q queries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from mixlingual import measures
from mixlingual.measures.measure import AT_DEPTH, BIAS, METRICS, SECTIONS, SETTING_TITLES, Measure
from mixlingual.measures.retrieval import Ranked, Retrieval, Scores

__all__ = [
    "BIAS", "METRICS", "SETTING_TITLES", "Measure", "bias_figures", "depth_columns", "headlines", "is_depth_column",
    "language_bias", "larger_is_better", "line_pictures", "measures_table", "question_columns", "rank_columns",
    "scores_of_questions", "scores_of_ranks",
]  # fmt: skip

for _module in iter_modules(measures.__path__, f"{measures.__name__}."):
    if _module.name != __name__:
        import_module(_module.name)


def larger_is_better(metric: str) -> bool:
    """Says which way is better. It raises ValueError for a measure for which neither is."""
    larger = METRICS[metric].larger_is_better
    if larger is None:
        raise ValueError(f"{metric} is neither better high nor low")
    return larger


def headlines() -> list[tuple[str, str]]:
    """Lists (setting, measure) of what sums a benchmark up and is tested: quality first, then language bias."""
    return [(setting, name) for name, measure in METRICS.items() for setting in measure.headline]


def line_pictures() -> dict[str, list[tuple[str, str]]]:
    """Gives, by name, the (setting, measure) of each panel of the pictures against the ratio."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, measure in METRICS.items():
        if measure.picture:
            settings = measure.headline or (measure.setting,)
            found.setdefault(measure.picture, []).extend((setting, name) for setting in settings)
    return found


def language_bias() -> dict[str, list[str]]:
    """Groups all measures of language bias by title, in the order of `METRICS`."""
    groups: dict[str, list[str]] = {}
    for name, measure in METRICS.items():
        if measure.group:
            groups.setdefault(measure.group, []).append(name)
    return groups


def rank_columns() -> dict[str, Measure]:
    """Gives the measure of every column of queries.parquet that all settings have."""
    return {measure.column: measure for measure in METRICS.values() if measure.of_ranks}


def question_columns() -> list[str]:
    """Lists the columns of queries.parquet that the multilingual setting alone has."""
    return [measure.column for measure in METRICS.values() if measure.of_questions]


def depth_columns(cutoffs: Sequence[int]) -> list[str]:
    """Names the columns of further depths."""
    return [f"{prefix}@{k}" for k in sorted(cutoffs) for prefix in sorted(AT_DEPTH)]


def is_depth_column(column: str) -> bool:
    """Says whether a column holds a measure at some depth, as r@50 does."""
    prefix, at, _ = column.partition("@")
    return bool(at) and prefix in AT_DEPTH


def scores_of_ranks(ranked: Ranked, cutoffs: Sequence[int]) -> dict[str, Scores]:
    """Computes the [Q] scores of `rank_columns` and `depth_columns`, by column.

    Args:
        ranked: the relevant candidates of the queries.
        cutoffs: further depths.
    """
    scores = {column: measure.of_ranks(ranked) for column, measure in rank_columns().items() if measure.of_ranks}
    return scores | {f"{prefix}@{k}": function(ranked, k) for prefix, function in AT_DEPTH.items() for k in cutoffs}


def scores_of_questions(found: Retrieval) -> dict[str, Scores]:
    """Computes the [Q] scores of `question_columns`, by column."""
    return {measure.column: measure.of_questions(found) for measure in METRICS.values() if measure.of_questions}


def bias_figures(found: Retrieval) -> dict[str, Any]:
    """Computes the `bias` section of a benchmark, as JSON types; figures that are not finite are left out."""
    figures: dict[str, Any] = {}
    for _, section, function in SECTIONS:
        figures.setdefault(section, {}).update(_finite(function(found)))
    return figures


def _finite(figures: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in figures.items() if not isinstance(value, float) or math.isfinite(value)}


def measures_table() -> str:
    """Writes the measures of language bias as the Markdown table of docs/evaluation.md."""
    rows = ["| in the result | measure | what it says | without bias |", "| --- | --- | --- | --- |"]
    for names in language_bias().values():
        for measure in map(METRICS.__getitem__, names):
            words = f"{measure.label} ({measure.direction})"
            rows.append(f"| `{measure.setting}.{measure.name}` | {words} | {measure.meaning} | {measure.unbiased} |")
    return "\n".join(rows) + "\n"
