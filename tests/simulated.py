"""Experiments with a known truth: scores by run, question and language that a sweep might have left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product

import numpy as np

from mixlingual.analysis.read.questions import QuestionScores
from mixlingual.analysis.read.ratio_axis import Trial
from mixlingual.analysis.statistics.cells import Cell, CellMeans

SIZES = ("small", "middle", "large")
RATIOS = (0.0, 0.25, 0.5, 0.75, 1.0)


def flat(model: str, ratio: float) -> float:
    return 0.5


def even(model: str, ratio: float) -> float:
    return 1.0


def experiment(
    seed: int,
    truth: Callable[[str, float], float] = flat,
    *,
    questions: int = 200,
    languages: int = 3,
    seeds: int = 3,
    seeds_of: Mapping[tuple[str, float] | str, int] | None = None,
    between_runs: float = 0.01,
    spread: Callable[[str, float], float] = even,
    shared: float = 0.0,
    tails: float | None = None,
    between_questions: float = 0.3,
    question_and_cell: float = 0.1,
    paragraphs: int | None = None,
    paragraph_and_cell: float = 0.0,
    rest: float = 0.1,
) -> tuple[QuestionScores, list[Trial]]:
    """Scores that are truth + question + question of a cell + run + rest, with the given standard deviations.

    Args:
        seed: of the experiment.
        truth: size, ratio -> mean.
        questions: C.
        languages: G.
        seeds: of a cell.
        seeds_of: other numbers of seeds, of a size or of a cell; 0 for none.
        between_runs: of runs of a cell.
        spread: size, ratio -> factor of that.
        shared: share of the variance of runs that those of a seed at a ratio have in common, whatever their size.
        tails: degrees of freedom of Student's t in place of normal runs.
        between_questions: of questions.
        question_and_cell: of what a question likes about a cell.
        paragraphs: number that the questions belong to; None: each is its own.
        paragraph_and_cell: of what a paragraph likes about a cell.
        rest: of single scores.

    Returns:
        The scores, and where each run lies.
    """
    rng = np.random.default_rng(seed)

    def of_runs(shape: int | tuple[int, ...]) -> np.ndarray:
        return rng.standard_t(tails, shape) / np.sqrt(tails / (tails - 2)) if tails else rng.normal(size=shape)

    own_C1 = rng.normal(0, between_questions, (questions, 1))
    place_C = np.arange(questions) * (paragraphs or questions) // questions
    common = {ratio: of_runs(20) for ratio in RATIOS}
    scores, trials = [], []
    for cell in (Cell(model, ratio) for model, ratio in product(SIZES, RATIOS)):
        liked_P = rng.normal(0, paragraph_and_cell, paragraphs or questions)
        shared_C1 = own_C1 + rng.normal(0, question_and_cell, (questions, 1)) + liked_P[place_C, None] + truth(*cell)
        others = seeds_of or {}
        for number in range(others.get(cell, others.get(cell.model, seeds))):
            deviation = np.sqrt(shared) * common[cell.ratio][number] + np.sqrt(1 - shared) * of_runs(1)[0]
            noise_CG = rng.normal(0, rest, (questions, languages)) + between_runs * spread(*cell) * deviation
            scores.append(shared_C1 + noise_CG)
            trials.append(Trial(*cell, number))
    return (
        QuestionScores(
            "toy",
            "mono",
            "map",
            tuple(f"{n}" for n in range(len(trials))),
            tuple(f"{n:04d}" for n in range(questions)),
            tuple(f"{n:04d}" for n in place_C),
            tuple("abcdefghijk"[:languages]),
            np.array(scores, dtype=np.float32),
            np.ones((questions, languages), dtype=np.float32),
            np.full(languages, 1 / languages),
        ),
        trials,
    )


def cell_means(seed: int, truth: Callable[[str, float], float] = flat, by: str = "paragraph", **options) -> CellMeans:
    """Those of an experiment."""
    scores, trials = experiment(seed, truth, **options)
    return CellMeans.of(scores.clustered(by), trials)
