"""The arrangement of embeddings: by hand, against scikit-learn and loops over pairs, and at chance."""

import math

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier

from mixlingual.measures import language_probe as probe
from mixlingual.measures.alignment import squared_distances
from mixlingual.measures.centroids import centroid_variance_share
from mixlingual.measures.geometry import unit
from mixlingual.measures.language_probe import language_probe
from mixlingual.measures.uniformity import uniformity


def test_centroid_variance_share_by_hand():
    """Two languages at -1 and 1 on one axis, each spread by 1 on the other."""
    embedding_ND = np.array([[-1, 1], [-1, -1], [1, 1], [1, -1]], dtype=np.float32)
    assert centroid_variance_share(embedding_ND, np.array([0, 0, 1, 1])) == pytest.approx(0.5)
    assert centroid_variance_share(embedding_ND, np.array([0, 1, 0, 1])) == pytest.approx(0.5)
    assert centroid_variance_share(embedding_ND, np.array([0, 1, 1, 0])) == pytest.approx(0)


def test_random_labels_explain_their_degrees_of_freedom():
    rng = np.random.default_rng(0)
    embedding_ND = rng.standard_normal((400, 60)).astype(np.float32) + 3
    share = centroid_variance_share(embedding_ND, rng.integers(0, 5, 400))
    assert share == pytest.approx(4 / 399, rel=0.2)


def test_the_probe_tells_shifted_languages_apart_and_is_at_chance_on_random_labels():
    rng = np.random.default_rng(1)
    language_N, cluster_N = np.tile(np.arange(3), 300), np.repeat(np.arange(300), 3)
    embedding_ND = rng.standard_normal((900, 20)).astype(np.float32)
    assert language_probe(embedding_ND, language_N, cluster_N) == pytest.approx(1 / 3, abs=0.06)
    embedding_ND[:, 0] += 20 * (language_N == 1)
    embedding_ND[:, 1] += 20 * (language_N == 2)
    assert language_probe(embedding_ND, language_N, cluster_N) == 1


def test_the_probe_never_sees_the_clusters_it_is_tested_on():
    """Labels follow the cluster here: a probe that knew the test clusters would be perfect."""
    rng = np.random.default_rng(2)
    cluster_N = np.repeat(np.arange(200), 5)
    language_N = rng.integers(0, 2, 200)[cluster_N]
    embedding_ND = rng.standard_normal((200, 400)).astype(np.float32)[cluster_N]
    assert language_probe(embedding_ND, language_N, cluster_N) < 0.65


def test_the_probe_is_ridge_classification():
    rng = np.random.default_rng(3)
    train_ND, test_ND = (rng.standard_normal((n, 12)).astype(np.float32) for n in (150, 300))
    language_N = (train_ND @ rng.standard_normal((12, 4)) + rng.standard_normal((150, 4))).argmax(axis=1)
    centred_ND = train_ND - train_ND.mean(axis=0)
    penalty = probe._PENALTY * float((centred_ND**2).sum()) / 12
    expected = RidgeClassifier(alpha=penalty).fit(train_ND, language_N).predict(test_ND)
    np.testing.assert_array_equal(probe._ridge(train_ND, language_N, test_ND), expected)


def test_squared_distances_by_hand():
    left = np.array([[1, 0], [1, 0], [1, 0], [0, 0], [0, 0]], np.float32)
    right = np.array([[1, 0], [0, 1], [-1, 0], [0, 1], [0, 0]], np.float32)
    np.testing.assert_allclose(squared_distances(left, right), [0, 2, 4, 1, 0])


@pytest.mark.parametrize("scale", [1e-37, 1e-25, 1, 1e25])
def test_vectors_of_any_length_become_unit_vectors_but_for_zero(scale):
    vector_ND = (np.array([[3, 4], [0, 0], [0, -1]]) * scale).astype(np.float32)
    np.testing.assert_allclose(unit(vector_ND), [[0.6, 0.8], [0, 0], [0, -1]], rtol=1e-6)


def test_uniformity_equals_a_loop_over_pairs():
    rng = np.random.default_rng(4)
    unit_ND, language_N = unit(rng.standard_normal((12, 5)).astype(np.float32)), rng.integers(0, 3, 12)
    unit_ND[[3, 7]] = 0
    cluster_N = rng.integers(0, 5, 12)
    pairs = {True: [], False: []}
    for i in range(12):
        for j in range(12):
            if cluster_N[i] != cluster_N[j]:
                gap = float(((unit_ND[i] - unit_ND[j]) ** 2).sum())
                pairs[bool(language_N[i] == language_N[j])].append(math.exp(-2 * gap))
    expected = [math.log(sum(pairs[same]) / len(pairs[same])) for same in (True, False)]
    assert uniformity(unit_ND, language_N, cluster_N) == pytest.approx(expected, rel=1e-5)


def test_uniformity_spans_collapse_and_random_directions():
    same = np.tile(np.array([[1, 0]], np.float32), (4, 1))
    assert uniformity(same, np.array([0, 0, 1, 1]), np.arange(4)) == pytest.approx((0, 0))
    spread = unit(np.random.default_rng(5).standard_normal((300, 500)).astype(np.float32))
    within, across = uniformity(spread, np.arange(300) % 3, np.arange(300))
    assert within == pytest.approx(-4, abs=0.05)
    assert across == pytest.approx(-4, abs=0.05)
    assert math.isnan(uniformity(spread[:2], np.array([0, 1]), np.array([0, 1]))[0])


def test_embeddings_without_language_are_as_uniform_within_as_across():
    """Three texts in ten languages: their translations coincide, and would make up a third of the pairs across."""
    cluster_N, language_N = np.repeat(np.arange(3), 10), np.tile(np.arange(10), 3)
    text_CD = unit(np.random.default_rng(6).standard_normal((3, 8)).astype(np.float32))
    within, across = uniformity(text_CD[cluster_N], language_N, cluster_N)
    assert within == pytest.approx(across)
    assert within < -1
