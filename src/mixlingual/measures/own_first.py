"""This says whether a ranking puts the translation in the query's own language first.

Shape suffixes: Q queries, M languages of the pool.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixlingual.measures.measure import LESS_BIASED, WHICH_LANGUAGE, Measure, declare
from mixlingual.measures.retrieval import Ranks, Scores, relevant

declare(
    Measure(
        name="own_first", place=210, group=WHICH_LANGUAGE, label="own language first",
        direction=f"share; {LESS_BIASED}", larger_is_better=False, level=lambda k: 1 / k, level_over="mean",
        foremost=True,
        of_questions=lambda found: found.over_answers(own_language_first(found.rank_AM, found.own_A)),
        meaning="Share of questions whose best-ranked translation of the answer is in the language of the question.",
        unbiased="1 / k for k languages",
    )
)  # fmt: skip


def own_language_first(rank_QM: Ranks, own_Q: NDArray[np.int64]) -> Scores:
    """Gives 1 if the best-ranked relevant candidate is in the query's language, else 0: the mean is a preference rate.

    A ranking blind to languages gives 1 / k with k parallel relevant candidates; 1 is full preference for the own
    language, 0 for others. Source: after the language preference rate (LPR) of MLAIRE (arXiv:2605.07249), whose
    exact equation we have not seen.

    Args:
        rank_QM: [Q, M] pooled ranks of the relevant candidate of each language, 0 where there is none.
        own_Q: [Q] columns of the languages of the queries.

    Returns:
        [Q] values, NaN where the query's language has no relevant candidate or no other has.
    """
    own_rank_Q = np.take_along_axis(rank_QM, own_Q[:, None], axis=1)[:, 0]
    others_QM = np.where(rank_QM > 0, rank_QM, np.iinfo(np.int64).max)
    return np.where(_has_both(rank_QM, own_Q), own_rank_Q <= others_QM.min(axis=1), np.nan)


def _has_both(rank_QM: Ranks, own_Q: NDArray[np.int64]) -> NDArray[np.bool_]:
    own_rank_Q = np.take_along_axis(rank_QM, own_Q[:, None], axis=1)[:, 0]
    return (own_rank_Q > 0) & (relevant(rank_QM) >= 2)
