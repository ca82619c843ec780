"""This says whether the questions of a language agree in the order of the languages of their answers.

Shape suffixes: Q queries, M languages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from mixlingual.measures.measure import LESS_BIASED, SAME_QUESTION, Measure, in_section
from mixlingual.measures.retrieval import ABSENT, Ranks, Retrieval, Scores


@in_section(
    "concordance",
    Measure(
        name="concordance.w", place=320, group=SAME_QUESTION, label="agreement on a language order (W)",
        direction=f"0 to 1; {LESS_BIASED}", larger_is_better=False, level="concordance.chance",
        meaning="Kendall's W: 1 if every question ranks the languages of its answers in one order, whatever the "
        "question.",
        unbiased="the dashed line: its mean where language does not matter",
    ),
)  # fmt: skip
def _by_language(found: Retrieval) -> dict[str, Any]:
    """Takes means over query languages, and gives the test of each."""
    tests = {language: concordance(found.rank_AM[found.own_A == m]) for m, language in enumerate(found.languages)}
    known = {language: test for language, test in tests.items() if test is not None}
    if not known:
        return {}
    return {
        "w": float(np.mean([test.w for test in known.values()])),
        "chance": float(np.mean([test.chance for test in known.values()])),
        "languages": {language: {"w": test.w, "p_value": test.p_value} for language, test in known.items()},
    }


@dataclass(frozen=True)
class Concordance:
    """How far queries agree in the order of languages."""

    w: float
    """Kendall's W in [0, 1]: 0 no common order of languages, 1 the same order in every query."""
    chance: float
    """What W is about on average where languages do not matter; exactly where no query misses one."""
    p_value: float
    """That of the hypothesis that languages do not matter, by the chi-squared approximation for many queries.

    Questions about one paragraph, and answers of one question, count as independent, so that it is on the low side.
    """


def concordance(rank_QM: Ranks) -> Concordance | None:
    """Runs Friedman's test on the ranks of parallel relevant candidates, for languages that may be missing.

    Queries are blocks, languages treatments: the test for one relevant candidate in each language. The statistic
    is that of Skillings & Mack (1981), which is Friedman's where no language is missing.

    W is the statistic over what it would be if every query sorted the languages that it has by their effects as
    estimated; without missing languages that is Kendall's, with the number of queries times the languages less one. It
    is at most 1: with the scores s of languages, their effects e = C^+ s and the scores t of queries that sort by e,
    s.e <= t.e, as t is the largest in the direction of e, and t.e = t.C^+ s <= sqrt(t.C^+ t s.C^+ s).

    Args:
        rank_QM: [Q, M] ranks, 0 where a language is missing. Rows must be independent: one row a question.

    Returns:
        None if no query has two languages.
    """
    present_QM = rank_QM > 0
    several_Q = present_QM.sum(axis=1) >= 2
    if not several_Q.any():
        return None
    rank_QM, present_QM = rank_QM[several_Q], present_QM[several_Q]
    shared_MM = (present_QM.T.astype(np.float64)) @ present_QM
    covariance_MM = np.diag(shared_MM.sum(axis=1)) - shared_MM
    inverse_MM = np.linalg.pinv(covariance_MM, hermitian=True)
    score_M = _scores(rank_QM, present_QM)
    effect_M = inverse_MM @ score_M
    sorted_M = _scores(np.tile(effect_M.argsort().argsort() + 1, (len(rank_QM), 1)), present_QM)
    statistic, largest = float(score_M @ effect_M), float(sorted_M @ inverse_MM @ sorted_M)
    freedom = int(np.linalg.matrix_rank(covariance_MM, hermitian=True))
    return Concordance(statistic / largest, freedom / largest, float(chdtrc(freedom, statistic)))


def _scores(rank_QM: Ranks, present_QM: NDArray[np.bool_]) -> Scores:
    """Sums over queries, [M], the languages' centred ranks among those present, in units of their deviation."""
    count_Q1 = present_QM.sum(axis=1, keepdims=True)
    from scipy.stats import rankdata  # which takes a second to import

    within_QM = rankdata(np.where(present_QM, rank_QM, ABSENT), axis=1)
    score_QM = np.sqrt(12 / (count_Q1 + 1)) * (within_QM - (count_Q1 + 1) / 2)
    return np.asarray(np.where(present_QM, score_QM, 0.0).sum(axis=0))
