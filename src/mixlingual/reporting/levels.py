"""Says what the measures of a benchmark would be without language bias: the dashed lines of the page.

Shape suffixes: Q rows of the pool, one for each question and its language.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from mixlingual.analysis.read.questions import QuestionScores
from mixlingual.analysis.tables.grid import ALL_LANGUAGES
from mixlingual.measures.registry import METRICS, Measure


def unbiased_levels(
    parts: Iterable[QuestionScores], benchmark: str, scores: pd.DataFrame, languages: int
) -> dict[str, float]:
    """Gives the level without bias of each measure that has one.

    Args:
        parts: scores by question, which say in how many languages each has an answer; without any, measures that
            depend on it are left out.
        benchmark: its name.
        scores: rows of `results_table` that concern it.
        languages: how many it has.
    """
    answers_Q = answer_languages(parts, benchmark)
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


def answer_languages(parts: Iterable[QuestionScores], benchmark: str) -> pd.Series[int] | None:
    """Counts, [Q], the languages in which a question has an answer, by query_language and query.

    Questions with an answer in one language have no language bias and are left out. None where no scores by question
    and language of the benchmark are kept.
    """
    found = []
    for part in parts:
        if (part.benchmark, part.measure) == (benchmark, "map") and part.setting != "multi":
            held = pd.DataFrame(part.count_CG > 0, part.clusters, part.query_languages)
            found.append(held.drop(columns=ALL_LANGUAGES, errors="ignore").T.groupby(level=0).sum().stack())
    if not found:
        return None
    answers_Q = pd.concat(found).groupby(level=[0, 1]).sum().rename_axis(["query_language", "query"])
    return answers_Q[answers_Q > 1] if len(answers_Q) else None
