"""Compares two sweeps: what another set of data, budget or encoder changes in what the ratio does.

Both sweeps are taken as one experiment, in which a size of the second is another size. So questions that both have been
asked count once, runs of one seed go together as far as they are seen to, and each change is a contrast of cells:

    (b_r - b_0) - (a_r - a_0)                                                                                     (1)

with a and b the means of the first and of the second sweep, r a ratio and 0 the reference. Questions of benchmarks
whose content differs between the sweeps are other questions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mixlingual.analysis.read.collect import Sweep
from mixlingual.analysis.read.points import differing_options
from mixlingual.analysis.read.questions import QuestionScores
from mixlingual.analysis.read.ratio_axis import RatioAxis
from mixlingual.analysis.statistics.cells import CellMeans, RunValues
from mixlingual.analysis.statistics.contrasts import Estimate, adjusted, estimate
from mixlingual.analysis.statistics.estimates import PRIMARY, read_scores
from mixlingual.analysis.statistics.spread import Vector
from mixlingual.config.schema import AnalysisConfig
from mixlingual.records import MixlingualError


@dataclass(frozen=True)
class Changed:
    """What the second sweep has in place of what the first has, at a size and ratio."""

    benchmark: str
    setting: str
    measure: str
    models: tuple[str, str]
    """The size in the first sweep, and in the second."""
    ratio: float
    reference: float | None
    """The ratio that is taken off in each sweep; None: nothing is, and the scores themselves are compared."""
    first: Estimate
    second: Estimate
    change: Estimate
    """Second less first; p by Holm's procedure over all sizes and ratios of the measure, scores and differences
    apart."""


@dataclass(frozen=True)
class Comparison:
    """Two sweeps side by side."""

    sweeps: tuple[Sweep, Sweep]
    sizes: tuple[tuple[str, str], ...]
    """Pairs of sizes that are compared, smallest first."""
    weights: tuple[dict[str, int], dict[str, int]]
    options: dict[str, tuple[str, str]]
    """Option, or fingerprint of data -> its values in the first sweep, and in the second, where they differ."""
    changed: tuple[Changed, ...]
    left_out: dict[str, str]
    """Run, with its sweep -> why its scores are not, or not all, in."""


def compare_sweeps(first: Sweep, second: Sweep, config: AnalysisConfig) -> Comparison:
    """Everything that the ratio axes of both sweeps have in common.

    Args:
        first: as read from its folder.
        second: the other.
        config: how sure, and what varies as one.

    Raises:
        MixlingualError: no size, or no benchmark and ratio, is in both.
    """
    sweeps, axes = (first, second), (RatioAxis.of(first), RatioAxis.of(second))
    sizes = _sizes(sweeps, axes)
    found = [read_scores(sweep) for sweep in sweeps]
    parts = [
        {(p.benchmark, p.setting, p.measure): p.clustered(config.cluster) for p in axis.scores(scores.parts)}
        for axis, scores in zip(axes, found, strict=True)
    ]
    changed: list[Changed] = []
    for place in parts[0]:
        if place in parts[1] and place[1:] in PRIMARY:
            both = (parts[0][place], parts[1][place])
            changed += _of_measure(both, axes, sizes, config, same=_is_same(sweeps, place[0]))
    if not changed:
        raise MixlingualError(
            f"compare=[{first.name},{second.name}]: no benchmark was asked at one ratio in both sweeps, with scores by "
            "question; both need finished runs of a size at a ratio that they share"
        )
    left_out = {
        f"{sweep.name}/{run}": reason
        for sweep, scores in zip(sweeps, found, strict=True)
        for run, reason in scores.left_out.items()
    }
    weights = axes[0].weights, axes[1].weights
    return Comparison(sweeps, sizes, weights, _options(sweeps, axes, sizes), tuple(changed), left_out)


def _sizes(sweeps: tuple[Sweep, Sweep], axes: tuple[RatioAxis, RatioAxis]) -> tuple[tuple[str, str], ...]:
    """Sizes of one name; where there are none, and both sweeps have as many, smallest with smallest and so on."""
    own, other = (sorted(axis.weights, key=axis.weights.__getitem__) for axis in axes)
    common = [model for model in own if model in other]
    if common:
        return tuple((model, model) for model in common)
    if not own or len(own) != len(other):
        raise MixlingualError(
            f"compare=[{sweeps[0].name},{sweeps[1].name}]: the sweeps have no size in common; the finished runs of the "
            f"first are of {', '.join(own) or 'no size'}, those of the second of {', '.join(other) or 'no size'}"
        )
    return tuple(zip(own, other, strict=True))


def _is_same(sweeps: tuple[Sweep, Sweep], benchmark: str) -> bool:
    """Whether both sweeps have asked the same questions."""
    contents = [set(sweep.fingerprints().get(benchmark, {})) for sweep in sweeps]
    return contents[0] == contents[1] and len(contents[0]) == 1


def _of_measure(
    both: tuple[QuestionScores, QuestionScores],
    axes: tuple[RatioAxis, RatioAxis],
    sizes: Sequence[tuple[str, str]],
    config: AnalysisConfig,
    *,
    same: bool,
) -> Iterator[Changed]:
    means = _means(both, axes, same=same)
    scores: list[_Place] = []
    differences: list[_Place] = []
    for models in sizes:
        own, other = (
            {cell.ratio: k for k, cell in enumerate(means.cells) if cell.model == _named(side, model)}
            for side, model in enumerate(models)
        )
        ratios = sorted(own.keys() & other.keys())
        reference = next((ratio for ratio in (0.0, 1.0) if ratio in ratios), min(ratios, default=0.0))
        unit_KK = np.eye(len(means.cells))
        for ratio in ratios:
            at = unit_KK[own[ratio]], unit_KK[other[ratio]]
            scores.append(_Place(models, ratio, None, *at))
            if ratio != reference:
                zero = unit_KK[own[reference]], unit_KK[other[reference]]
                differences.append(_Place(models, ratio, reference, at[0] - zero[0], at[1] - zero[1]))
    for family in (scores, differences):
        changes = adjusted([estimate(means, each.second_K - each.first_K, config.level) for each in family])
        for each, change in zip(family, changes, strict=True):
            first, second = (estimate(means, weight_K, config.level) for weight_K in (each.first_K, each.second_K))
            place = both[0].benchmark, both[0].setting, both[0].measure
            yield Changed(*place, each.models, each.ratio, each.reference, first, second, change)


class _Place(NamedTuple):
    """What is compared at a size and ratio, as weights of the cells of both sweeps."""

    models: tuple[str, str]
    ratio: float
    reference: float | None
    first_K: Vector
    second_K: Vector


def _named(side: int, model: str) -> str:
    """What a size, a run or a question of the first (0) or second (1) sweep is called in both."""
    return f"{side}/{model}"


def _means(both: tuple[QuestionScores, QuestionScores], axes: tuple[RatioAxis, RatioAxis], *, same: bool) -> CellMeans:
    """Of both sweeps as one."""
    values, trials = [], []
    for side, (scores, axis) in enumerate(zip(both, axes, strict=True)):
        found = RunValues.of(scores)
        clusters = found.clusters if same else tuple(_named(side, name) for name in found.clusters)
        values.append(RunValues(found.runs, clusters, found.value_R, found.influence_RC))
        trials += [trial._replace(model=_named(side, trial.model)) for trial in axis.trials_of(scores)]
    clusters = tuple(dict.fromkeys((*values[0].clusters, *values[1].clusters)))
    joined = RunValues(
        tuple(_named(side, run) for side, found in enumerate(values) for run in found.runs),
        clusters,
        np.concatenate([found.value_R for found in values]),
        np.concatenate([found.over(clusters) for found in values]),
    )
    return CellMeans.of_values(joined, trials)


def _options(
    sweeps: tuple[Sweep, Sweep], axes: tuple[RatioAxis, RatioAxis], sizes: Sequence[tuple[str, str]]
) -> dict[str, tuple[str, str]]:
    """What differs between runs of the same size and ratio."""
    runs = [{run.name: run.result for run in sweep.runs if run.result} for sweep in sweeps]
    values: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for models in sizes:
        placed = [
            {trial.ratio: run for run, trial in axis.trials.items() if trial.model == model}
            for axis, model in zip(axes, models, strict=True)
        ]
        for ratio in placed[0].keys() & placed[1].keys():
            results = [found[side[ratio]] for found, side in zip(runs, placed, strict=True)]
            for option, pair in differing_options(*results).items():
                for side, value in zip(values.setdefault(option, ({}, {})), pair, strict=True):
                    side[value] = None
    return {option: (" or ".join(own), " or ".join(other)) for option, (own, other) in sorted(values.items())}
