"""Tests over languages: by hand, against scipy where it has them, and at chance."""

import math
from itertools import permutations, product

import numpy as np
import pytest
from scipy.stats import chi2, friedmanchisquare, kstest

from mixlingual.measures.fairness import concordance, equal_ranks


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


def reference_p(ranks, languages):
    """Kruskal-Wallis by the sums of squares of its definition, over the ranks as they are."""
    groups = [[r for r, m in zip(ranks, languages) if m == language] for language in sorted(set(languages))]
    middle = sum(ranks) / len(ranks)
    total = sum((rank - middle) ** 2 for rank in ranks)
    if len(groups) < 2 or total == 0:
        return 1.0
    between = sum(len(group) * (sum(group) / len(group) - middle) ** 2 for group in groups)
    return chi2.sf((len(ranks) - 1) * between / total, len(groups) - 1)


def test_equal_ranks_by_hand():
    """Ranks 1 2 of one language, 3 4 of another: H = 3 * 4 / 5."""
    test = equal_ranks(np.array([[1, 2, 3, 4, 0]]), np.array([[0, 0, 1, 1, 1]]), 3)
    np.testing.assert_allclose(test.p_Q, [chi2.sf(2.4, 1)], rtol=1e-12)


def test_a_list_in_one_language_is_untested():
    """p is 1 for a list of one language and for an empty one; two languages are tested."""
    test = equal_ranks(np.array([[1, 2, 0], [0, 0, 0], [1, 2, 3]]), np.array([[1, 1, 0], [0, 1, 2], [0, 0, 1]]), 3)
    np.testing.assert_array_equal(test.untested_Q, [True, True, False])
    np.testing.assert_array_equal(test.p_Q[:2], [1, 1])
    assert test.p_Q[2] < 1


def test_equal_ranks_equal_the_definition():
    rng = np.random.default_rng(2)
    rank_QS = random_ranks(rng, 200, 30, 8)
    rank_QS[rng.random(rank_QS.shape) < 0.5] = 0
    rank_QS[:, 0] = 31
    language_QS = rng.integers(0, 4, rank_QS.shape)
    expected = [
        reference_p(ranks[ranks > 0].tolist(), languages[ranks > 0].tolist())
        for ranks, languages in zip(rank_QS, language_QS)
    ]
    np.testing.assert_allclose(equal_ranks(rank_QS, language_QS, 4).p_Q, expected, rtol=1e-9)
    assert 1.0 in expected


@pytest.mark.parametrize(("languages", "constant"), [(11, 0.4405), (7, 0.4232), (4, 0.3916)])
def test_one_result_of_each_language_gives_a_constant(languages, constant):
    rank_QS = random_ranks(np.random.default_rng(3), 20, 500, languages)
    column_QS = np.broadcast_to(np.arange(languages), rank_QS.shape)
    test = equal_ranks(rank_QS, column_QS, languages)
    np.testing.assert_allclose(test.p_Q, constant, atol=5e-5)
    assert test.untested_Q.all(), "and that is said"


def test_p_of_random_lists_is_about_uniform():
    rng = np.random.default_rng(4)
    rank_QS = np.tile(np.arange(1, 101), (1000, 1))
    test = equal_ranks(rank_QS, rng.integers(0, 3, rank_QS.shape), 3)
    assert test.p_Q.mean() == pytest.approx(0.5, abs=0.03)
