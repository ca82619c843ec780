"""Whether languages are ranked alike: tests over many queries (Friedman) and within single lists (PEER).

Shape suffixes: Q queries, M languages, S ranked results of a query.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, rankdata

from mixlingual.measures.ranks import Ranks, Scores


@dataclass(frozen=True)
class Concordance:
    """Whether queries agree in the order of languages."""

    w: float
    """Kendall's W in [0, 1]: 0 no common order of languages, 1 the same order in every query."""
    chance: float
    """What W is about on average where languages do not matter; exactly where no query misses one."""
    p_value: float
    """Of the hypothesis that languages do not matter, by the chi-squared approximation for many queries.

    Questions about one paragraph count as independent, so that it is on the low side.
    """


def concordance(rank_QM: Ranks) -> Concordance | None:
    """Friedman's test on the ranks of parallel relevant candidates, for languages that may be missing.

    Queries are blocks, languages treatments: the test for one relevant candidate in each language, where PEER is
    constant. The statistic is that of Skillings & Mack (1981), which is Friedman's where no language is missing.

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
    return Concordance(statistic / largest, freedom / largest, float(chi2.sf(statistic, freedom)))


def _scores(rank_QM: Ranks, present_QM: NDArray[np.bool_]) -> Scores:
    """[M] sums over queries of the languages' centred ranks among those present, in units of their deviation."""
    count_Q1 = present_QM.sum(axis=1, keepdims=True)
    within_QM = rankdata(np.where(present_QM, rank_QM, np.iinfo(np.int64).max), axis=1)
    score_QM = np.sqrt(12 / (count_Q1 + 1)) * (within_QM - (count_Q1 + 1) / 2)
    return np.asarray(np.where(present_QM, score_QM, 0.0).sum(axis=0))


@dataclass(frozen=True)
class EqualRanks:
    """PEER's test of each query at one relevance level."""

    p_Q: Scores
    """p-value of equal ranks over languages; 1 with fewer than two languages."""
    untested_Q: NDArray[np.bool_]
    """True where p says nothing of the ranking: fewer than two languages, where it is 1 and looks fair, whatever kept
    the others out, or one result of each, where it is a constant."""


def equal_ranks(rank_QS: Ranks, language_QS: NDArray[np.int64], languages: int) -> EqualRanks:
    """The Kruskal-Wallis test over the languages of the results of one relevance level, for each query.

    PEER (Yang et al. 2024, arXiv:2405.00978) is the weighted mean of these p-values over levels, weights adding to 1,
    then the mean over queries. In [0, 1], higher is fairer; for languages without influence p is about uniform, with
    mean 1/2. H is (n - 1) SS_between / SS_total of the n ranks in the whole list as they are, not ranked anew within
    the level, and p the upper tail of chi-squared with as many degrees of freedom as languages listed less one.

    The variant reported here has all weight on the level of results that are not relevant, of the first 100 of the
    pool of all languages; those further down are left out, as in PEER, which adds only missing relevant ones, at a tied
    last rank. The level of relevant ones is left out since it is degenerate on parallel benchmarks: with one result of
    each language SS_between = SS_total, so that H = G - 1 for G languages and p is a constant whatever the ranking
    (0.4405 for 11). Such queries are `untested_Q`; `concordance` is the test for them.

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
    several_Q = groups_Q >= 2
    h_Q = (total_Q - 1) * between_Q / np.where(several_Q, within_total_Q, 1.0)
    p_Q = np.where(several_Q, chi2.sf(h_Q, np.maximum(groups_Q - 1, 1)), 1.0)
    return EqualRanks(p_Q, ~several_Q | (total_Q == groups_Q))
