"""The runs that the primary contrast is computed from: sizes by ratios, with everything else as in the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mixlingual.analysis.read.collect import Sweep
from mixlingual.analysis.read.points import RATIO_SERIES
from mixlingual.analysis.read.questions import QuestionScores
from mixlingual.analysis.statistics.resample import Cell
from mixlingual.config.schema import AnalysisConfig


@dataclass(frozen=True)
class RatioAxis:
    """The finished runs on the ratio axis."""

    cells: dict[str, Cell]
    """Run -> where it lies."""
    weights: dict[str, int]
    """Size -> weights without the embedding table."""
    planned: frozenset[str]
    """Sizes, also of runs that are not finished."""

    @classmethod
    def of(cls, sweep: Sweep) -> RatioAxis:
        """That of a sweep."""
        cells, weights = {}, {}
        for run in sweep.in_state("done"):
            if run.point and run.result and run.point.series == RATIO_SERIES:
                cells[run.name] = Cell(run.point.model, run.point.ratio)
                weights[run.point.model] = int(run.result.parameters["non_embedding"])
        planned = frozenset(run.point.model for run in sweep.runs if run.point and run.point.series == RATIO_SERIES)
        return cls(cells, weights, planned)

    def scores(self, parts: Sequence[QuestionScores]) -> list[QuestionScores]:
        """Of measures of more runs, those of the runs on the axis; measures that none of them has are left out."""
        own = [(part, [run for run in part.runs if run in self.cells]) for part in parts]
        return [part.of_runs(runs) for part, runs in own if runs]

    def cells_of(self, scores: QuestionScores) -> list[Cell]:
        """Where each run of `scores` lies."""
        return [self.cells[run] for run in scores.runs]

    def sizes(self, config: AnalysisConfig) -> tuple[str, str] | None:
        """The sizes of the primary contrast: as declared, else the extremes of those planned.

        None if there are not two, or as long as one has no finished run that tells how large it is.
        """
        if config.sizes is not None:
            return config.sizes[0], config.sizes[1]
        if len(self.planned) < 2 or self.planned - self.weights.keys():
            return None
        ordered = sorted(self.weights, key=self.weights.__getitem__)
        return ordered[0], ordered[-1]
