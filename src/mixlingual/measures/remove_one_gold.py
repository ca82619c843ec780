"""This says what the translation in each language is worth to a ranking.

Shape suffixes: Q queries, M languages of the pool.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from mixlingual.measures.measure import WHICH_LANGUAGE, Measure, declare
from mixlingual.measures.quality import average_precision
from mixlingual.measures.retrieval import Ranks, Retrieval, Scores, relevant

_loss = partial(Measure, place=230, group=WHICH_LANGUAGE, larger_is_better=None)


declare(
    _loss(
        name="delta_ap_own", label="AP lost without the own language", direction="compare with the next",
        of_questions=lambda found: found.once(_own_and_other)[0], unbiased="equal to the loss without another language",
        meaning="How much average precision falls when the translation in the language of the question is taken out.",
    ),
    _loss(
        name="delta_ap_other", label="AP lost without another language", direction="compare with the one before",
        of_questions=lambda found: found.once(_own_and_other)[1], unbiased="equal to the loss without the own language",
        meaning="How much average precision falls when a translation in another language is taken out.",
    ),
)  # fmt: skip


def _own_and_other(found: Retrieval) -> tuple[Scores, Scores]:
    own_A, other_A = own_and_other(remove_one_gold(found.rank_AM), found.own_A)
    return found.over_answers(own_A), found.over_answers(other_A)


def remove_one_gold(rank_QM: Ranks) -> Scores:
    """Computes [Q, M] AP(pool) - AP(pool without that relevant candidate): how much the ranking owes to each language.

    In (-1, 1). A ranking blind to languages gives the same mean for the query's own language as for others; one
    that leans on its own language loses much with it and nothing with the rest. Source: the analysis of Roy et
    al. 2020 (LAReQA, arXiv:2004.05484) that takes one target out of the pool, made exact here.

    Args:
        rank_QM: [Q, M] pooled ranks of the relevant candidate of each language, 0 where there is none.

    Returns:
        [Q, M] values, NaN where the language has no relevant candidate, or no other has.
    """
    full_Q, several_Q = average_precision(rank_QM), relevant(rank_QM) >= 2
    delta_QM = np.full(rank_QM.shape, np.nan)
    for m, removed_Q in enumerate(rank_QM.T):
        chosen = np.flatnonzero(several_Q & (removed_Q > 0))
        left_QM = rank_QM[chosen] - (rank_QM[chosen] > removed_Q[chosen, None])
        left_QM[:, m] = 0
        delta_QM[chosen, m] = full_Q[chosen] - average_precision(left_QM)
    return delta_QM


def own_and_other(value_QM: Scores, own_Q: NDArray[np.int64]) -> tuple[Scores, Scores]:
    """Takes, [Q] each, the value of the query's own language and the mean of the others'; NaN where there is none."""
    own_Q1 = own_Q[:, None]
    own_value_Q = np.take_along_axis(value_QM, own_Q1, axis=1)[:, 0]
    other_QM = value_QM.copy()
    np.put_along_axis(other_QM, own_Q1, np.nan, axis=1)
    count_Q = (~np.isnan(other_QM)).sum(axis=1)
    return own_value_Q, np.where(count_Q > 0, np.nansum(other_QM, axis=1) / np.maximum(count_Q, 1), np.nan)
