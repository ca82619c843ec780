"""What the measures of a benchmark would be without language bias: the dashed lines of the page.

Shape suffixes: Q rows of the pool, one for each question and its language.
"""

from __future__ import annotations

import pandas as pd

from mixlingual.analysis.read.collect import Sweep
from mixlingual.analysis.tables.grid import ALL_LANGUAGES
from mixlingual.measures.names import METRICS

_CHANCE = {"concordance.w": "concordance.chance", "exposure_divergence@10": "exposure_divergence@10.chance"}
"""Measure -> the figure of each result that says what it would be without bias."""

_OF_QUESTIONS = {"rank_distance": "mean", "rank_distance_median": "median", "max_rank": "mean", "own_first": "mean"}
"""Measure whose level differs between questions with translations in few and in many languages -> how it is averaged
over the questions of a language; the languages then count the same, as they do in the measure."""


def unbiased_levels(sweep: Sweep, benchmark: str, scores: pd.DataFrame, languages: int) -> dict[str, float]:
    """Measure -> its level without bias, for those that have one.

    Args:
        sweep: queries.parquet of one of its runs says in how many languages each question has an answer; without any,
            measures that depend on it are left out.
        benchmark: its name.
        scores: rows of `results_table` that concern it.
        languages: how many it has.
    """
    measured = {name: metric for name, metric in METRICS.items() if (scores.metric == name).any()}
    levels = {name: float(scores.loc[scores.metric == key, "value"].mean()) for name, key in _CHANCE.items()}
    answers_Q = answer_languages(sweep, benchmark)
    for name, metric in measured.items():
        if metric.reference is None or not languages:
            continue
        if name not in _OF_QUESTIONS:
            levels[name] = metric.reference(languages)
        elif answers_Q is not None:
            by_language = answers_Q.map(metric.reference).groupby(level="query_language")
            levels[name] = float(by_language.agg(_OF_QUESTIONS[name]).mean())
    return {name: level for name, level in levels.items() if name in measured and not pd.isna(level)}


def answer_languages(sweep: Sweep, benchmark: str) -> pd.Series[int] | None:
    """[Q] number of languages in which a question has an answer, by query_language and query.

    Questions with an answer in one language have no language bias and are left out. None where no run has scores by
    question and language of the benchmark; runs of one benchmark have the same questions.
    """
    columns = ["query_language", "query"]
    wanted = [("benchmark", "==", benchmark), ("setting", "!=", "multi"), ("query_language", "!=", ALL_LANGUAGES)]
    for run in sweep.in_state("done"):
        path = sweep.folder / run.name / "queries.parquet"
        if path.exists() and len(rows := pd.read_parquet(path, columns=columns, filters=wanted)):
            answers_Q = rows.groupby(columns, sort=False).size()
            return answers_Q[answers_Q > 1]
    return None
