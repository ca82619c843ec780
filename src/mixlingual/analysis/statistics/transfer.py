"""Asks what a small encoder would have told about a larger one: does it rank the ratios alike, and what does its best
ratio cost there?

The ratios of both sizes are compared two by two. Each difference lies within as many standard errors as hold for all of
them together, at both sizes (Tukey's and Dunnett's intervals, doi 10.1080/01621459.1955.10501294, with the critical
value of the joint distribution). From these follow, together and whatever the truth, ties included:

- which pairs of ratios surely have the same order at both sizes, which surely the opposite one, and which are
  undecided; Kendall's tau, (same - opposite) / pairs with a true tie counted as 0, lies between the values that it has
  when all undecided pairs are opposite, and when all are the same;
- the regret at the larger size of any ratio: how far it stays below the best measured one. Since the bounds hold for
  every ratio, they hold for the one that the smaller size has picked, however it was picked;
- the ratios that may be best at the smaller size: those that no other surely beats.

Shape suffixes: K ratios of both sizes, A pairs of ratios, S the two sizes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from mixlingual.analysis.read.points import RATIO_SERIES
from mixlingual.analysis.read.ratio_axis import Trial
from mixlingual.analysis.statistics.cells import CellMeans, RunValues
from mixlingual.analysis.statistics.gaps import Attempts, NotPossibleError
from mixlingual.analysis.statistics.response import Draws, Interval, errors, some_cells
from mixlingual.analysis.statistics.spread import Vector
from mixlingual.measures.registry import METRICS, larger_is_better


@dataclass(frozen=True)
class Transfer:
    """What a size tells about a larger one."""

    small: str
    large: str
    ratios: tuple[float, ...]
    """Those that both have."""
    tau: Interval
    """Kendall's rank correlation of the ratios, -1 to 1."""
    same: int
    opposite: int
    undecided: int
    """Pairs of ratios by whether both sizes surely order them alike."""
    choice: float
    """The ratio that the smaller size finds best."""
    regret: Interval
    """How far `choice` stays below the best ratio of the larger size, in the unit of the measure; never below 0."""
    may_pick: tuple[float, ...]
    """Ratios that may truly be best at the smaller size."""
    most: float
    """The largest regret that any of these may have."""
    over_questions: bool
    over_runs: bool
    """What the intervals are over."""


@dataclass(frozen=True)
class Told:
    """A `Transfer` with its place."""

    benchmark: str
    """Or the development set of a budget."""
    setting: str
    measure: str
    pairs: int | None
    """Query-passage pairs seen by then; None: at the end, on the benchmark."""
    transfer: Transfer


def transfer(means: CellMeans, small: str, large: str, *, larger_is_better: bool, draws: Draws) -> Transfer:
    """What the smaller of two sizes tells about the larger.

    Args:
        means: of all cells.
        small: the smaller size.
        large: the larger one.
        larger_is_better: whether high values are good.
        draws: how sure.

    Raises:
        NotPossibleError: they share fewer than two ratios, or nothing in the scores can vary.
    """
    of = [{cell.ratio: k for k, cell in enumerate(means.cells) if cell.model == model} for model in (small, large)]
    ratios = sorted(of[0].keys() & of[1].keys())
    if len(ratios) < 2:
        raise NotPossibleError(f"{small} and {large} share fewer than two ratios")
    if means.spread is None and not means.clusters:
        raise NotPossibleError("no seed is repeated, and no scores by question are kept")
    both = some_cells(means, [side[ratio] for side in of for ratio in ratios], 1.0 if larger_is_better else -1.0)
    number, pairs = len(ratios), list(combinations(range(len(ratios)), 2))
    first, second = map(list, zip(*pairs, strict=True))
    weight_AK = np.eye(number)[first] - np.eye(number)[second]
    weight_SAK = np.kron(np.eye(2), weight_AK).astype(np.float64)
    error_SA = errors(weight_SAK, both.covariance_KK)
    noise_BK = both.noise(draws)
    critical = float(np.quantile((np.abs(noise_BK @ weight_SAK.T) / error_SA).max(axis=1), draws.level))
    difference_SA = weight_SAK @ both.mean_K
    sure_SA = np.where(np.abs(difference_SA) > critical * error_SA, np.sign(difference_SA), 0).reshape(2, -1)
    order_A = sure_SA[0] * sure_SA[1]
    same, opposite = int((order_A > 0).sum()), int((order_A < 0).sum())
    undecided = len(pairs) - same - opposite
    ends = [(same - opposite + side * undecided) / len(pairs) for side in (-1, 1)]
    seen_A = np.sign(difference_SA.reshape(2, -1)).prod(axis=0)
    mean_SK = both.mean_K.reshape(2, -1)
    half_A = (critical * error_SA).reshape(2, -1)[1]
    choice = int(mean_SK[0].argmax())
    beaten = {pair[int(sign > 0)] for pair, sign in zip(pairs, sure_SA[0], strict=True) if sign}
    may_pick = [k for k in range(number) if k not in beaten]
    of_choice = _regret(choice, mean_SK[1], pairs, half_A)
    return Transfer(
        small,
        large,
        tuple(ratios),
        Interval(float(seen_A.mean()), *ends),
        same,
        opposite,
        undecided,
        ratios[choice],
        of_choice,
        tuple(ratios[k] for k in may_pick),
        max(_regret(k, mean_SK[1], pairs, half_A).high for k in {*may_pick, choice}),
        bool(means.clusters),
        means.spread is not None,
    )  # fmt: skip


def _regret(place: int, mean_K: Vector, pairs: Sequence[tuple[int, int]], half_A: Vector) -> Interval:
    """How far the ratio at a place stays below the best one, from intervals that hold for all pairs."""
    gaps = [
        (float(mean_K[sum(pair) - place] - mean_K[place]), float(half))
        for pair, half in zip(pairs, half_A, strict=True)
        if place in pair
    ]
    return Interval(*(max(0.0, *(gap + side * half for gap, half in gaps)) for side in (0, -1, 1)))


def transfers(
    means: CellMeans, weights: Mapping[str, int], name: str, measure: str, draws: Draws, attempt: Attempts
) -> Iterator[Transfer]:
    """Every pair of sizes, the smaller first.

    Args:
        means: of all cells.
        weights: size -> number of weights without the embedding table.
        name: of what was measured, for the gaps.
        measure: a key of `METRICS` that is better high, or low; or a loss.
        draws: how sure.
        attempt: keeps a gap in place of a pair that the runs do not allow.
    """
    models = sorted({cell.model for cell in means.cells}, key=weights.__getitem__)
    better = measure != "loss" and larger_is_better(measure)
    for small, large in combinations(models, 2):
        found = attempt(
            f"{name}: what {small} tells about {large}",
            lambda small=small, large=large: transfer(means, small, large, larger_is_better=better, draws=draws),  # type: ignore[misc]
        )
        if found:
            yield found


def told_by_budget(
    learning: pd.DataFrame, trials: Mapping[str, Trial], weights: Mapping[str, int], draws: Draws, attempt: Attempts
) -> Iterator[Told]:
    """The same at every budget at which runs of two sizes were validated: over runs alone.

    Args:
        learning: `learning_table` of the sweep.
        trials: run -> where it lies, of the finished runs on the ratio axis.
        weights: size -> number of weights without the embedding table.
        draws: how sure.
        attempt: keeps gaps.
    """
    own = learning[learning.run.isin([*trials]) & (learning.series == RATIO_SERIES) & learning.measure.isin(METRICS)]
    for (name, setting, measure, pairs), rows in own.groupby(["set", "setting", "measure", "pairs"]):
        if pairs > 0 and rows.model.nunique() > 1:
            values = RunValues.alone(rows.groupby("run").value.mean().to_dict())
            means = CellMeans.of_values(values, [trials[run] for run in values.runs])
            title = f"{name}, {setting}, {measure} after {pairs:,} pairs"
            for found in transfers(means, weights, title, measure, draws, attempt):
                yield Told(name, setting, measure, int(pairs), found)
