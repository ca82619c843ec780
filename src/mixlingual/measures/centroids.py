"""This says how much of the variance of embeddings the centroids of languages explain: the offset between languages.

Shape suffixes: N embeddings, D width.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixlingual.measures.geometry import golds
from mixlingual.measures.measure import EMBEDDINGS, LESS_BIASED, Measure, in_section
from mixlingual.measures.retrieval import Retrieval


@in_section(
    "geometry",
    Measure(
        name="geometry.centroid_variance_share", place=410, group=EMBEDDINGS, label="variance of language centroids",
        direction=f"share; {LESS_BIASED}", larger_is_better=False, level=lambda _: 0, unbiased="0",
        meaning="Share of the variance of embeddings that the language alone explains: the constant offset between "
        "languages.",
    ),
)  # fmt: skip
def _of_golds(found: Retrieval) -> dict[str, float]:
    texts = found.once(golds)[0]
    return {"centroid_variance_share": centroid_variance_share(texts.unit_ND, texts.language_N)}


def centroid_variance_share(embedding_ND: NDArray[np.float32], language_N: NDArray[np.int64]) -> float:
    """Computes eta^2 = SS_between languages / SS_total, the share of the variance that language centroids explain.

    In [0, 1]; 0 means that the languages have one centroid. Random labels give (M - 1) / (N - 1). On parallel texts
    it is language alone; on others content counts too. NaN if all embeddings are equal. Source: analysis of variance;
    it measures the offset that centering takes away.
    """
    centred_ND = embedding_ND - embedding_ND.mean(axis=0, dtype=np.float64)
    between = sum(
        (language_N == m).sum() * float((centred_ND[language_N == m].mean(axis=0) ** 2).sum())
        for m in np.unique(language_N)
    )
    total = float((centred_ND**2).sum())
    return between / total if total > 0 else float("nan")
