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
    """Averages over questions with gold candidates of their own and of other languages, and over gold translations."""
    query_QD, candidate_ND = found.once(units)
    own_QM = found.own_Q[:, None] == np.arange(len(found.languages))
    other_QM = ~own_QM & (found.gold_QM >= 0)
    home_QD = candidate_ND[found.gold_QM[own_QM]]
    golds = [candidate_ND[gold_Q] for gold_Q in found.gold_QM.T]
    answer_QM = np.stack([squared_distances(query_QD, gold_QD) for gold_QD in golds], axis=1)
    translation_QM = np.stack([squared_distances(home_QD, gold_QD) for gold_QD in golds], axis=1)
    return {
        "alignment_mono": mean(answer_QM[own_QM]),
        "alignment_cross": mean(answer_QM[other_QM]),
        "alignment_translations": mean(translation_QM[other_QM]),
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
