"""Experiments with a known truth: scores by run, question and language that a sweep might have left."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pandas as pd

from mixlingual.analysis.read.questions import QuestionScores
from mixlingual.analysis.statistics.mixed import LanguageMeans
from mixlingual.analysis.statistics.resample import Cell

SIZES = ("small", "middle", "large")
RATIOS = (0.0, 0.25, 0.5, 0.75, 1.0)


def flat(model: str, ratio: float) -> float:
    return 0.5


def experiment(
    seed: int,
    truth: Callable[[str, float], float] = flat,
    *,
    questions: int = 200,
    languages: int = 3,
    seeds: int = 3,
    between_runs: float = 0.01,
    between_questions: float = 0.3,
    question_and_cell: float = 0.1,
    rest: float = 0.1,
) -> tuple[QuestionScores, list[Cell]]:
    """Scores that are truth + question + question of a cell + run + rest, normal with the given deviations.

    Returns:
        The scores, and the cell of each run.
    """
    rng = np.random.default_rng(seed)
    cells = [Cell(model, ratio) for model, ratio in product(SIZES, RATIOS)]
    own_C1 = rng.normal(0, between_questions, (questions, 1))
    scores, places = [], []
    for cell in cells:
        shared_C1 = own_C1 + rng.normal(0, question_and_cell, (questions, 1)) + truth(*cell)
        for _ in range(seeds):
            noise_CG = rng.normal(0, rest, (questions, languages)) + rng.normal(0, between_runs)
            scores.append(shared_C1 + noise_CG)
            places.append(cell)
    return (
        QuestionScores(
            "toy",
            "mono",
            "map",
            tuple(f"{n}" for n in range(len(places))),
            tuple(f"{n}" for n in range(questions)),
            tuple(f"{n}" for n in range(questions)),
            tuple("abcdefghijk"[:languages]),
            np.array(scores, dtype=np.float32),
            np.ones((questions, languages), dtype=np.float32),
            np.full(languages, 1 / languages),
        ),
        places,
    )


def means(scores: QuestionScores) -> LanguageMeans:
    """The means by run and language of monolingual scores."""
    rows_G = pd.Series(scores.count_CG.sum(axis=0), index=scores.groups)
    mean_RG = pd.DataFrame(scores.sum_RCG.sum(axis=1), index=scores.runs, columns=scores.groups)
    return LanguageMeans(mean_RG / rows_G, rows_G)
