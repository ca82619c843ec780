"""This says whether a question gets the same list in every language.

Shape suffixes: Q questions, K results of a list. Lists hold distinct positions of candidates, best first.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixlingual.measures.measure import SAME_QUESTION, Measure, in_section
from mixlingual.measures.retrieval import Retrieval, Scores

PERSISTENCE = 0.9
"""Chance that the reader of `rank_biased_overlap` goes on to the next depth."""


@in_section(
    "consistency",
    Measure(
        name="consistency.rbo", place=310, group=SAME_QUESTION, label="same list in two languages (RBO)",
        direction="0 to 1; higher is less biased", unbiased="1", level=lambda _: 1,
        meaning="Rank-biased overlap (p = 0.9, depth 100) of the lists of one question asked in two languages.",
    ),
)  # fmt: skip
def _of_pairs(found: Retrieval) -> dict[str, Any]:
    """Compares the lists of one question in two languages: it takes means over questions, then over pairs."""
    rows: dict[str, dict[str, int]] = {language: {} for language in found.languages}
    for row, query in enumerate(found.benchmark.queries):
        rows[query.language][query.id] = row
    pairs: dict[str, dict[str, float]] = {}
    for left, right in combinations(found.languages, 2):
        shared = [question for question in rows[left] if question in rows[right]]
        if shared:
            left_QK, right_QK = (found.top_QK[[rows[side][question] for question in shared]] for side in (left, right))
            pairs[f"{left}-{right}"] = {"rbo": float(rank_biased_overlap(left_QK, right_QK, PERSISTENCE).mean())}
    return {"rbo": float(np.mean([pair["rbo"] for pair in pairs.values()])), "pairs": pairs} if pairs else {}


def rank_biased_overlap(left_QK: NDArray[np.int64], right_QK: NDArray[np.int64], persistence: float) -> Scores:
    """Computes RBO_ext of two lists of equal length: agreement weighted to the top, in [0, 1].

    (1 - p) / p * sum over depths d of p^d X_d / d, plus p^K X_K / K, where X_d results are in both first d. 1 for
    equal lists, 0 for disjoint ones, about 1 / ((1 - p) N) for random ones from N. Source: Webber, Moffat
    & Zobel 2010, A similarity measure for indefinite rankings, equation 32.

    Args:
        left_QK: [Q, K] lists.
        right_QK: [Q, K] lists.
        persistence: p in (0, 1): the chance that the reader goes on to the next depth; 0.9 puts 86% of the weight
            on the first ten.

    Returns:
        [Q] values.
    """
    questions, depth = left_QK.shape
    row, left, right = _matches(left_QK, right_QK)
    reached = np.bincount(row * depth + np.maximum(left, right), minlength=questions * depth)
    agreement_QK = reached.reshape(questions, depth).cumsum(axis=1) / np.arange(1, depth + 1)
    weight_K = (1 - persistence) / persistence * persistence ** np.arange(1, depth + 1)
    return np.asarray(agreement_QK @ weight_K + agreement_QK[:, -1] * persistence**depth)


def _matches(left_QK: NDArray[np.int64], right_QK: NDArray[np.int64]) -> tuple[NDArray[np.intp], ...]:
    """Finds the row, and the places in the left and the right list, of every result that both lists of a row hold."""
    both_QK = np.concatenate([left_QK, right_QK], axis=1)
    place_QK = np.argsort(both_QK, axis=1, kind="stable")
    sorted_QK = np.take_along_axis(both_QK, place_QK, axis=1)
    row, position = np.nonzero(sorted_QK[:, 1:] == sorted_QK[:, :-1])
    return row, place_QK[row, position], place_QK[row, position + 1] - left_QK.shape[1]
