"""Says where a run lies in the grid of its sweep: size, series, ratio and seed.

Runs are averaged over seeds only when nothing but the seed tells them apart. `tell_apart` keeps
this true for sweeps that vary more than size and ratio: it names a series for each variant.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mixlingual.config.identity import not_computed, to_plain
from mixlingual.config.schema import TrainConfig
from mixlingual.records import RunResult, is_number

RATIO_SERIES = "hybrid"
"""The series of the ratio axis: batches in one language, or in one ordered pair of languages."""

ZERO_SHOT = "zero-shot"
"""The series of encoders that were evaluated without any training."""

_RATIO_PRESETS = ("hybrid", "x_x_mono", "x_y")
"""Batching presets that are points of the ratio axis: any ratio, ratio 1 and ratio 0."""

_NOT_VARIANTS = (
    *not_computed(TrainConfig), "seed", "model.name", "batching.name", "batching.monolingual_ratio", "data.root",
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


def grid_point(model: object, batching: object, ratio: object, seed: object) -> GridPoint:
    """The point of a run from unchecked values.

    Raises:
        ValueError: a value is absent or of another type.
    """
    if isinstance(model, str) and isinstance(batching, str) and is_number(ratio) and is_number(seed):
        series = RATIO_SERIES if batching in _RATIO_PRESETS else batching
        return GridPoint(model, series, float(ratio), int(seed))
    raise ValueError(f"no grid point: model {model!r}, batching {batching!r}, ratio {ratio!r}, seed {seed!r}")


@dataclass(frozen=True)
class Places:
    """Where the finished runs of a sweep lie."""

    points: list[GridPoint]
    """With series that no two kinds of runs share."""
    reference: dict[str, dict[str, str]]
    """Size -> option -> its value on the ratio axis, of the options that vary there beside ratio and seed."""


def tell_apart(runs: Sequence[tuple[GridPoint, RunResult]], declared: Mapping[str, str] | None = None) -> Places:
    """The places of finished runs.

    Where runs of one model and series differ in an option other than an axis of the grid, or in
    the content of a data set, its value becomes part of the series: `x_x, batching.batch_size=64`.
    Options that only some of the runs have, written by another version of the code, are not compared.

    The ratio axis keeps its name where the options have their reference values: those declared, else those that most
    runs of the size have, else (two kinds being as frequent) that most runs of all sizes have, else those of which more
    are the defaults. Other runs of it are controls, named by what differs. Where that leaves a tie too, every kind is
    named and none is the ratio axis.

    Args:
        runs: finished runs, as `grid_point` places them.
        declared: option, as a dotted path -> reference value.
    """
    options = [_options(result) for _, result in runs]
    groups = defaultdict(list)
    for (point, _), values in zip(runs, options, strict=True):
        groups[point.model, point.series].append(values)
    varied: defaultdict[str, set[str]] = defaultdict(set)
    for (_, series), members in groups.items():
        varied[series] |= _differences(members)
    kinds = {
        model: Counter(_kind(values, varied[series]) for values in members)
        for (model, series), members in groups.items()
        if series == RATIO_SERIES
    }
    reference = _references(kinds, declared or {}) if varied[RATIO_SERIES] else {}
    points = [
        _named(point, _kind(values, varied[point.series]), reference.get(point.model))
        for (point, _), values in zip(runs, options, strict=True)
    ]
    return Places(points, reference)


_Kind = tuple[tuple[str, str], ...]
"""(option, value) of the options that vary in a series, sorted."""


def _kind(values: dict[str, str], varied: set[str]) -> _Kind:
    return tuple((path, values[path]) for path in sorted(varied) if path in values)


def _references(kinds: Mapping[str, Counter[_Kind]], declared: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Size -> option -> reference value; empty if there is a size of which none can be told."""
    overall = sum(kinds.values(), Counter[_Kind]())
    chosen = {}
    for model, counts in kinds.items():
        fitting = [kind for kind in counts if all(declared.get(path, value) == value for path, value in kind)]
        ranks = {kind: (counts[kind], overall[kind], _defaults(kind)) for kind in fitting}
        ranked = sorted(fitting, key=ranks.__getitem__, reverse=True)
        if not ranked or (len(ranked) > 1 and ranks[ranked[0]] == ranks[ranked[1]]):
            return {}
        chosen[model] = dict(ranked[0])
    return chosen


def _defaults(kind: _Kind) -> int:
    """How many of the values are the defaults of their options."""
    return sum(_DEFAULTS.get(path) == value for path, value in kind)


def _named(point: GridPoint, kind: _Kind, reference: Mapping[str, str] | None) -> GridPoint:
    known = reference if reference and point.series == RATIO_SERIES else {}
    variant = (f"{path}={value}" for path, value in kind if known.get(path) != value)
    return dataclasses.replace(point, series=", ".join((point.series, *variant)))


def differing_options(run: RunResult, other: RunResult) -> dict[str, tuple[str, str]]:
    """Option -> (its value in `run`, in `other`), of those that are no axis of the grid and that both have."""
    mine, theirs = _options(run), _options(other)
    return {path: (mine[path], theirs[path]) for path in mine if path in theirs and mine[path] != theirs[path]}


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


_DEFAULTS = dict(_leaves(to_plain(TrainConfig())))
"""Option -> its default, as text."""
