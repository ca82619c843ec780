"""The metrics of a finished run as the scalars and table rows that a tracker shows.

Languages and pairs go to tables, not scalars: L x L scalar names would drown the curves of a sweep.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

_SETTINGS = ("mono", "cross", "multi")


def macro_scalars(benchmarks: dict[str, Any]) -> dict[str, float]:
    """The macro metrics of `RunResult.benchmarks`, named eval/<benchmark>/<setting>/<metric>."""
    return {
        f"eval/{benchmark}/{setting}/{metric}": value
        for benchmark, setting, metrics in _measured(benchmarks)
        for metric, value in metrics.items()
        if not isinstance(value, dict)
    }


def metric_tables(benchmarks: dict[str, Any]) -> dict[str, tuple[list[str | int], list[list[Any]]]]:
    """Table name -> (columns, rows): eval/languages by query language, eval/pairs by query and candidate language.

    Both cover all benchmarks; a metric that a row's setting does not have is None. Tables without rows are left out.
    """
    tables = {"eval/languages": list(_language_rows(benchmarks)), "eval/pairs": list(_pair_rows(benchmarks))}
    return {name: _columns_and_rows(rows) for name, rows in tables.items() if rows}


def _language_rows(benchmarks: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for benchmark, setting, metrics in _measured(benchmarks):
        for language, values in metrics.get("languages", {}).items():
            yield {"benchmark": benchmark, "setting": setting, "language": language, **values}


def _pair_rows(benchmarks: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for benchmark, _, metrics in _measured(benchmarks):
        pairs = metrics.get("pairs", {})
        for query, candidate in product(benchmarks[benchmark]["languages"], repeat=2):
            if values := pairs.get(f"{query}-{candidate}"):
                yield {"benchmark": benchmark, "query_language": query, "candidate_language": candidate, **values}


def _measured(benchmarks: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(benchmark, setting, metrics) of every setting that was measured."""
    for benchmark, metrics in benchmarks.items():
        for setting in _SETTINGS:
            if setting in metrics:
                yield benchmark, setting, metrics[setting]


def _columns_and_rows(rows: list[dict[str, Any]]) -> tuple[list[str | int], list[list[Any]]]:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return [*columns], [[row.get(column) for column in columns] for row in rows]
