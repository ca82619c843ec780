"""This says how many translations in other languages than the query's are found.

Shape suffixes: Q queries, M languages of the pool.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixlingual.measures.measure import WHICH_LANGUAGE, Measure, declare
from mixlingual.measures.retrieval import SHORT_LIST, Ranks, Scores

declare(
    Measure(
        name="tlr@10", place=220, group=WHICH_LANGUAGE, label="recall@10 of other languages",
        direction="share; higher is less biased", foremost=True,
        of_questions=lambda found: found.over_answers(target_language_recall(found.rank_AM, found.own_A, SHORT_LIST)),
        meaning="Recall in the top ten of the translations that are not in the language of the question.",
        unbiased="as recall of the own language",
    )
)  # fmt: skip


def target_language_recall(rank_QM: Ranks, own_Q: NDArray[np.int64], k: int) -> Scores:
    """Computes TLR@k: the share of the relevant candidates in other languages than the query's that are in the top k.

    In [0, 1]; with n > k of them at most k / n. A random ranking of N gives k / N. Source: SHIFT (arXiv:2606.18801).

    Args:
        rank_QM: [Q, M] pooled ranks of the relevant candidate of each language, 0 where there is none.
        own_Q: [Q] columns of the languages of the queries.
        k: length of the list that the user looks at.

    Returns:
        [Q] values, NaN where no other language has a relevant candidate.
    """
    other_QM = rank_QM.copy()
    np.put_along_axis(other_QM, own_Q[:, None], 0, axis=1)
    found_Q, present_Q = ((other_QM > 0) & (other_QM <= k)).sum(axis=1), (other_QM > 0).sum(axis=1)
    return np.where(present_Q > 0, found_Q / np.maximum(present_Q, 1), np.nan)
