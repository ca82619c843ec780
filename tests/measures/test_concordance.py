"""Kendall's W and its test: by hand, against scipy where it has them, and at chance."""

import math
from itertools import permutations, product

import numpy as np
import pytest
from scipy.stats import chi2, friedmanchisquare, kstest

from mixlingual.measures.concordance import concordance


def random_ranks(rng, queries, pool, languages):
    return np.array([rng.choice(pool, languages, replace=False) + 1 for _ in range(queries)])


def test_the_same_order_everywhere_is_full_concordance():
    test = concordance(np.array([[1, 5, 9], [2, 3, 4], [7, 8, 100]]))
    assert test.w == pytest.approx(1)
    assert test.chance == pytest.approx(2 / 6)
    assert test.p_value == pytest.approx(chi2.sf(6, 2))


def test_opposite_orders_have_no_concordance():
    assert concordance(np.array([[1, 2], [2, 1]])).w == pytest.approx(0)


def test_complete_blocks_equal_friedman():
    rank_QM = random_ranks(np.random.default_rng(0), 40, 100, 5)
    statistic, p_value = friedmanchisquare(*rank_QM.T)
    test = concordance(rank_QM)
    assert test.p_value == pytest.approx(p_value)
    assert test.w == pytest.approx(statistic / (40 * 4))


def test_missing_languages_by_hand():
    """Skillings & Mack 1981 for blocks (A 1, B 2), (B 1, C 2), (A 1, B 2, C 3), written out."""
    rank_QM = np.array([[3, 8, 0], [0, 2, 4], [1, 2, 3], [0, 0, 5]])
    two, three = math.sqrt(12 / 3) / 2, math.sqrt(12 / 4)
    adjusted = np.array([-two - three, two - two, two + three])
    covariance = np.array([[3.0, -2, -1], [-2, 4, -2], [-1, -2, 3]])
    statistic = adjusted[:2] @ np.linalg.inv(covariance[:2, :2]) @ adjusted[:2]
    test = concordance(rank_QM)
    assert test.w == pytest.approx(1), "A, B, C is the order of every block"
    assert test.chance == pytest.approx(2 / statistic)
    assert test.p_value == pytest.approx(chi2.sf(statistic, 2))


def test_w_of_every_possible_outcome_with_missing_languages():
    """All ranks of four blocks: W is at most 1, and 1 where all blocks follow one order and in no other outcome."""
    present = [(0, 1), (1, 2), (0, 2, 3), (2, 3)]
    agreeing, others = [], []
    for orders in product(*(permutations(range(1, len(block) + 1)) for block in present)):
        rank_QM = np.zeros((4, 4), int)
        for row, (block, order) in enumerate(zip(present, orders)):
            rank_QM[row, block] = order
        consistent = any(
            all(
                sorted(block, key=whole.index) == sorted(block, key=dict(zip(block, order)).get)
                for block, order in zip(present, orders)
            )
            for whole in permutations(range(4))
        )
        (agreeing if consistent else others).append(concordance(rank_QM).w)
    assert len(agreeing) + len(others) == 2 * 2 * 6 * 2
    np.testing.assert_allclose(agreeing, 1)
    assert others
    assert min(others) >= 0
    assert max(others) < 1 - 1e-6


def test_concordance_of_random_rankings_is_at_chance():
    rng = np.random.default_rng(1)
    tests = []
    for _ in range(200):
        rank_QM = random_ranks(rng, 60, 100, 4)
        rank_QM[rng.random(rank_QM.shape) < 0.3] = 0
        tests.append(concordance(rank_QM))
    assert np.mean([test.w for test in tests]) == pytest.approx(np.mean([test.chance for test in tests]), rel=0.1)
    assert kstest([test.p_value for test in tests], "uniform").pvalue > 0.01
    assert all(0 <= test.w <= 1 for test in tests)


def test_queries_with_one_language_have_no_concordance():
    assert concordance(np.array([[1, 0], [0, 3]])) is None
