"""This says how evenly embeddings are spread, within one language and across two.

Shape suffixes: N embeddings, D width.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from mixlingual.measures.geometry import golds
from mixlingual.measures.measure import EMBEDDINGS, Measure, in_section
from mixlingual.measures.retrieval import Retrieval

_PAIRS = 1 << 25
"""Most pairs whose kernel is held at once, 256 MB."""

_spread = partial(Measure, place=430, group=EMBEDDINGS, decimals=3, larger_is_better=None)


@in_section(
    "geometry",
    _spread(
        name="geometry.uniformity_within", label="uniformity within a language", direction="compare with the next",
        meaning="How evenly the texts of one language are spread: log of the mean kernel of pairs; lower is more even.",
        unbiased="equal to uniformity across languages",
    ),
    _spread(
        name="geometry.uniformity_across", label="uniformity across languages",
        direction="compare with the one before", unbiased="equal to uniformity within a language",
        meaning="How evenly texts of two languages are spread; higher than within means that languages lie apart.",
    ),
)  # fmt: skip
def _of_paragraphs(found: Retrieval) -> dict[str, float]:
    texts = found.once(golds)[1]
    within, across = uniformity(texts.unit_ND, texts.language_N, texts.cluster_N)
    return {"uniformity_within": within, "uniformity_across": across}


def uniformity(
    unit_ND: NDArray[np.float32], language_N: NDArray[np.int64], cluster_N: NDArray[np.int64]
) -> tuple[float, float]:
    """Computes log E exp(-2 ||u - v||^2) over pairs of unit or zero vectors of two clusters.

    The first is within one language, the second across two.

    In [-8, 0]; lower is more uniform, 0 is collapse; random directions in many dimensions give about -4. Languages
    that lie apart are less uniform within than across; embeddings without language give equal values where every
    language has every cluster, as translations, which lie together, are no pairs. Source: Wang & Isola 2020
    (arXiv:2005.10242), with t = 2.

    Args:
        unit_ND: [N, D] unit or zero vectors.
        language_N: [N] columns of their languages.
        cluster_N: [N] numbers of their clusters; texts that are parallel share one.

    Returns:
        The value over pairs in one language, and that over pairs in two languages; NaN where there is no such pair.
    """
    length_N = np.asarray(unit_ND.any(axis=1), np.float64)
    total, count = np.zeros(2), np.zeros(2)
    block = max(1, _PAIRS // len(unit_ND))
    for start in range(0, len(unit_ND), block):
        rows = slice(start, start + block)
        kernel_BN = np.exp(4 * (unit_ND[rows] @ unit_ND.T).astype(np.float64) - 2 * (length_N[rows, None] + length_N))
        same_BN = language_N[rows, None] == language_N
        apart_BN = cluster_N[rows, None] != cluster_N
        for kind, chosen_BN in enumerate((same_BN & apart_BN, ~same_BN & apart_BN)):
            total[kind] += kernel_BN[chosen_BN].sum()
            count[kind] += np.count_nonzero(chosen_BN)
    within, across = (float(np.log(one / of)) if of else float("nan") for one, of in zip(total, count))
    return within, across
