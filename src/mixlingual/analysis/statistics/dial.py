"""Reads the ratio as a dial of preference for the question's own language, and asks what a turn of it costs.

Along the ratio both the share of questions whose best-ranked answer is in their own language (`PREFERENCE`) and
relevance (mAP) change. What a point of preference costs is the slope of the one on the other. Regressing the one noisy
mean on the other would draw it towards 0; the ratio is known, so it serves as the instrument:

    slope = sum_k w_k relevance_k / sum_k w_k preference_k,    w_k = ratio_k - mean ratio                           (1)

Both sums are contrasts of cells, so that the interval is Fieller's (1954, Some problems in interval estimation, JRSS B
16): all s at which w (relevance - s preference) is within t standard errors of 0. Where the ratio does not surely move
the preference there is no such interval, and no cost.

A correction after training moves an encoder to another preference, too. Its excess is its relevance less that of the
dial at the same preference, on the straight line between the two neighbouring ratios a and b. To first order that is a
contrast of the cells of relevance - s preference, s being the slope of that line, with weights 1, -(1 - t) and -t,
where t says how far the corrected encoder lies from a to b. Where it lies beyond every ratio, a and b are the cells of
least and most preference, and the line is drawn on.

Shape suffixes: R runs, K cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from mixlingual.analysis.read.ratio_axis import RatioAxis, Trial
from mixlingual.analysis.statistics.cells import CellMeans, RunValues
from mixlingual.analysis.statistics.contrasts import Estimate, estimate, quantile
from mixlingual.analysis.statistics.debiasing import CorrectedScores, corrected_name
from mixlingual.analysis.statistics.gaps import Attempts, NotPossibleError
from mixlingual.analysis.statistics.response import Interval, quotient
from mixlingual.analysis.statistics.spread import Vector
from mixlingual.config.schema import AnalysisConfig

PREFERENCE, RELEVANCE = "own_first", "map"
"""Measures of the dial; the first is measured in the pool of all languages."""

POOL = "multi"

POINT = 0.01
"""A point of preference, as a share of the questions."""


@dataclass(frozen=True)
class Cost:
    """What a turn of the dial from a ratio to another does at a size."""

    benchmark: str
    setting: str
    """Of the relevance."""
    model: str
    start: float
    stop: float
    """Least and greatest ratio; those between count too."""
    preference: Interval
    """Change of the share from `start` to `stop`, along the straight line through all ratios."""
    relevance: Interval
    """Change of mAP."""
    cost: Interval | None
    """mAP lost for a point more of preference; None where the preference does not surely move."""
    over_questions: bool
    over_runs: bool


@dataclass(frozen=True)
class Moved:
    """Where a correction after training takes an encoder, beside the dial of its size."""

    benchmark: str
    evaluation: str
    correction: str
    model: str
    ratio: float
    preference: float
    relevance: float
    """Of the corrected encoder, in the pool."""
    excess: Estimate
    """Its mAP less that of the dial at the same preference."""
    beyond: bool
    """Whether no ratio has a preference as low, or as high, so that the line was drawn on."""


@dataclass(frozen=True)
class Dial:
    """Both measures of the same runs, in the same order."""

    relevance: RunValues
    preference: RunValues
    trials: tuple[Trial, ...]

    @classmethod
    def of(cls, relevance: RunValues, preference: RunValues, trials: Mapping[str, Trial]) -> Dial:
        """That of the runs which have both.

        Raises:
            NotPossibleError: there are none, or nothing in the scores can vary.
        """
        runs = [run for run in relevance.runs if run in preference.runs and run in trials]
        if not runs:
            raise NotPossibleError("no run has both measures")
        found = cls(relevance.of_runs(runs), preference.of_runs(runs), tuple(trials[run] for run in runs))
        means = found.along(0.0)
        if means.spread is None and not means.clusters:
            raise NotPossibleError("no seed is repeated, and no scores by question are kept")
        return found

    def along(self, slope: float) -> CellMeans:
        """Means of relevance - slope x preference."""
        return CellMeans.of_values(self.relevance.less(slope, self.preference), self.trials)

    def sides(self) -> tuple[CellMeans, CellMeans]:
        """Means of relevance, and of preference."""
        return self.along(0.0), CellMeans.of_values(self.preference, self.trials)


def costs(
    dial: Dial, weights: Mapping[str, int], benchmark: str, setting: str, config: AnalysisConfig, attempt: Attempts
) -> Iterator[Cost]:
    """The cost at each size: over all ratios, and on either side of the mixed one.

    Args:
        dial: both measures.
        weights: size -> number of weights without the embedding table.
        benchmark: its name.
        setting: of the relevance.
        config: the mixed ratio, and how sure.
        attempt: keeps a gap in place of a size that the runs do not allow.
    """
    sides = dial.sides()
    for model in sorted({cell.model for cell in sides[0].cells}, key=weights.__getitem__):
        name = f"{benchmark}, {setting}: what own language first costs {model}"
        yield from attempt(name, partial(_of_size, dial, sides, benchmark, setting, model, config)) or []


def _of_size(
    dial: Dial, sides: tuple[CellMeans, CellMeans], benchmark: str, setting: str, model: str, config: AnalysisConfig
) -> list[Cost]:
    means = sides[0]
    ratios = sorted(cell.ratio for cell in means.cells if cell.model == model)
    if len(ratios) < 2:
        raise NotPossibleError("it takes two ratios")
    halves = [[r for r in ratios if r <= config.ratio], [r for r in ratios if r >= config.ratio]]
    stretches = [ratios, *(half for half in halves if config.ratio in ratios and 1 < len(half) < len(ratios))]
    return [_cost(dial, sides, benchmark, setting, model, stretch, config.level) for stretch in stretches]


def _cost(
    dial: Dial,
    sides: tuple[CellMeans, CellMeans],
    benchmark: str,
    setting: str,
    model: str,
    ratios: Sequence[float],
    level: float,
) -> Cost:
    """Equation (1) over some ratios."""
    weight_K = np.zeros(len(sides[0].cells))
    centred = np.array(ratios) - np.mean(ratios)
    for ratio, lever in zip(ratios, centred, strict=True):
        weight_K[sides[0].cells.index((model, ratio))] = lever * (ratios[-1] - ratios[0]) / (centred @ centred)
    relevance, preference = (estimate(side, weight_K, level) for side in sides)
    slope = _slope(dial, weight_K, relevance, preference, level)
    return Cost(
        benchmark,
        setting,
        model,
        ratios[0],
        ratios[-1],
        Interval(preference.value, preference.low, preference.high),
        Interval(relevance.value, relevance.low, relevance.high),
        slope and Interval(*(-POINT * end for end in (slope.value, slope.high, slope.low))),
        bool(sides[0].clusters),
        sides[0].spread is not None,
    )


def _slope(dial: Dial, weight_K: Vector, relevance: Estimate, preference: Estimate, level: float) -> Interval | None:
    """Relevance over preference; their covariance follows from the error of one less a multiple of the other."""
    if not preference.error:
        return None
    factor = relevance.error / preference.error
    if preference.value:
        seen = relevance.value / preference.value
        factor = float(np.copysign(max(abs(seen), factor), seen))
    if not factor:
        return None
    both = dial.along(factor).variance(weight_K)
    shared = (relevance.error**2 + (factor * preference.error) ** 2 - both.error**2) / (2 * factor)
    most = relevance.error * preference.error
    freedom = min(relevance.freedom, preference.freedom, both.freedom)
    return quotient(
        (relevance.value, preference.value),
        (relevance.error, preference.error, float(np.clip(shared, -most, most))),
        quantile(level, freedom),
    )


def moved(corrected: CorrectedScores, axis: RatioAxis, config: AnalysisConfig) -> list[Moved]:
    """Where a correction takes every size and ratio, in the pool of each benchmark.

    Args:
        corrected: scores of runs as they are, and corrected.
        axis: where the runs lie.
        config: how sure, and what varies as one.
    """
    found: list[Moved] = []
    parts = {(p.benchmark, p.measure): p.clustered(config.cluster) for p in corrected.parts if p.setting == POOL}
    for benchmark, measure in parts:
        if measure == RELEVANCE and (benchmark, PREFERENCE) in parts:
            first, second = (RunValues.of(parts[benchmark, name]) for name in (RELEVANCE, PREFERENCE))
            runs = [
                run
                for run in axis.trials
                if all({run, corrected_name(run)} <= {*side.runs} for side in (first, second))
            ]
            for model in sorted({axis.trials[run].model for run in runs}, key=axis.weights.__getitem__):
                trials = {run: axis.trials[run] for run in runs if axis.trials[run].model == model}
                trials |= {corrected_name(r): t._replace(model=corrected_name(model)) for r, t in trials.items()}
                found += _moved(Dial.of(first, second, trials), benchmark, corrected, model, config.level)
    return found


def _moved(dial: Dial, benchmark: str, corrected: CorrectedScores, model: str, level: float) -> Iterator[Moved]:
    relevance, preference = dial.sides()
    cells = relevance.cells
    own = sorted((k for k, cell in enumerate(cells) if cell.model == model), key=lambda k: preference.mean_K[k])
    if len(own) < 2:
        return
    for place, cell in enumerate(cells):
        if cell.model == model:
            continue
        at = preference.mean_K[place]
        between = [k for k in range(1, len(own)) if preference.mean_K[own[k - 1]] <= at <= preference.mean_K[own[k]]]
        a, b = (own[between[0] - 1], own[between[0]]) if between else (own[0], own[-1])
        width = preference.mean_K[b] - preference.mean_K[a]
        if not width:
            continue
        part = (at - preference.mean_K[a]) / width
        slope = float((relevance.mean_K[b] - relevance.mean_K[a]) / width)
        weight_K = np.zeros(len(cells))
        weight_K[[place, a, b]] = 1.0, part - 1.0, -part
        excess = estimate(dial.along(slope), weight_K, level)
        yield Moved(
            benchmark,
            corrected.evaluation,
            corrected.correction,
            model,
            cell.ratio,
            float(at),
            float(relevance.mean_K[place]),
            excess,
            not between,
        )
