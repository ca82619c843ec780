"""Computes how much of what mixing gains a correction after training gives as well.

A pure encoder whose embeddings are corrected, as by centering each language, has lost a constant offset between
languages and learned nothing. What it gains over itself, as a share of what the mixed ratio gains over it, is what such
an offset explains. The scores are those that `python -m mixlingual.evaluate -m` leaves beside the runs of a sweep.

A share is a ratio of two noisy differences that have the pure encoder in common. Its interval is Fieller's (1954, Some
problems in interval estimation, JRSS B 16): all shares s with |c - s m| within t standard errors of 0. Where what
mixing gains is not separable from 0 that is no interval, and no share is given.

A run and the same corrected share a seed, as runs of two sizes do (`spread`).

Shape suffixes: K cells, V the four of them: pure, pure corrected, mixed, mixed corrected.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mixlingual.analysis.read.collect import Sweep
from mixlingual.analysis.read.question_files import read_question_scores
from mixlingual.analysis.read.questions import QuestionScores
from mixlingual.analysis.read.ratio_axis import RatioAxis
from mixlingual.analysis.statistics.cells import CellMeans
from mixlingual.analysis.statistics.contrasts import estimate, quantile
from mixlingual.analysis.statistics.response import Interval, quotient
from mixlingual.analysis.statistics.spread import Vector
from mixlingual.config.schema import AnalysisConfig
from mixlingual.layout import CRASH, DIVERGED, LEASE, PROGRESS, RESULT, STATUS
from mixlingual.measures.registry import larger_is_better

MIXING_V = np.array([-1.0, 0.0, 1.0, 0.0])
CORRECTING_V = np.array([-1.0, 1.0, 0.0, 0.0])
REMAINING_V = np.array([0.0, -1.0, 0.0, 1.0])
"""Weights of the four cells in `Debiasing.mixing`, `.correcting` and `.remaining`."""

_NO_EVALUATIONS = {RESULT, STATUS, LEASE, PROGRESS, DIVERGED, CRASH}


@dataclass(frozen=True)
class Debiasing:
    """A correction of one size, against the mixed ratio; positive where the second encoder is better."""

    benchmark: str
    setting: str
    measure: str
    evaluation: str
    """Name of the evaluation that the scores are from."""
    correction: str
    model: str
    pure: float
    """The ratio that is corrected: 0 or 1."""
    mixing: Interval
    """The mixed ratio less the pure one."""
    correcting: Interval
    """The pure ratio corrected, less the same as it is."""
    remaining: Interval
    """The mixed ratio less the pure one, both corrected."""
    share: Interval | None
    """`correcting` of `mixing`; None where `mixing` is not separable from 0."""
    over_runs: bool
    """Whether intervals are over training runs, too; False where no seed of the size is repeated."""


class _Files(NamedTuple):
    """The scores that evaluations of one name and the same corrections have left."""

    evaluation: str
    corrections: tuple[str, ...]
    plain: dict[str, Path]
    """Run -> its scores by question without a correction."""

    def of(self, run: str, correction: str) -> Path:
        """The scores by question of a run with a correction."""
        return self.plain[run].with_name(f"{self.evaluation}_{correction}.parquet")


@dataclass(frozen=True)
class CorrectedScores:
    """The scores of runs as an evaluation found them, and with a correction, under `corrected_name`."""

    evaluation: str
    correction: str
    parts: tuple[QuestionScores, ...]
    left_out: dict[str, str]


def corrected_scores(sweep: Sweep, axis: RatioAxis, names: Sequence[str]) -> list[CorrectedScores]:
    """Those of every evaluation and correction.

    Args:
        sweep: as read from its folder.
        axis: its runs; others are not looked at.
        names: measures wanted.
    """
    found = []
    for files in _evaluations(sweep, axis):
        for correction in files.corrections:
            wanted = files.plain | {corrected_name(run): files.of(run, correction) for run in files.plain}
            scores = read_question_scores(wanted, names)
            reasons = {f"{run} with {correction}": reason for run, reason in scores.left_out.items()}
            found.append(CorrectedScores(files.evaluation, correction, scores.parts, reasons))
    return found


def debiasing(
    corrected: Sequence[CorrectedScores],
    axis: RatioAxis,
    config: AnalysisConfig,
    measures: Sequence[tuple[str, str]],
) -> list[Debiasing]:
    """All corrections of pure ratios.

    Args:
        corrected: their scores.
        axis: where the runs lie.
        config: the mixed ratio, and how sure.
        measures: (setting, measure) wanted.
    """
    return [
        found
        for each in corrected
        for part in each.parts
        if (part.setting, part.measure) in measures
        for found in _of_measure(part.clustered(config.cluster), axis, config, each.evaluation, each.correction)
    ]


def corrected_name(run: str) -> str:
    """What a corrected run, or size, is called beside itself."""
    return f"{run}, corrected"


def _evaluations(sweep: Sweep, axis: RatioAxis) -> list[_Files]:
    """Evaluations with corrections; one of another kind, or that cannot be read, is none of ours."""
    found: dict[tuple[str, str], dict[str, Path]] = {}
    for run in axis.trials:
        for path in sorted((sweep.folder / run).glob("*.json")):
            if path.name in _NO_EVALUATIONS:
                continue
            try:
                options = json.loads(path.read_text(encoding="utf-8"))["corrections"]
                methods = options["methods"]
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if methods:
                label = json.dumps(options, sort_keys=True)
                found.setdefault((path.stem, label), {})[run] = path.with_suffix(".parquet")
    return [_Files(stem, tuple(json.loads(label)["methods"]), plain) for (stem, label), plain in found.items()]


def _of_measure(
    scores: QuestionScores, axis: RatioAxis, config: AnalysisConfig, evaluation: str, correction: str
) -> Iterator[Debiasing]:
    known = set(scores.runs)
    runs = [run for run in axis.trials if {run, corrected_name(run)} <= known]
    models = dict.fromkeys(axis.trials[run].model for run in runs)
    for model in sorted(models, key=axis.weights.__getitem__):
        own = [run for run in runs if axis.trials[run].model == model]
        trials = [axis.trials[run] for run in own]
        both = scores.of_runs([*own, *map(corrected_name, own)])
        means = CellMeans.of(both, trials + [trial._replace(model=corrected_name(model)) for trial in trials])
        for pure in (0.0, 1.0):
            cells = [(name, ratio) for ratio in (pure, config.ratio) for name in (model, corrected_name(model))]
            places = [place for cell in cells if (place := means.place(*cell)) is not None]
            if len(places) == len(cells):
                four = _Four(means, places, 1.0 if larger_is_better(scores.measure) else -1.0, config.level)
                yield Debiasing(
                    scores.benchmark,
                    scores.setting,
                    scores.measure,
                    evaluation,
                    correction,
                    model,
                    pure,
                    mixing=four.interval(MIXING_V),
                    correcting=four.interval(CORRECTING_V),
                    remaining=four.interval(REMAINING_V),
                    share=four.share(CORRECTING_V, MIXING_V),
                    over_runs=means.spread is not None,
                )


@dataclass(frozen=True)
class _Four:
    """The four cells, larger being better: pure and mixed, each as it is and corrected."""

    means: CellMeans
    places: Sequence[int]
    sign: float
    level: float

    def interval(self, weight_V: Vector) -> Interval:
        """A sum of cell means with weights."""
        found = estimate(self.means, self._weights(weight_V), self.level)
        return Interval(found.value, found.low, found.high)

    def share(self, part_V: Vector, whole_V: Vector) -> Interval | None:
        """One sum over another, with Fieller's interval; None where the other is not separable from 0."""
        part, whole = (float(self._weights(weight_V) @ self.means.mean_K) for weight_V in (part_V, whole_V))
        variance, other, both = (self.means.variance(self._weights(w)) for w in (part_V, whole_V, part_V + whole_V))
        shared = (both.error**2 - variance.error**2 - other.error**2) / 2
        return quotient((part, whole), (variance.error, other.error, shared), quantile(self.level, other.freedom))

    def _weights(self, weight_V: Vector) -> Vector:
        weight_K = np.zeros(len(self.means.cells))
        weight_K[list(self.places)] = self.sign * weight_V
        return weight_K
