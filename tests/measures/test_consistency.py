"""Agreement of lists: by hand, and against sums over depths."""

import numpy as np
import pytest

from mixlingual.measures.consistency import rank_biased_overlap


def random_lists(rng, questions, pool, depth):
    return np.array([rng.choice(pool, depth, replace=False) for _ in range(questions)])


def reference_rbo(left, right, p):
    """Equation 32 of Webber et al. 2010 for lists of one length, by sets."""
    overlaps = [len(set(left[:d]) & set(right[:d])) for d in range(1, len(left) + 1)]
    total = sum(overlap / d * p**d for d, overlap in enumerate(overlaps, start=1))
    return overlaps[-1] / len(left) * p ** len(left) + (1 - p) / p * total


def test_rbo_by_hand():
    """Lists a b and b a share nothing at depth 1 and all at depth 2."""
    value = rank_biased_overlap(np.array([[1, 2], [1, 2], [1, 2]]), np.array([[2, 1], [1, 2], [3, 4]]), 0.5)
    np.testing.assert_allclose(value, [0.25 + 0.25, 1, 0], rtol=1e-12)


@pytest.mark.parametrize("persistence", [0.5, 0.9])
def test_rbo_equals_sums_over_sets(persistence):
    rng = np.random.default_rng(0)
    left, right = random_lists(rng, 60, 14, 8), random_lists(rng, 60, 14, 8)
    expected = [reference_rbo(*lists, persistence) for lists in zip(left.tolist(), right.tolist())]
    np.testing.assert_allclose(rank_biased_overlap(left, right, persistence), expected, rtol=1e-12)


def test_rbo_of_random_lists_is_near_chance():
    rng = np.random.default_rng(1)
    value = rank_biased_overlap(random_lists(rng, 3000, 400, 100), random_lists(rng, 3000, 400, 100), 0.9)
    assert value.mean() == pytest.approx(1 / (0.1 * 400), rel=0.1)
