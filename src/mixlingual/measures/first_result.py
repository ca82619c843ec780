"""This says what the first result of each query is: relevant or not, in the query's language or another.

Shape suffixes: Q queries, N candidates, M languages of the pool, R slots for relevant candidates.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from mixlingual.measures.measure import WHICH_LANGUAGE, Measure, in_section
from mixlingual.measures.retrieval import Retrieval

SPLIT = ("relevant_own", "relevant_other", "other_own", "other_other")
"""Kinds of a first result: relevant or not, in the query's language or another."""

_right = partial(Measure, place=270, group=WHICH_LANGUAGE, direction="share", larger_is_better=None)
_wrong = partial(Measure, place=270, group=WHICH_LANGUAGE, direction="share; lower is better", larger_is_better=False)


@in_section(
    "first_result",
    _right(
        name="first_result.relevant_own", label="first result: right, own language",
        meaning="Share of questions whose first result is relevant and in the language of the question.",
        unbiased="1 / k of the relevant first results",
    ),
    _right(
        name="first_result.relevant_other", label="first result: right, other language",
        meaning="Share of questions whose first result is relevant and in another language.",
        unbiased="(k - 1) / k of the relevant first results",
    ),
    _wrong(
        name="first_result.other_own", label="first result: wrong, own language",
        meaning="Share of questions whose first result is not relevant and in the language of the question: "
        "language before content.",
        unbiased="the share of the language in the pool, of the wrong first results",
    ),
    _wrong(
        name="first_result.other_other", label="first result: wrong, other language",
        meaning="Share of questions whose first result is not relevant and in another language.",
        unbiased="the share of the other languages in the pool, of the wrong first results",
    ),
)  # fmt: skip
def _shares(found: Retrieval) -> dict[str, float]:
    kind_Q = first_result_split(found.top_QK[:, 0], found.gold_QR, found.language_N, found.own_Q)
    return {kind: found.macro(kind_Q == position) for position, kind in enumerate(SPLIT)}


def first_result_split(
    first_Q: NDArray[np.int64], gold_QR: NDArray[np.int64], language_N: NDArray[np.int64], own_Q: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Says what the first result of each query is, as [Q] positions in `SPLIT`.

    The shares sum to 1. Chance in a pool of N: k / N relevant, and own n_l / N where n_l candidates are in the
    query's language. Source: the four-way split reported with LPR in MLAIRE (arXiv:2605.07249).

    Args:
        first_Q: [Q] positions of the first results.
        gold_QR: [Q, R] positions of the relevant candidates, -1 where a slot is empty.
        language_N: [N] columns of the languages of all candidates.
        own_Q: [Q] columns of the languages of the queries.
    """
    irrelevant_Q = (gold_QR != first_Q[:, None]).all(axis=1)
    return np.asarray(2 * irrelevant_Q + (language_N[first_Q] != own_Q))
