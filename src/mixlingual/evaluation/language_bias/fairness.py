"""Whether languages are ranked alike: tests over many queries (Friedman) and within single lists (PEER).

Shape suffixes: Q queries, M languages, S ranked results of a query.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, rankdata

from mixlingual.evaluation.metrics import Ranks, Scores

MOST_LANGUAGES = 8
"""Languages whose orders are all tried, where some are missing."""


@dataclass(frozen=True)
class Concordance:
    """Whether queries agree in the order of languages."""

    w: float | None
    """Kendall's W in [0, 1]: 0 no common order of languages, 1 the same order in every query.

    None where queries miss some of more than `MOST_LANGUAGES`: its largest value is not known there.
    """
    chance: float | None
    """What W is on average where languages do not matter; None with it."""
    p_value: float
    """Of the hypothesis that languages do not matter, by the chi-squared approximation for many queries.

    Questions about one paragraph count as independent, so that it is on the low side.
    """


def concordance(rank_QM: Ranks) -> Concordance | None:
    """Friedman's test on the ranks of parallel relevant candidates, for languages that may be missing.

    Queries are blocks, languages treatments: the test for one relevant candidate in each language, where PEER is
    constant. The statistic is that of Skillings & Mack (1981), which is Friedman's where no language is missing; W is
    its share of the largest value that it can take with these languages missing: see `_largest_statistic`.

    Args:
        rank_QM: [Q, M] ranks, 0 where a language is missing. Rows must be independent: one row a question.

    Returns:
        None if no query has two languages.
    """
    rank_QM = rank_QM[(rank_QM > 0).sum(axis=1) >= 2]
    if not len(rank_QM):
        return None
    present_QM = rank_QM > 0
    count_Q1 = present_QM.sum(axis=1, keepdims=True)
    within_QM = rankdata(np.where(present_QM, rank_QM, np.iinfo(np.int64).max), axis=1)
    score_QM = np.where(present_QM, np.sqrt(12 / (count_Q1 + 1)) * (within_QM - (count_Q1 + 1) / 2), 0.0)
    shared_MM = (present_QM.T.astype(np.float64)) @ present_QM
    covariance_MM = np.diag(shared_MM.sum(axis=1)) - shared_MM
    adjusted_M = score_QM.sum(axis=0)
    inverse_MM = np.asarray(np.linalg.pinv(covariance_MM, hermitian=True), np.float64)
    statistic = float(adjusted_M @ inverse_MM @ adjusted_M)
    freedom = int(np.linalg.matrix_rank(covariance_MM, hermitian=True))
    p_value = float(chi2.sf(statistic, freedom))
    largest = _largest_statistic(present_QM, inverse_MM)
    if largest is None:
        return Concordance(None, None, p_value)
    return Concordance(statistic / largest, freedom / largest, p_value)


def _largest_statistic(present_QM: NDArray[np.bool_], inverse_MM: Scores) -> float | None:
    """The largest Skillings-Mack statistic over all ranks, by trying every order of languages; None if these are many.

    One order throughout reaches it: the statistic is a convex function of the sum of the queries' scores, so that its
    maximum is at a vertex of the set of all sums, and there every query sorts its languages by the same numbers.
    Without missing languages it is the number of queries times the languages less one.
    """
    if present_QM.all():
        return float(present_QM[:, 1:].sum())
    languages = present_QM.shape[1]
    if languages > MOST_LANGUAGES:
        return None
    order_FM = np.array([order for order in permutations(range(languages)) if order[0] < order[-1]])
    score_FM = np.zeros(order_FM.shape)
    for present_M, queries in zip(*np.unique(present_QM, axis=0, return_counts=True)):
        count = present_M.sum()
        rank = order_FM[:, present_M].argsort(axis=1).argsort(axis=1) + 1
        score_FM[:, present_M] += queries * np.sqrt(12 / (count + 1)) * (rank - (count + 1) / 2)
    return float(((score_FM @ inverse_MM) * score_FM).sum(axis=1).max())


@dataclass(frozen=True)
class EqualRanks:
    """PEER's test of each query at one relevance level."""

    p_Q: Scores
    """p-value of equal ranks over languages; 1 where there is nothing to test."""
    untested_Q: NDArray[np.bool_]
    """True where fewer than two languages are ranked: p is 1 and looks fair, whatever kept the others out."""


def equal_ranks(rank_QS: Ranks, language_QS: NDArray[np.int64], languages: int) -> EqualRanks:
    """The Kruskal-Wallis test over the languages of the results of one relevance level, for each query.

    PEER (Yang et al. 2024, arXiv:2405.00978) is the weighted mean of these p-values over levels. In [0, 1], higher is
    fairer; for languages without influence p is about uniform, with mean 1/2. H is (n - 1) SS_between / SS_total of
    the retrieval ranks as they are. With one result of each language, as the relevant ones of a parallel benchmark,
    SS_between = SS_total whatever the ranking, so that p is a constant (0.4405 for 11 languages): there `concordance`
    is the test.

    Args:
        rank_QS: [Q, S] distinct ranks of the results of the level, 0 where a slot is empty.
        language_QS: [Q, S] columns of their languages.
        languages: M.
    """
    listed_QS = rank_QS > 0
    total_Q = listed_QS.sum(axis=1)
    mean_Q1 = rank_QS.sum(axis=1, keepdims=True) / np.maximum(total_Q, 1)[:, None]
    deviation_QS = np.where(listed_QS, rank_QS - mean_Q1, 0.0)
    slot_QS = np.arange(len(rank_QS))[:, None] * languages + language_QS
    size = len(rank_QS) * languages
    count_QM = np.bincount(slot_QS[listed_QS], minlength=size).reshape(-1, languages)
    sum_QM = np.bincount(slot_QS.ravel(), weights=deviation_QS.ravel(), minlength=size).reshape(-1, languages)
    between_Q = (sum_QM**2 / np.maximum(count_QM, 1)).sum(axis=1)
    within_total_Q = (deviation_QS**2).sum(axis=1)
    groups_Q = (count_QM > 0).sum(axis=1)
    untested_Q = groups_Q < 2
    h_Q = (total_Q - 1) * between_Q / np.where(untested_Q, 1.0, within_total_Q)
    p_Q = np.where(untested_Q, 1.0, chi2.sf(h_Q, np.maximum(groups_Q - 1, 1)))
    return EqualRanks(p_Q, untested_Q)
