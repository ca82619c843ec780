"""Divides the scatter of a cell's scores by source: seeds, questions, languages, and the rest.

Shape suffixes: S seeds of a cell, C clusters, G groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixlingual.analysis.read.questions import QuestionScores
from mixlingual.analysis.read.ratio_axis import Trial
from mixlingual.analysis.statistics.gaps import NotPossibleError


@dataclass(frozen=True)
class Components:
    """Standard deviations, averaged as variances over the cells with two seeds or more."""

    seed: float
    """Of the means of runs that differ in the seed alone."""
    question: float
    """Of clusters: how much harder one is than another for all seeds alike."""
    rest: float
    """Of a cluster's score from seed to seed beyond that."""
    language: float
    """Of the means of languages, or pairs; NaN where the scores are not kept by language."""


def components(scores: QuestionScores, trials: Sequence[Trial]) -> Components:
    """Components by the analysis of variance of the crossed design seeds x clusters (Searle et al. 1992, chapter 4).

    Components that come out below 0 are 0.

    Raises:
        NotPossibleError: no cell has two seeds.
    """
    part_RC = scores.parts() * len(scores.clusters)
    found = []
    cells = [(trial.model, trial.ratio) for trial in trials]
    for cell in dict.fromkeys(cells):
        runs = [run for run, own in enumerate(cells) if own == cell]
        if len(runs) > 1:
            found.append(crossed(part_RC[runs]))
    if not found:
        raise NotPossibleError("no cell has two seeds")
    seed, question, rest = np.maximum(np.mean(found, axis=0), 0)
    mean_RG = scores.sum_RCG.sum(axis=1) / scores.count_CG.sum(axis=0)
    languages = float(np.mean(np.var(mean_RG, axis=1, ddof=1))) if mean_RG.shape[1] > 1 else float("nan")
    return Components(*(float(np.sqrt(variance)) for variance in (seed, question, rest, languages)))


def crossed(value_SC: NDArray[np.float64]) -> tuple[float, float, float]:
    """Variances (of rows, of columns, of the rest) of a two-way layout with one value a cell."""
    seeds, clusters = value_SC.shape
    row_S, column_C = value_SC.mean(axis=1), value_SC.mean(axis=0)
    rest_SC = value_SC - row_S[:, None] - column_C + value_SC.mean()
    rest = float((rest_SC**2).sum() / ((seeds - 1) * (clusters - 1)))
    by_row, by_column = float(np.var(row_S, ddof=1)), float(np.var(column_C, ddof=1))
    return by_row - rest / clusters, by_column - rest / seeds, rest
