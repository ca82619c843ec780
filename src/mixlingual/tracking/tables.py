"""Gives what a finished run came to, as the scalars, table rows and grid that a tracker shows.

Languages and pairs go to tables and to one grid of a benchmark: L x L scalar names would drown the curves of a sweep.
Shape suffixes: L languages of the benchmark.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from mixlingual.analysis.tables.grid import SETTINGS
from mixlingual.measures.registry import BIAS
from mixlingual.records import RunResult
from mixlingual.reporting.languages import in_script_order


def summary_scalars(result: RunResult) -> dict[str, float]:
    """Gathers all that one would sort the runs of a sweep by.

    eval/<benchmark>/<setting>/<metric> are macro metrics, eval/<benchmark>/bias/... the measures of language bias
    that concern no single language; training/ and probes/ as in result.json, seconds/ its timings, and
    batches/monolingual_ratio the share of monolingual batches that came about.
    """
    sections: dict[str, Mapping[str, float | None]] = {
        "training": result.training,
        "probes": result.probes,
        "seconds": result.timings,
    }
    values = {f"{section}/{name}": value for section, part in sections.items() for name, value in part.items()}
    if "monolingual_ratio" in result.batches:
        values["batches/monolingual_ratio"] = result.batches["monolingual_ratio"]
    return _macro(result.benchmarks) | {name: value for name, value in values.items() if value is not None}


def metric_tables(benchmarks: dict[str, Any]) -> dict[str, tuple[list[str | int], list[list[Any]]]]:
    """Gives the (columns, rows) of each table, of all benchmarks; tables without rows are left out.

    eval/languages by query language and eval/pairs by query and candidate language: a metric that a row's setting
    does not have is None. eval/bias has a row for each figure of language bias, with the language or pair that it
    is about, or an empty one.
    """
    tables = {
        "eval/languages": list(_language_rows(benchmarks)),
        "eval/pairs": list(_pair_rows(benchmarks)),
        "eval/bias": list(_bias_rows(benchmarks)),
    }
    return {name: _columns_and_rows(rows) for name, rows in tables.items() if rows}


def language_matrix(metrics: dict[str, Any]) -> pd.DataFrame | None:
    """Lays out mAP by language of the question (rows) and candidates (columns); None without cross-lingual scores.

    Args:
        metrics: of one benchmark. The diagonal is its monolingual setting; NaN where nothing was measured.
    """
    pairs = metrics.get("cross", {}).get("pairs", {})
    alone = metrics.get("mono", {}).get("languages", {})
    languages = in_script_order(metrics.get("languages", []))
    scores = {f"{code}-{code}": values for code, values in alone.items()} | pairs
    cells = [scores.get(f"{query}-{candidate}", {}) for query, candidate in product(languages, repeat=2)]
    map_LL = np.array([cell.get("map", np.nan) for cell in cells]).reshape(len(languages), -1)
    return pd.DataFrame(map_LL, languages, languages) if pairs and np.isfinite(map_LL).any() else None


def scalar_name(benchmark: str, setting: str, measure: str) -> str:
    """Names a macro metric on W&B, or a measure of language bias, whose own name may be a path with dots."""
    return "/".join(("eval", benchmark, setting, *measure.split(".")))


def _macro(benchmarks: dict[str, Any]) -> dict[str, float]:
    scalars = {
        scalar_name(benchmark, setting, metric): value
        for benchmark, setting, metrics in _measured(benchmarks)
        for metric, value in metrics.items()
        if not isinstance(value, dict)
    }
    for row in _bias_rows(benchmarks):
        if not row["languages"]:
            scalars[scalar_name(row["benchmark"], BIAS, row["measure"])] = row["value"]
    return scalars


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


def _bias_rows(benchmarks: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for benchmark, metrics in benchmarks.items():
        languages = metrics.get("languages", [])
        about = {*languages, *(f"{one}-{other}" for one, other in product(languages, repeat=2))}
        for path, value in _leaves(metrics.get(BIAS, {})):
            named = [part for part in path if part in about]
            measure = [part for part in path if part not in about and part not in ("languages", "pairs")]
            yield {
                "benchmark": benchmark, "measure": "/".join(measure), "languages": "-".join(named), "value": value,
            }  # fmt: skip


def _leaves(values: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value


def _measured(benchmarks: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yields (benchmark, setting, metrics) of every setting that was measured."""
    for benchmark, metrics in benchmarks.items():
        for setting in SETTINGS:
            if setting in metrics:
                yield benchmark, setting, metrics[setting]


def _columns_and_rows(rows: list[dict[str, Any]]) -> tuple[list[str | int], list[list[Any]]]:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return [*columns], [[row.get(column) for column in columns] for row in rows]
