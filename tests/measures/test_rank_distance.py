"""Distances between parallel candidates by hand, and against random rankings."""

import math

import numpy as np
import pytest

from mixlingual.measures.rank_distance import (
    completion_at_k,
    log_rank_distance,
    max_rank,
    normalized_rank_distance,
    rank_distance,
)

RANKS = np.array([[4, 1, 0], [2, 0, 0], [1, 2, 3], [10, 30, 20]])
POOL = 30


def test_rank_distance_by_hand():
    np.testing.assert_array_equal(rank_distance(RANKS), [3, np.nan, 2, 20])


def test_normalized_rank_distance_by_hand():
    expected = [(3 - 1) / (30 - 2), np.nan, 0, (20 - 2) / (30 - 3)]
    np.testing.assert_allclose(normalized_rank_distance(RANKS, POOL), expected, rtol=1e-15)


def test_normalized_rank_distance_spans_zero_to_one():
    np.testing.assert_array_equal(normalized_rank_distance(np.array([[1, 30], [7, 8]]), POOL), [1, 0])
    np.testing.assert_array_equal(normalized_rank_distance(np.array([[2, 1]]), 2), [0])


def test_log_rank_distance_by_hand():
    np.testing.assert_allclose(log_rank_distance(RANKS), [2, np.nan, math.log2(3), math.log2(3)], rtol=1e-15)


def test_max_rank_and_completion_by_hand():
    np.testing.assert_array_equal(max_rank(RANKS), [4, 2, 3, 30])
    np.testing.assert_array_equal(completion_at_k(RANKS, 3), [0, 1, 1, 0])
    np.testing.assert_array_equal(completion_at_k(RANKS, 30), [1, 1, 1, 1])


def test_random_rankings_give_the_chance_levels():
    rng = np.random.default_rng(0)
    pool, k = 500, 11
    rank_QR = np.array([rng.choice(pool, k, replace=False) + 1 for _ in range(4000)])
    assert rank_distance(rank_QR).mean() == pytest.approx((k - 1) * (pool + 1) / (k + 1), rel=0.01)
    assert normalized_rank_distance(rank_QR, pool).mean() == pytest.approx((k - 1) / (k + 1), rel=0.01)
    assert log_rank_distance(rank_QR).mean() == pytest.approx(sum(1 / i for i in range(1, k)) / math.log(2), rel=0.03)
    assert max_rank(rank_QR).mean() == pytest.approx(k * (pool + 1) / (k + 1), rel=0.01)
    share = math.comb(400, k) / math.comb(pool, k)
    assert completion_at_k(rank_QR, 400).mean() == pytest.approx(share, abs=0.01)
