"""How much of what mixing gains a correction after training gives as well.

A pure encoder whose embeddings are corrected, as by centering each language, has lost a constant offset between
languages and learned nothing. What it gains over itself, as a share of what the mixed ratio gains over it, is what such
an offset explains. The scores are those that `python -m mixlingual.evaluate -m` leaves beside the runs of a sweep.

A share is a ratio of two noisy differences that have the pure encoder in common. Its interval is Fieller's (1954, Some
problems in interval estimation, JRSS B 16): all shares s with |c - s m| within t standard errors of 0. Where what
mixing gains is not separable from 0 that is no interval, and no share is given.

Shape suffixes: R runs of a size, B draws, V the four cells: pure, pure corrected, mixed, mixed corrected.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mixlingual.analysis.read.collect import Sweep
from mixlingual.analysis.read.questions import QuestionScores, draw_clusters, read_question_scores
from mixlingual.analysis.read.ratio_axis import RatioAxis
from mixlingual.analysis.statistics.contrasts import satterthwaite
from mixlingual.analysis.statistics.response import Interval
from mixlingual.config.schema import AnalysisConfig
from mixlingual.measures.registry import larger_is_better

MIXING_V = np.array([-1.0, 0.0, 1.0, 0.0])
CORRECTING_V = np.array([-1.0, 1.0, 0.0, 0.0])
REMAINING_V = np.array([0.0, -1.0, 0.0, 1.0])
"""Weights of the four cells in `Debiasing.mixing`, `.correcting` and `.remaining`."""


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


def debiasing(
    sweep: Sweep, axis: RatioAxis, config: AnalysisConfig, measures: Sequence[tuple[str, str]]
) -> tuple[list[Debiasing], dict[str, str]]:
    """All corrections of pure ratios, and why corrected runs are missing from them.

    Args:
        sweep: as read from its folder.
        axis: its runs; others are not looked at.
        config: the mixed ratio, and how sure.
        measures: (setting, measure) wanted.
    """
    found: list[Debiasing] = []
    left_out: dict[str, str] = {}
    for files in _evaluations(sweep, axis):
        for correction in files.corrections:
            wanted = files.plain | {_corrected(run): files.of(run, correction) for run in files.plain}
            names = list(dict.fromkeys(measure for _, measure in measures))
            parts, problems = read_question_scores(wanted, names)
            left_out |= {f"{run} with {correction}": reason for run, reason in problems.items()}
            for part in parts:
                if (part.setting, part.measure) in measures:
                    found += _of_measure(part.clustered(config.cluster), axis, config, files.evaluation, correction)
    return found, left_out


def _corrected(run: str) -> str:
    return f"{run}, corrected"


def _evaluations(sweep: Sweep, axis: RatioAxis) -> list[_Files]:
    """Evaluations with corrections; one of another kind, or that cannot be read, is none of ours."""
    found: dict[tuple[str, str], dict[str, Path]] = {}
    for run in axis.cells:
        for path in sorted((sweep.folder / run).glob("*.json")):
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
    runs = [run for run in axis.cells if {run, _corrected(run)} <= known]
    models = dict.fromkeys(axis.cells[run].model for run in runs)
    for model in sorted(models, key=axis.weights.__getitem__):
        own = [run for run in runs if axis.cells[run].model == model]
        spread = _Spread.of(scores, {run: axis.cells[run].ratio for run in own}, config)
        for pure in (0.0, 1.0):
            contrasts = spread.contrasts(pure, config.ratio)
            if contrasts is None:
                continue
            yield Debiasing(
                scores.benchmark,
                scores.setting,
                scores.measure,
                evaluation,
                correction,
                model,
                pure,
                mixing=contrasts.interval(MIXING_V, config.level),
                correcting=contrasts.interval(CORRECTING_V, config.level),
                remaining=contrasts.interval(REMAINING_V, config.level),
                share=contrasts.share(CORRECTING_V, MIXING_V, config.level),
                over_runs=spread.freedom > 0,
            )


@dataclass(frozen=True)
class _Spread:
    """The runs of a size, each as it is and corrected, and how they scatter; larger is better."""

    ratio_R: NDArray[np.float64]
    value_R2: NDArray[np.float64]
    """As it is, corrected."""
    question_BR2: NDArray[np.float64]
    """The same on other questions."""
    clusters: int

    @classmethod
    def of(cls, scores: QuestionScores, ratios: Mapping[str, float], config: AnalysisConfig) -> _Spread:
        """That of some runs."""
        sign = 1.0 if larger_is_better(scores.measure) else -1.0
        draws = draw_clusters(len(scores.clusters), config.draws, config.seed)
        both = [scores.of_runs(list(ratios)), scores.of_runs([_corrected(run) for run in ratios])]
        return cls(
            np.array(list(ratios.values())),
            sign * np.stack([part.macros() for part in both], axis=-1),
            sign * np.stack([part.resampled(draws) for part in both], axis=-1),
            len(scores.clusters),
        )

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the spread between runs: it is pooled over ratios."""
        return len(self.ratio_R) - len(np.unique(self.ratio_R))

    def contrasts(self, pure: float, mixed: float) -> _Contrasts | None:
        """Of two ratios; None if either has no run."""
        at = [self.ratio_R == pure, self.ratio_R == mixed]
        if not all(place_R.any() for place_R in at):
            return None
        question_BV = np.concatenate([self.question_BR2[:, place_R].mean(axis=1) for place_R in at], axis=1)
        runs_VV = np.zeros((4, 4))
        for start, place_R in zip((0, 2), at, strict=True):
            runs_VV[start : start + 2, start : start + 2] = self._covariance() / place_R.sum()
        return _Contrasts(
            np.concatenate([self.value_R2[place_R].mean(axis=0) for place_R in at]),
            np.cov(question_BV, rowvar=False),
            runs_VV,
            (self.clusters - 1, self.freedom),
        )

    def _covariance(self) -> NDArray[np.float64]:
        """[2, 2] of single runs of a cell, as they are and corrected; 0 where no seed is repeated."""
        residual_R2 = self.value_R2.copy()
        for ratio in np.unique(self.ratio_R):
            residual_R2[self.ratio_R == ratio] -= self.value_R2[self.ratio_R == ratio].mean(axis=0)
        covariance_22: NDArray[np.float64] = residual_R2.T @ residual_R2 / max(1, self.freedom)
        return covariance_22


@dataclass(frozen=True)
class _Contrasts:
    """Means of the four cells and their covariance by questions and by runs, independent of each other."""

    mean_V: NDArray[np.float64]
    questions_VV: NDArray[np.float64]
    runs_VV: NDArray[np.float64]
    freedoms: tuple[int, int]

    def interval(self, weight_V: NDArray[np.float64], level: float) -> Interval:
        """A sum of cell means with weights."""
        value = float(weight_V @ self.mean_V)
        half = self._quantile(weight_V, level) * self._covariance(weight_V, weight_V) ** 0.5
        return Interval(value, value - half, value + half)

    def share(self, part_V: NDArray[np.float64], whole_V: NDArray[np.float64], level: float) -> Interval | None:
        """One sum over another, with Fieller's interval; None where the other is not separable from 0."""
        part, whole = float(part_V @ self.mean_V), float(whole_V @ self.mean_V)
        factor = self._quantile(whole_V, level) ** 2
        a = whole**2 - factor * self._covariance(whole_V, whole_V)
        b = part * whole - factor * self._covariance(part_V, whole_V)
        c = part**2 - factor * self._covariance(part_V, part_V)
        if a <= 0:
            return None
        half = max(0.0, b**2 - a * c) ** 0.5
        return Interval(part / whole, (b - half) / a, (b + half) / a)

    def _covariance(self, first_V: NDArray[np.float64], second_V: NDArray[np.float64]) -> float:
        return float(first_V @ (self.questions_VV + self.runs_VV) @ second_V)

    def _quantile(self, weight_V: NDArray[np.float64], level: float) -> float:
        variances = [float(weight_V @ part_VV @ weight_V) for part_VV in (self.questions_VV, self.runs_VV)]
        known = [(v, f) for v, f in zip(variances, self.freedoms, strict=True) if f > 0]
        freedom = satterthwaite([v for v, _ in known], [f for _, f in known])
        return float(stats.t.isf((1 - level) / 2, freedom))
