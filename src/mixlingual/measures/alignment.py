"""This says how far embeddings of one meaning lie from each other, in one language and across languages.

Shape suffixes: Q queries, N embeddings, M languages, D width.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from mixlingual.measures.geometry import mean, units
from mixlingual.measures.measure import EMBEDDINGS, LESS_BIASED, Measure, in_section
from mixlingual.measures.retrieval import Retrieval, Scores

_distance = partial(
    Measure, place=440, group=EMBEDDINGS, direction="squared distance; lower is closer", larger_is_better=None
)


@in_section(
    "geometry",
    _distance(
        name="geometry.alignment_mono", label="alignment in one language",
        meaning="Squared distance of a question from its answer in the same language; random directions give 2.",
        unbiased="equal to alignment across languages",
    ),
    _distance(
        name="geometry.alignment_cross", label="alignment across languages",
        meaning="Squared distance of a question from its answer in another language; random directions give 2.",
        unbiased="equal to alignment in one language",
    ),
    _distance(
        name="geometry.alignment_translations", label="alignment of translations",
        direction=f"squared distance; {LESS_BIASED}", larger_is_better=False, level=lambda _: 0, unbiased="0",
        meaning="Squared distance of the translations of one text; random directions give 2.",
    ),
)  # fmt: skip
def _of_questions(found: Retrieval) -> dict[str, float]:
    """Averages over answers in the language of their question and in others, and over translations of one answer."""
    query_QD, candidate_ND = found.once(units)
    is_own_AM, has_AM = found.own_A[:, None] == np.arange(len(found.languages)), found.gold_AM >= 0
    own_AM, other_AM = is_own_AM & has_AM, ~is_own_AM & has_AM
    query_AD, home_AD = query_QD[found.query_A], candidate_ND[found.gold_AM[is_own_AM]]
    golds = [candidate_ND[gold_A] for gold_A in found.gold_AM.T]
    answer_AM = np.stack([squared_distances(query_AD, gold_AD) for gold_AD in golds], axis=1)
    translation_AM = np.stack([squared_distances(home_AD, gold_AD) for gold_AD in golds], axis=1)
    return {
        "alignment_mono": mean(answer_AM[own_AM]),
        "alignment_cross": mean(answer_AM[other_AM]),
        "alignment_translations": mean(translation_AM[other_AM & own_AM.any(axis=1, keepdims=True)]),
    }


def squared_distances(left_ND: NDArray[np.float32], right_ND: NDArray[np.float32]) -> Scores:
    """Computes [N] ||u - v||^2 of pairs of unit or zero vectors, in [0, 4].

    Their mean over positive pairs is the alignment.

    Lower is better aligned; random directions give 2. Source: alignment of Wang & Isola 2020 (arXiv:2005.10242) with
    exponent 2.

    Args:
        left_ND: [N, D] unit or zero vectors.
        right_ND: [N, D] their partners.
    """
    lengths_N = left_ND.any(axis=1).astype(np.float64) + right_ND.any(axis=1)
    return np.asarray(lengths_N - 2 * np.einsum("nd,nd->n", left_ND, right_ND).astype(np.float64))
