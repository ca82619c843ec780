"""Where a run lies in the grid of its sweep: size, series, ratio and seed.

Runs are averaged over seeds only when nothing but the seed tells them apart. `tell_apart` keeps
this true for sweeps that vary more than size and ratio: it names a series for each variant.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from mixlingual.config import NOT_COMPUTED
from mixlingual.records import RunResult

RATIO_SERIES = "hybrid"
"""The series of the ratio axis: batches in one language, or in one ordered pair of languages."""

ZERO_SHOT = "zero-shot"
"""The series of encoders that were evaluated without any training."""

_RATIO_PRESETS = ("hybrid", "x_x_mono", "x_y")
"""Batching presets that are points of the ratio axis: any ratio, ratio 1 and ratio 0."""

_NOT_VARIANTS = (
    *NOT_COMPUTED, "seed", "model.name", "batching.name", "batching.monolingual_ratio", "data.root",
    "evaluation.benchmarks", "evaluation.root",
)  # fmt: skip
"""Options, or sections, that are an axis of the grid or change where a run is computed and shown."""


@dataclass(frozen=True)
class GridPoint:
    """Where a run lies in the grid of its sweep."""

    model: str
    """Label on the size axis, `model.name`."""
    series: str
    """`RATIO_SERIES`, or the name of another kind of batches, with whatever else tells a variant apart."""
    ratio: float
    """alpha, the probability that a batch is monolingual."""
    seed: int


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value read from JSON is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def grid_point(model: object, batching: object, ratio: object, seed: object) -> GridPoint:
    """The point of a run from unchecked values.

    Raises:
        ValueError: a value is absent or of another type.
    """
    if isinstance(model, str) and isinstance(batching, str) and is_number(ratio) and is_number(seed):
        series = RATIO_SERIES if batching in _RATIO_PRESETS else batching
        return GridPoint(model, series, float(ratio), int(seed))
    raise ValueError(f"no grid point: model {model!r}, batching {batching!r}, ratio {ratio!r}, seed {seed!r}")


def tell_apart(runs: Sequence[tuple[GridPoint, RunResult]]) -> list[GridPoint]:
    """The points of finished runs, with series that no two kinds of runs share.

    Where runs of one model and series differ in an option other than an axis of the grid, or in
    the content of a data set, its value becomes part of the series: `hybrid, batching.batch_size=64`.
    Options that only some of the runs have, written by another version of the code, are not compared.
    """
    options = [_options(result) for _, result in runs]
    groups = defaultdict(list)
    for (point, _), values in zip(runs, options, strict=True):
        groups[point.model, point.series].append(values)
    varied: defaultdict[str, set[str]] = defaultdict(set)
    for (_, series), members in groups.items():
        varied[series] |= _differences(members)
    return [
        _named(point, values, sorted(varied[point.series])) for (point, _), values in zip(runs, options, strict=True)
    ]


def _named(point: GridPoint, values: dict[str, str], varied: list[str]) -> GridPoint:
    variant = (f"{path}={values[path]}" for path in varied if path in values)
    return dataclasses.replace(point, series=", ".join((point.series, *variant)))


def _differences(members: list[dict[str, str]]) -> set[str]:
    shared = set.intersection(*(set(values) for values in members))
    return {path for path in shared if len({values[path] for values in members}) > 1}


def _options(result: RunResult) -> dict[str, str]:
    """Dotted path -> value, as text, of all that may tell runs apart."""
    leaves = dict(_leaves(result.config)) | {f"fingerprint of {name}": str(v) for name, v in result.data.items()}
    return {path: value for path, value in leaves.items() if not _is_listed(path)}


def _is_listed(path: str) -> bool:
    return any(path == entry or path.startswith(f"{entry}.") for entry in _NOT_VARIANTS)


def _leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)
