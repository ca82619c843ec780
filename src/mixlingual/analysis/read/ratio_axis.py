"""Selects the runs of the primary contrast: sizes by ratios, with everything else as in the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mixlingual.analysis.read.collect import Run, Sweep
from mixlingual.analysis.read.points import RATIO_SERIES
from mixlingual.analysis.read.questions import QuestionScores
from mixlingual.records import is_number

FURTHEST = 4.0
"""Standard deviations by which a run's share of monolingual batches may differ from the ratio and be a draw of it."""


class Trial(NamedTuple):
    """A training run as one of several that might have been."""

    model: str
    ratio: float
    """As planned."""
    seed: int
    shift: float = 0.0
    """Share of monolingual batches that it drew, less that planned."""


@dataclass(frozen=True)
class RatioAxis:
    """The finished runs on the ratio axis."""

    trials: dict[str, Trial]
    """Run -> where it lies."""
    weights: dict[str, int]
    """Size -> weights without the embedding table."""
    planned: frozenset[str]
    """Sizes, also of runs that are not finished."""

    @classmethod
    def of(cls, sweep: Sweep) -> RatioAxis:
        """That of a sweep."""
        done = [run for run in sweep.in_state("done") if run.point and run.point.series == RATIO_SERIES]
        trials = {run.name: trial_of(run) for run in done}
        weights = {trials[run.name].model: int(run.result.parameters["non_embedding"]) for run in done if run.result}
        planned = frozenset(run.point.model for run in sweep.runs if run.point and run.point.series == RATIO_SERIES)
        return cls(_drawn(trials, done), weights, planned)

    def scores(self, parts: Sequence[QuestionScores]) -> list[QuestionScores]:
        """Of measures of more runs, those of the runs on the axis; measures that none of them has are left out."""
        own = [(part, [run for run in part.runs if run in self.trials]) for part in parts]
        return [part.of_runs(runs) for part, runs in own if runs]

    def trials_of(self, scores: QuestionScores) -> list[Trial]:
        """Where each run of `scores` lies."""
        return [self.trials[run] for run in scores.runs]

    def sizes(self, declared: Sequence[str] | None) -> tuple[str, str] | None:
        """The sizes of the primary contrast: as declared, else the extremes of those planned.

        None if there are not two, or as long as one has no finished run that tells how large it is.
        """
        if declared is not None:
            return declared[0], declared[1]
        if len(self.planned) < 2 or self.planned - self.weights.keys():
            return None
        ordered = sorted(self.weights, key=self.weights.__getitem__)
        return ordered[0], ordered[-1]


def trial_of(run: Run) -> Trial:
    """Where a finished run lies, at the ratio that was planned."""
    assert run.point is not None
    return Trial(run.point.model, run.point.ratio, run.point.seed)


def _drawn(trials: Mapping[str, Trial], runs: Sequence[Run]) -> dict[str, Trial]:
    """The trials with what each drew, as far as every record of it can be true of such draws; else as planned."""
    shifted = {}
    for run in runs:
        assert run.result is not None
        batches, steps = run.result.batches, run.result.training.get("steps")
        planned, drawn = (batches.get(name) for name in ("planned_ratio", "monolingual_ratio"))
        if is_number(planned) and is_number(drawn) and is_number(steps) and steps > 0:
            chance = (max(0.0, planned * (1 - planned)) / steps) ** 0.5
            if abs(drawn - planned) > FURTHEST * chance + 1e-9:
                return dict(trials)
            shifted[run.name] = trials[run.name]._replace(shift=drawn - planned)
    return {**trials, **shifted}
