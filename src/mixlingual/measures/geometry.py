"""How embeddings are arranged by language, whatever the ranking.

Shape suffixes: N embeddings, M languages, D width. Embeddings are float32.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixlingual.measures.ranks import Scores

_PENALTY = 1e-3
"""Ridge penalty of the probe, relative to the mean variance of the embedding's dimensions."""


def centroid_variance_share(embedding_ND: NDArray[np.float32], language_N: NDArray[np.int64]) -> float:
    """eta^2 = SS_between languages / SS_total: the share of the variance that language centroids explain.

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


def language_probe(
    embedding_ND: NDArray[np.float32], language_N: NDArray[np.int64], cluster_N: NDArray[np.int64]
) -> float:
    """Balanced accuracy of a linear probe for the language, on texts of clusters that it was not trained on.

    NaN if there is one cluster only.

    In [0, 1]; chance is 1 / M, as recall is averaged over languages. 1 means that a linear map tells the languages
    apart. The probe is ridge regression on the language's indicator, trained on the clusters of even number and
    tested on the odd ones, and the other way round. Source: probing classifiers (Alain & Bengio 2016,
    arXiv:1610.01644).

    Args:
        embedding_ND: [N, D] embeddings.
        language_N: [N] columns of their languages.
        cluster_N: [N] numbers of their clusters; texts that are parallel share one.
    """
    recalls = []
    if len(np.unique(cluster_N % 2)) < 2:
        return float("nan")
    for fold in (0, 1):
        train_N = cluster_N % 2 == fold
        predicted_N = _ridge(embedding_ND[train_N], language_N[train_N], embedding_ND[~train_N])
        actual_N = language_N[~train_N]
        recalls += [float((predicted_N[actual_N == m] == m).mean()) for m in np.unique(actual_N)]
    return float(np.mean(recalls))


def squared_distances(left_ND: NDArray[np.float32], right_ND: NDArray[np.float32]) -> Scores:
    """[N] ||u - v||^2 of pairs of unit vectors, in [0, 4]; their mean over positive pairs is the alignment.

    Lower is better aligned; random directions give 2. Source: alignment of Wang & Isola 2020 (arXiv:2005.10242) with
    exponent 2.

    Args:
        left_ND: [N, D] unit vectors.
        right_ND: [N, D] their partners.
    """
    return np.asarray(2 - 2 * np.einsum("nd,nd->n", left_ND, right_ND).astype(np.float64))


def uniformity(
    unit_ND: NDArray[np.float32], language_N: NDArray[np.int64], cluster_N: NDArray[np.int64]
) -> tuple[float, float]:
    """Log E exp(-2 ||u - v||^2) over pairs of unit vectors of two clusters, within one language and across two.

    In [-8, 0]; lower is more uniform, 0 is collapse; random directions in many dimensions give about -4. Languages
    that lie apart are less uniform within than across; embeddings without language give equal values where every
    language has every cluster, as translations, which lie together, are no pairs. Source: Wang & Isola 2020
    (arXiv:2005.10242), with t = 2.

    Args:
        unit_ND: [N, D] unit vectors.
        language_N: [N] columns of their languages.
        cluster_N: [N] numbers of their clusters; texts that are parallel share one.

    Returns:
        The value over pairs in one language, and that over pairs in two languages; NaN where there is no such pair.
    """
    kernel_NN = np.exp(4 * (unit_ND @ unit_ND.T).astype(np.float64) - 4)
    same_NN = language_N[:, None] == language_N
    apart_NN = cluster_N[:, None] != cluster_N
    within, across = mean(kernel_NN[same_NN & apart_NN]), mean(kernel_NN[~same_NN & apart_NN])
    return float(np.log(within)), float(np.log(across))


def unit(embedding_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    """The embeddings scaled to length 1; a zero vector stays."""
    length_N = np.sqrt(np.einsum("nd,nd->n", embedding_ND, embedding_ND))
    return np.asarray(embedding_ND / np.where(length_N > 0, length_N, 1)[:, None])


def mean(value: Scores) -> float:
    """The mean, NaN of nothing."""
    return float(value.mean()) if value.size else float("nan")


def _ridge(
    train_ND: NDArray[np.float32], language_N: NDArray[np.int64], test_ND: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Languages of the test embeddings by regularised least squares on the training ones."""
    mean_D = train_ND.mean(axis=0, dtype=np.float64)
    centred_ND = train_ND - mean_D
    target_NM = (language_N[:, None] == np.arange(language_N.max() + 1)).astype(np.float64)
    gram_DD = centred_ND.T @ centred_ND
    penalty = _PENALTY * np.trace(gram_DD) / len(gram_DD) + np.finfo(np.float64).tiny
    weight_DM = np.linalg.solve(gram_DD + penalty * np.eye(len(gram_DD)), centred_ND.T @ target_NM)
    return np.asarray(((test_ND - mean_D) @ weight_DM + target_NM.mean(axis=0)).argmax(axis=1))
