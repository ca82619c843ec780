"""This says whether a linear map tells the language of a text from its embedding.

Shape suffixes: N embeddings, M languages, D width.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixlingual.measures.geometry import golds
from mixlingual.measures.measure import EMBEDDINGS, LESS_BIASED, Measure, in_section
from mixlingual.measures.retrieval import Retrieval

_PENALTY = 1e-3
"""Ridge penalty of the probe, relative to the mean variance of the embedding's dimensions."""


@in_section(
    "geometry",
    Measure(
        name="geometry.language_probe", place=420, group=EMBEDDINGS, label="language probe",
        direction=f"accuracy; {LESS_BIASED}", larger_is_better=False, level=lambda k: 1 / k,
        meaning="Balanced accuracy with which a linear map tells the language of a text from its embedding.",
        unbiased="1 / k for k languages",
    ),
)  # fmt: skip
def _of_golds(found: Retrieval) -> dict[str, float]:
    texts = found.once(golds)[0]
    return {"language_probe": language_probe(texts.unit_ND, texts.language_N, texts.cluster_N)}


def language_probe(
    embedding_ND: NDArray[np.float32], language_N: NDArray[np.int64], cluster_N: NDArray[np.int64]
) -> float:
    """Computes the balanced accuracy of a linear probe for the language, on clusters that it was not trained on.

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


def _ridge(
    train_ND: NDArray[np.float32], language_N: NDArray[np.int64], test_ND: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Predicts the languages of the test embeddings by regularised least squares on the training ones."""
    mean_D = train_ND.mean(axis=0, dtype=np.float64)
    centred_ND = train_ND - mean_D
    target_NM = (language_N[:, None] == np.arange(language_N.max() + 1)).astype(np.float64)
    gram_DD = centred_ND.T @ centred_ND
    penalty = _PENALTY * np.trace(gram_DD) / len(gram_DD) + np.finfo(np.float64).tiny
    weight_DM = np.linalg.solve(gram_DD + penalty * np.eye(len(gram_DD)), centred_ND.T @ target_NM)
    return np.asarray(((test_ND - mean_D) @ weight_DM + target_NM.mean(axis=0)).argmax(axis=1))
