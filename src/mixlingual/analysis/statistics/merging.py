"""Compares encoders merged between the two pure ratios of a seed with those trained at the ratio that the merge has.

A merged encoder and the trained one share the seed and every question, so that what varies is their difference: over
seeds, which sizes share, and over questions. The differences of one size, kind of merging and measure are a family.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mixlingual.analysis.read.collect import Sweep
from mixlingual.analysis.read.merged import Merge, read_merges
from mixlingual.analysis.read.question_files import read_question_scores
from mixlingual.analysis.read.questions import QuestionScores
from mixlingual.analysis.read.ratio_axis import RatioAxis, Trial
from mixlingual.analysis.statistics.cells import CellMeans
from mixlingual.analysis.statistics.contrasts import Estimate, Verdict, adjusted, estimate
from mixlingual.config.schema import AnalysisConfig
from mixlingual.layout import QUERIES

Outcome = Literal["beats", "falls short of", "beats and falls short of", "traces", "not known"]


@dataclass(frozen=True)
class Merging:
    """Merged encoders of one size, kind and share, less those trained at that ratio."""

    benchmark: str
    setting: str
    measure: str
    kind: str
    """A key of `model.merging.MERGES`."""
    model: str
    share: float
    """Of the encoder trained on monolingual batches alone."""
    seeds: int
    difference: Estimate
    """Merged less trained; p by Holm's procedure over the shares of the same size, kind and measure."""


@dataclass(frozen=True)
class MergedScores:
    """The scores of merged encoders and of the runs that they are compared with."""

    pairs: dict[str, tuple[Merge, str]]
    """Merged encoder -> what it is, and the run at its share, of its size and seed."""
    parts: tuple[QuestionScores, ...]
    left_out: dict[str, str]
    """Merged encoder or run -> why it is not, or not all, in."""


def merged_scores(sweep: Sweep, axis: RatioAxis, names: Sequence[str]) -> MergedScores:
    """Those of a sweep; empty where nothing was merged.

    Args:
        sweep: as read from its folder.
        axis: where its runs lie.
        names: measures wanted.
    """
    merges, left_out = read_merges(sweep, axis)
    run_at = {(trial.model, trial.ratio, trial.seed): run for run, trial in axis.trials.items()}
    pairs = {}
    for name, merge in merges.items():
        if other := run_at.get((merge.model, merge.share, merge.seed)):
            pairs[name] = merge, other
        else:
            left_out[name] = (
                f"there is no finished run at ratio {merge.share:g} of its size and seed to compare it with"
            )
    wanted = {name: sweep.folder / name / QUERIES for pair in pairs.items() for name in (pair[0], pair[1][1])}
    scores = read_question_scores(wanted, names)
    return MergedScores(pairs, scores.parts, left_out | scores.left_out)


def merging(
    merged: MergedScores, axis: RatioAxis, config: AnalysisConfig, measures: Sequence[tuple[str, str]]
) -> list[Merging]:
    """Every difference between a merged encoder and the one trained at its share.

    Args:
        merged: the scores of both.
        axis: where the runs lie.
        config: how sure, and what varies as one.
        measures: (setting, measure) wanted.
    """
    return [
        found
        for part in merged.parts
        if (part.setting, part.measure) in measures
        for kind in dict.fromkeys(merge.kind for merge, _ in merged.pairs.values())
        for found in _of_kind(part.clustered(config.cluster), kind, merged, axis, config)
    ]


def _of_kind(
    scores: QuestionScores, kind: str, merged: MergedScores, axis: RatioAxis, config: AnalysisConfig
) -> Iterator[Merging]:
    known = set(scores.runs)
    own = [
        (name, other, Trial(merge.model, merge.share, merge.seed))
        for name, (merge, other) in merged.pairs.items()
        if merge.kind == kind and {name, other} <= known
    ]
    if not own:
        return
    means = CellMeans.of(scores.differences([(name, other) for name, other, _ in own]), [each for *_, each in own])
    unit_KK = np.eye(len(means.cells))
    for model in sorted({cell.model for cell in means.cells}, key=axis.weights.__getitem__):
        cells = sorted(
            ((cell.ratio, place) for place, cell in enumerate(means.cells) if cell.model == model),
        )
        found = adjusted([estimate(means, unit_KK[place], config.level) for _, place in cells])
        for (share, _), difference in zip(cells, found, strict=True):
            seeds = sum((trial.model, trial.ratio) == (model, share) for *_, trial in own)
            yield Merging(scores.benchmark, scores.setting, scores.measure, kind, model, share, seeds, difference)


def outcome(verdicts: Sequence[Verdict]) -> Outcome:
    """What merging does beside training at the ratio, from the verdicts at all shares of a size, kind and measure.

    It traces where it is as good at all of them; it beats, or falls short of, training where it is better, or worse, at
    any.
    """
    if {"better", "worse"} <= {*verdicts}:
        return "beats and falls short of"
    if "better" in verdicts:
        return "beats"
    if "worse" in verdicts:
        return "falls short of"
    return "traces" if verdicts and {*verdicts} == {"as good"} else "not known"
