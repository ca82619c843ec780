"""Languages of lists: counts, lifts and divergence by hand, against scipy, and at chance."""

import math
from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from mixlingual.measures.exposure_divergence import chance_divergence, exposure_divergence
from mixlingual.measures.lift import (
    attraction,
    diagonal_preference,
    language_counts,
    log_lift,
    own_language_lift,
    own_relevant_lift,
    relevant_log_lift,
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


@pytest.mark.parametrize("depth", [1, 3, 5])
def test_chance_of_divergence_equals_all_orders_of_a_small_pool(depth):
    pool = [0, 0, 0, 1, 2]
    target = np.array([[1 / 3, 1 / 3, 1 / 3], [0.5, 0, 0.5], [0, 1, 0]])
    lists = np.array(list(permutations(pool)))[:, :depth]
    expected = [exposure_divergence(lists, np.tile(wanted, (len(lists), 1))).mean() for wanted in target]
    found = chance_divergence(target, np.bincount(pool), depth)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert len(set(np.round(found, 6))) == 3


def test_chance_of_divergence_of_a_large_pool():
    rng = np.random.default_rng(3)
    size_M = np.array([400, 300, 200, 100])
    pool = np.repeat(np.arange(4), size_M)
    lists = np.array([rng.choice(pool, 10, replace=False) for _ in range(4000)])
    target = np.full((1, 4), 0.25)
    expected = exposure_divergence(lists, np.tile(target, (4000, 1))).mean()
    assert chance_divergence(target, size_M, 10)[0] == pytest.approx(expected, rel=0.02)


RANKS = np.array([[1, 12, 3], [2, 0, 40], [50, 60, 70], [9, 10, 0], [0, 4, 5]])


def test_own_relevant_lift_by_hand():
    """One of two shown is own, of three; the one shown of two; none shown; none is own; own is missing."""
    found = own_relevant_lift(RANKS, np.array([0, 0, 1, 2, 0]), 10)
    np.testing.assert_allclose(found, [(1 / 2) / (1 / 3), 1 / (1 / 2), np.nan, np.nan, np.nan])


def test_relevant_log_lift_by_hand():
    """Language 0 asks the first two: shown 2, 0, 1 of three; expected 2/3 + 1/2, 2/3, 2/3 + 1/2. 1 sees none, 2 two."""
    expected = np.array([7 / 6, 4 / 6, 7 / 6])
    first = np.log2((np.array([2, 0, 1]) + expected / 3) / (expected * 4 / 3))
    last = np.log2((np.array([1, 1]) + 1 / 2) / (1 + 1 / 2))
    found = relevant_log_lift(RANKS[:4], np.array([0, 0, 1, 2]), 10)
    np.testing.assert_allclose(found, [first, [0, 0, 0], [*last, 0]], atol=1e-12)


def test_relevant_lift_of_random_rankings_is_at_chance():
    rng = np.random.default_rng(4)
    rank_QM = np.array([rng.choice(40, 4, replace=False) + 1 for _ in range(20000)])
    rank_QM[rng.random(rank_QM.shape) < 0.3] = 0
    own_Q = np.array([rng.choice(np.flatnonzero(row)) if row.any() else 0 for row in rank_QM])
    rank_QM[rank_QM.sum(axis=1) == 0, 0] = 7
    assert np.nanmean(own_relevant_lift(rank_QM, own_Q, 10)) == pytest.approx(1, abs=0.05)
    assert np.abs(relevant_log_lift(rank_QM, own_Q, 10)).max() < 0.12
