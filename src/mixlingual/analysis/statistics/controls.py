"""Compares runs beside the ratio axis: controls with the run of their size, ratio and seed there, and baselines.

A control differs from the ratio axis in an option, as in how batches are drawn. A pair shares its seed, hence weights
at the start and most of its batches, so what varies is the difference of a pair: over seeds, which sizes share, and
over questions. A baseline is the encoder before any training. It has no seeds; every run of its size is paired with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mixlingual.analysis.read.collect import Run, Sweep
from mixlingual.analysis.read.points import RATIO_SERIES, ZERO_SHOT, differing_options
from mixlingual.analysis.read.questions import QuestionScores
from mixlingual.analysis.read.ratio_axis import Trial, trial_of
from mixlingual.analysis.statistics.cells import CellMeans
from mixlingual.analysis.statistics.contrasts import Estimate, adjusted, estimate


@dataclass(frozen=True)
class Pair:
    """A run, and the one that it is compared with."""

    kind: str
    """Series of the control; `ZERO_SHOT` where the second run is a baseline."""
    trial: Trial
    run: str
    other: str


@dataclass(frozen=True)
class Pairs:
    """The pairs of a sweep."""

    pairs: tuple[Pair, ...]
    differences: dict[str, dict[str, tuple[str, str]]]
    """Kind -> option -> (its value in the control, on the ratio axis), over all pairs of the kind."""
    unmatched: dict[str, str]
    """Control -> why it is in no pair."""

    @property
    def runs(self) -> list[str]:
        """Names of all runs in pairs."""
        return list(dict.fromkeys(name for pair in self.pairs for name in (pair.run, pair.other)))


@dataclass(frozen=True)
class PairedEffect:
    """What a kind of runs changes at a ratio, in one measure: first less second run of the pairs."""

    benchmark: str
    setting: str
    measure: str
    kind: str
    ratio: float
    sizes: dict[str, Estimate]
    """Size -> its own; p is of that size alone."""
    overall: Estimate
    """The mean over sizes; p by Holm's procedure over all ratios and measures of the controls, or of the baselines."""


def pairs_of(sweep: Sweep) -> Pairs:
    """Controls with their partners on the ratio axis, and runs of the ratio axis with the baselines of their size."""
    done = {run.name: run for run in sweep.runs if run.point and run.result}
    axis = {_place(run): run for run in done.values() if _series(run) == RATIO_SERIES}
    found: list[Pair] = []
    unmatched: dict[str, str] = {}
    for run in done.values():
        if _series(run).startswith(ZERO_SHOT):
            found += [_pair(ZERO_SHOT, own, run) for place, own in axis.items() if place[0] == _place(run)[0]]
        elif _series(run) != RATIO_SERIES:
            other = axis.get(_place(run))
            if other is None:
                unmatched[run.name] = _ALONE if axis else _NO_AXIS
            else:
                found.append(_pair(_series(run), run, other))
    return Pairs(tuple(found), _differences([pair for pair in found if pair.kind != ZERO_SHOT], done), unmatched)


_ALONE = "the ratio axis has no run of its size, ratio and seed"
_NO_AXIS = (
    "no kind of runs is the most frequent of its size, so that there is no ratio axis; say which is under "
    "analysis.reference in sweep.json"
)


def _differences(pairs: Sequence[Pair], done: Mapping[str, Run]) -> dict[str, dict[str, tuple[str, str]]]:
    values: dict[str, dict[str, tuple[dict[str, None], dict[str, None]]]] = {}
    for pair in pairs:
        run, other = (done[name].result for name in (pair.run, pair.other))
        assert run is not None
        assert other is not None
        for option, both in differing_options(run, other).items():
            sides = values.setdefault(pair.kind, {}).setdefault(option, ({}, {}))
            for side, value in zip(sides, both, strict=True):
                side[value] = None
    return {
        kind: {option: (" or ".join(mine), " or ".join(theirs)) for option, (mine, theirs) in options.items()}
        for kind, options in values.items()
    }


def _series(run: Run) -> str:
    assert run.point is not None
    return run.point.series


def _place(run: Run) -> tuple[str, float, int]:
    assert run.point is not None
    return run.point.model, run.point.ratio, run.point.seed


def _pair(kind: str, run: Run, other: Run) -> Pair:
    return Pair(kind, trial_of(run), run.name, other.name)


def paired_effects(
    scores: Sequence[QuestionScores], pairs: Pairs, weights: Mapping[str, int], level: float
) -> list[PairedEffect]:
    """The effect of every kind at every ratio in every measure.

    Args:
        scores: measures, also of the runs in `pairs`.
        pairs: of the sweep.
        weights: size -> number of weights without the embedding table, for the order.
        level: of the intervals.
    """
    kinds = dict.fromkeys(pair.kind for pair in pairs.pairs)
    families = [[kind for kind in kinds if kind != ZERO_SHOT], [kind for kind in kinds if kind == ZERO_SHOT]]
    found = []
    for family in families:
        effects = [
            effect
            for part in scores
            for kind in family
            for effect in _effects(part, [p for p in pairs.pairs if p.kind == kind], weights, level)
        ]
        overall = adjusted([effect.overall for effect in effects])
        found += [replace(effect, overall=estimate) for effect, estimate in zip(effects, overall, strict=True)]
    return found


def _effects(
    scores: QuestionScores, pairs: Sequence[Pair], weights: Mapping[str, int], level: float
) -> list[PairedEffect]:
    """The effects of one kind in one measure."""
    known = set(scores.runs)
    pairs = [pair for pair in pairs if pair.run in known and pair.other in known]
    if not pairs:
        return []
    differences = scores.differences([(pair.run, pair.other) for pair in pairs])
    means = CellMeans.of(differences, [pair.trial for pair in pairs])
    found = []
    for ratio in sorted({cell.ratio for cell in means.cells}):
        at = [place for place, cell in enumerate(means.cells) if cell.ratio == ratio]
        at.sort(key=lambda place: weights[means.cells[place].model])
        chosen_KK = np.eye(len(means.cells))
        sizes = {means.cells[place].model: estimate(means, chosen_KK[place], level) for place in at}
        overall = estimate(means, chosen_KK[at].mean(axis=0), level)
        found.append(
            PairedEffect(scores.benchmark, scores.setting, scores.measure, pairs[0].kind, ratio, sizes, overall)
        )
    return found
