"""Says what the measures of a benchmark would be without language bias: the dashed lines of the page.

Shape suffixes: Q rows of the pool, one for each question and its language.
"""

from __future__ import annotations

import pandas as pd

from mixlingual.analysis.read.collect import Sweep
from mixlingual.analysis.tables.grid import ALL_LANGUAGES
from mixlingual.layout import QUERIES
from mixlingual.measures.registry import METRICS, Measure


def unbiased_levels(sweep: Sweep, benchmark: str, scores: pd.DataFrame, languages: int) -> dict[str, float]:
    """Gives the level without bias of each measure that has one.

    Args:
        sweep: queries.parquet of one of its runs says in how many languages each question has an answer; without any,
            measures that depend on it are left out.
        benchmark: its name.
        scores: rows of `results_table` that concern it.
        languages: how many it has.
    """
    answers_Q = answer_languages(sweep, benchmark)
    levels = {}
    for name, measure in METRICS.items():
        if (scores.metric == name).any():
            levels[name] = _level(measure, scores, answers_Q, languages)
    return {name: level for name, level in levels.items() if level is not None and not pd.isna(level)}


def _level(measure: Measure, scores: pd.DataFrame, answers_Q: pd.Series[int] | None, languages: int) -> float | None:
    if isinstance(measure.level, str):
        return float(scores.loc[scores.metric == measure.level, "value"].mean())
    if measure.level is None or not languages:
        return None
    if measure.level_over is None:
        return measure.level(languages)
    if answers_Q is None:
        return None
    by_language = answers_Q.map(measure.level).groupby(level="query_language")
    return float(by_language.agg(measure.level_over).mean())


def answer_languages(sweep: Sweep, benchmark: str) -> pd.Series[int] | None:
    """Counts, [Q], the languages in which a question has an answer, by query_language and query.

    Questions with an answer in one language have no language bias and are left out. None where no run has scores by
    question and language of the benchmark; runs of one benchmark have the same questions.
    """
    columns = ["query_language", "query"]
    wanted = [("benchmark", "==", benchmark), ("setting", "!=", "multi"), ("query_language", "!=", ALL_LANGUAGES)]
    for run in sweep.in_state("done"):
        path = sweep.folder / run.name / QUERIES
        if path.exists() and len(rows := pd.read_parquet(path, columns=columns, filters=wanted)):
            answers_Q = rows.groupby(columns, sort=False).size()
            return answers_Q[answers_Q > 1]
    return None
