"""Languages of lists: counts, lifts and divergence by hand, against scipy, and at chance."""

import math
from collections import Counter

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from mixlingual.evaluation.language_bias.exposure import (
    attraction,
    diagonal_preference,
    exposure_divergence,
    language_counts,
    log_lift,
    own_language_lift,
)

LISTS = np.array([[0, 0, 1, 0], [2, 2, 2, 2], [1, 0, 1, 2]])
COUNTS = np.array([[3, 1, 0], [0, 0, 4], [1, 2, 1]])
OWN = np.array([0, 0, 1])
SHARE = np.array([0.5, 0.25, 0.25])


def test_counts_by_hand():
    np.testing.assert_array_equal(language_counts(LISTS, 3), COUNTS)


def test_counts_equal_a_counter():
    lists = np.random.default_rng(0).integers(0, 6, (50, 9))
    expected = [[Counter(row.tolist())[m] for m in range(6)] for row in lists]
    np.testing.assert_array_equal(language_counts(lists, 6), expected)


def test_own_language_lift_by_hand():
    np.testing.assert_allclose(own_language_lift(COUNTS, OWN, SHARE), [0.75 / 0.5, 0, 0.5 / 0.25])


def test_log_lift_by_hand():
    """Row 0 adds up 3, 1, 4 of 8 results, row 1 has 1, 2, 1 of 4; row 2 asks nothing. Each gets one result more."""
    expected = [
        [math.log2(3.5 / (9 * 0.5)), math.log2(1.25 / (9 * 0.25)), math.log2(4.25 / (9 * 0.25))],
        [math.log2(1.5 / (5 * 0.5)), math.log2(2.25 / (5 * 0.25)), math.log2(1.25 / (5 * 0.25))],
        [0, 0, 0],
    ]
    np.testing.assert_allclose(log_lift(COUNTS, OWN, SHARE), expected, atol=1e-12)


def test_summaries_of_the_lift_by_hand():
    lift_MM = np.array([[2.0, -1.0, 0.0], [1.0, 3.0, -2.0], [2.0, 0.0, 1.0]])
    assert diagonal_preference(lift_MM) == pytest.approx(6 / 3 - 0 / 6)
    np.testing.assert_allclose(attraction(lift_MM), [3 / 2, -1 / 2, -1])


def test_random_lists_have_no_lift():
    rng = np.random.default_rng(1)
    lists = rng.choice(3, p=SHARE, size=(9000, 10))
    own_Q = rng.integers(0, 3, 9000)
    counts = language_counts(lists, 3)
    assert own_language_lift(counts, own_Q, SHARE).mean() == pytest.approx(1, abs=0.03)
    np.testing.assert_allclose(log_lift(counts, own_Q, SHARE), 0, atol=0.05)
    assert diagonal_preference(log_lift(counts, own_Q, SHARE)) == pytest.approx(0, abs=0.03)


def test_exposure_divergence_by_hand():
    """One language shown of two wanted alike: JSD of (1, 0) and (1/2, 1/2); all as wanted; none of those wanted."""
    lists = np.array([[0, 0], [0, 1], [1, 1]])
    weight = 1 + 1 / math.log2(3)
    target = np.array([[0.5, 0.5], [1 / weight, 1 - 1 / weight], [1.0, 0.0]])
    half = (math.log2(1 / 0.75) + 0.5 * math.log2(0.5 / 0.75) + 0.5 * math.log2(0.5 / 0.25)) / 2
    np.testing.assert_allclose(exposure_divergence(lists, target), [half, 0, 1], atol=1e-12)


def test_exposure_divergence_equals_scipy():
    rng = np.random.default_rng(2)
    lists, target = rng.integers(0, 4, (30, 10)), rng.dirichlet(np.ones(4), 30)
    expected = []
    for row, wanted in zip(lists, target):
        exposure = [
            sum(1 / math.log2(1 + i) for i, m in enumerate(row, start=1) if m == language) for language in range(4)
        ]
        expected.append(jensenshannon(exposure, wanted, base=2) ** 2)
    np.testing.assert_allclose(exposure_divergence(lists, target), expected, atol=1e-9)


def test_no_list_exposes_more_languages_than_it_has_results():
    """Eleven languages wanted alike, ten shown: even the fairest list diverges."""
    assert exposure_divergence(np.arange(10)[None], np.full((1, 11), 1 / 11))[0] > 0.05
