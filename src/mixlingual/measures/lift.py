"""This compares how often a language is in the first results with its share of the pool, or of what is relevant.

Shape suffixes: Q queries, K results of a list, M languages of the pool. `language_QK` holds the columns of the
languages of the results, best first.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixlingual.measures.measure import LESS_BIASED, WHICH_LANGUAGE, Measure, declare, in_section
from mixlingual.measures.retrieval import SHORT_LIST, Ranks, Retrieval, Scores

_proportion = partial(
    Measure,
    group=WHICH_LANGUAGE,
    direction="ratio; 1 is in proportion",
    decimals=3,
    larger_is_better=None,
    unbiased="1",
    level=lambda _: 1,
)
_preference = partial(
    Measure,
    group=WHICH_LANGUAGE,
    direction=f"log2; {LESS_BIASED}",
    decimals=3,
    larger_is_better=False,
    unbiased="0",
    level=lambda _: 0,
)


declare(
    _proportion(
        name="own_lift@10", place=240, label="own language in the top 10",
        of_questions=lambda found: own_language_lift(found.once(_counts), found.own_Q, found.share_M),
        meaning="Share of the question's language in the first ten results, over its share of the pool.",
    ),
    _proportion(
        name="own_relevant_lift@10", place=250, label="own language of the right results",
        of_questions=lambda found: found.over_answers(own_relevant_lift(found.rank_AM, found.own_A, SHORT_LIST)),
        meaning="Share of the question's language among the relevant results of the first ten, over its share of "
        "all relevant candidates: content has no part in it.",
    ),
)  # fmt: skip


@in_section(
    "lift@10",
    _preference(
        name="lift@10.diagonal_preference", place=280, label="preference for the own language", foremost=True,
        meaning="Mean log2 lift of the question's own language in the top ten, minus that of the other languages.",
    ),
)  # fmt: skip
def _lift(found: Retrieval) -> dict[str, Any]:
    return _summaries(found, log_lift(found.once(_counts), found.own_Q, found.share_M))


@in_section(
    "relevant_lift@10",
    _preference(
        name="relevant_lift@10.diagonal_preference", place=290,
        label="preference for the own language among the right",
        meaning="Mean log2 lift of the question's own language among the relevant results of the first ten, minus "
        "that of the other languages.",
    ),
)  # fmt: skip
def _relevant_lift(found: Retrieval) -> dict[str, Any]:
    return _summaries(found, relevant_log_lift(found.rank_AM, found.own_A, SHORT_LIST))


def _counts(found: Retrieval) -> NDArray[np.int64]:
    return language_counts(found.language_QK[:, :SHORT_LIST], len(found.share_M))


def _summaries(found: Retrieval, lift_MM: Scores) -> dict[str, Any]:
    """Lays out a log-lift matrix, query language -> candidate language, with its summaries."""
    return {
        "diagonal_preference": diagonal_preference(lift_MM),
        "attraction": dict(zip(found.languages, attraction(lift_MM).tolist())),
        "log2": {row: dict(zip(found.languages, values)) for row, values in zip(found.languages, lift_MM.tolist())},
    }


def language_counts(language_QK: NDArray[np.int64], languages: int) -> NDArray[np.int64]:
    """Counts, [Q, M], the results of each language in each list."""
    row_QK = np.arange(len(language_QK))[:, None] * languages
    counts = np.bincount((row_QK + language_QK).ravel(), minlength=len(language_QK) * languages)
    return counts.reshape(len(language_QK), languages)


def own_language_lift(count_QM: NDArray[np.int64], own_Q: NDArray[np.int64], share_M: Scores) -> Scores:
    """Computes O_k = (share of the query's language in the top k) / (its share of the pool): over-representation.

    1 is proportional, which a random ranking gives; 0 none; at most 1 / (share of the pool). It reflects content
    as well where the pool's languages hold different texts.

    Args:
        count_QM: [Q, M] results of each language in the top k.
        own_Q: [Q] columns of the languages of the queries.
        share_M: [M] each language's share of the pool, summing to 1.

    Returns:
        [Q] values, NaN where the pool has nothing in the query's language.
    """
    own_count_Q = np.take_along_axis(count_QM, own_Q[:, None], axis=1)[:, 0]
    return np.asarray(own_count_Q / count_QM.sum(axis=1) / np.where(share_M > 0, share_M, np.nan)[own_Q])


def log_lift(count_QM: NDArray[np.int64], own_Q: NDArray[np.int64], share_M: Scores) -> Scores:
    """Computes [M, M] log2 of the lift of each candidate language (column) in the top k of each query language (row).

    0 is proportional, which a random ranking gives; 1 is twice as many results as the pool's share. One result more
    for each row, spread as the pool is, keeps an absent language finite. Rows without queries are 0, and so are columns
    without candidates. Source: the heat map of question against answer languages of LAReQA (arXiv:2004.05484), as a
    ratio to the pool.
    """
    total_MM = np.stack([count_QM[own_Q == row].sum(axis=0) for row in range(len(share_M))])
    due_MM = (total_MM.sum(axis=1, keepdims=True) + 1) * share_M
    return np.asarray(np.log2(np.divide(total_MM + share_M, due_MM, out=np.ones_like(due_MM), where=due_MM > 0)))


def own_relevant_lift(rank_QM: Ranks, own_Q: NDArray[np.int64], depth: int) -> Scores:
    """Computes `own_language_lift` among the relevant candidates: content that differs between languages is left out.

    The own language's share of the relevant candidates in the top k over its share of all relevant ones. 1 is
    proportional, which a random ranking gives; at most the number of relevant candidates.

    Args:
        rank_QM: [Q, M] ranks of the relevant candidate of each language, 0 where a language has none.
        own_Q: [Q] columns of the languages of the queries.
        depth: k.

    Returns:
        [Q] values, NaN where no relevant candidate is in the top k or none is in the query's language.
    """
    shown_QM, present_QM = _shown(rank_QM, depth), rank_QM > 0
    own_Q1 = own_Q[:, None]
    own_shown_Q, has_own_Q = (np.take_along_axis(table, own_Q1, axis=1)[:, 0] for table in (shown_QM, present_QM))
    total_Q = shown_QM.sum(axis=1)
    lift_Q = own_shown_Q * present_QM.sum(axis=1) / np.maximum(total_Q, 1)
    return np.where((total_Q > 0) & has_own_Q, lift_Q, np.nan)


def relevant_log_lift(rank_QM: Ranks, own_Q: NDArray[np.int64], depth: int) -> Scores:
    """Compares, [M, M], the relevant candidates shown with as many in languages drawn at random: see `log_lift`.

    A query with n relevant candidates, s of them in the top k, expects s / n of each language that it has. Cells that
    expect nothing are 0.

    Args:
        rank_QM: [Q, M] ranks of the relevant candidate of each language, 0 where a language has none.
        own_Q: [Q] columns of the languages of the queries.
        depth: k.
    """
    shown_QM, present_QM = _shown(rank_QM, depth), rank_QM > 0
    expected_QM = present_QM * (shown_QM.sum(axis=1) / present_QM.sum(axis=1))[:, None]
    rows = range(rank_QM.shape[1])
    total_MM, expected_MM = (
        np.stack([table[own_Q == m].sum(axis=0) for m in rows]) for table in (shown_QM, expected_QM)
    )
    share_MM = expected_MM / np.maximum(expected_MM.sum(axis=1, keepdims=True), 1e-300)
    known_MM = expected_MM > 0
    ratio_MM = (total_MM + share_MM) / np.where(known_MM, expected_MM + share_MM, 1.0)
    return np.asarray(np.log2(np.where(known_MM, ratio_MM, 1.0)))


def _shown(rank_QM: Ranks, depth: int) -> NDArray[np.bool_]:
    return (rank_QM > 0) & (rank_QM <= depth)


def diagonal_preference(lift_MM: Scores) -> float:
    """Takes the mean log-lift of the own language minus that of the others: 0 without bias, for two languages on."""
    own = np.eye(len(lift_MM), dtype=bool)
    return float(lift_MM[own].mean() - lift_MM[~own].mean())


def attraction(lift_MM: Scores) -> Scores:
    """Takes the mean log-lift, [M], of each language over queries of other languages; it is 0 for its mere share.

    High for a language that fills the lists of all others, as English often does.
    """
    return np.asarray((lift_MM.sum(axis=0) - lift_MM.diagonal()) / (len(lift_MM) - 1))
