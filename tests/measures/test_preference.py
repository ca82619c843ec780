"""Which language comes first: by hand, against references that walk lists, and at chance."""

import numpy as np
import pytest

from mixlingual.measures.first_result import SPLIT, first_result_split
from mixlingual.measures.own_first import own_language_first
from mixlingual.measures.remove_one_gold import own_and_other, remove_one_gold
from mixlingual.measures.target_language_recall import target_language_recall

RANKS = np.array([[1, 4, 0], [9, 2, 5], [3, 0, 0], [0, 8, 7]])
OWN = np.array([0, 0, 0, 0])


def random_ranks(rng, queries, pool, languages):
    rank_QM = np.array([rng.choice(pool, languages, replace=False) + 1 for _ in range(queries)])
    absent = rng.random(rank_QM.shape) < 0.3
    absent[np.arange(queries), rng.integers(0, languages, queries)] = False
    return np.where(absent, 0, rank_QM)


def test_own_language_first_by_hand():
    np.testing.assert_array_equal(own_language_first(RANKS, OWN), [1, 0, np.nan, np.nan])
    np.testing.assert_array_equal(own_language_first(RANKS, np.array([1, 1, 0, 1])), [0, 1, np.nan, 0])


def test_own_language_first_is_one_in_k_at_chance():
    rng = np.random.default_rng(0)
    rank_QM = np.array([rng.choice(50, 4, replace=False) + 1 for _ in range(8000)])
    assert own_language_first(rank_QM, rng.integers(0, 4, 8000)).mean() == pytest.approx(1 / 4, abs=0.02)


def test_the_first_result_is_split_by_hand():
    first_Q = np.array([0, 1, 2, 3])
    gold_QM = np.array([[0, 1], [0, 1], [0, 1], [0, -1]])
    kinds = first_result_split(first_Q, gold_QM, np.array([0, 1, 0, 1]), np.array([0, 0, 0, 0]))
    assert [SPLIT[kind] for kind in kinds] == ["relevant_own", "relevant_other", "other_own", "other_other"]


def test_target_language_recall_by_hand():
    np.testing.assert_array_equal(target_language_recall(RANKS, OWN, 4), [1, 1 / 2, np.nan, 0])
    np.testing.assert_array_equal(target_language_recall(RANKS, OWN, 7), [1, 1, np.nan, 1 / 2])


def test_remove_one_gold_by_hand():
    """Ranks 1 and 4: AP (1 + 2/4) / 2; without the first the other is at 3, without the other the first stays."""
    delta_QM = remove_one_gold(RANKS[:1])
    np.testing.assert_allclose(delta_QM, [[3 / 4 - 1 / 3, 3 / 4 - 1, np.nan]], rtol=1e-12)


def test_remove_one_gold_equals_a_list_with_that_candidate_taken_out():
    rng = np.random.default_rng(1)
    pool = 30
    rank_QM = random_ranks(rng, 40, pool, 5)
    delta_QM = remove_one_gold(rank_QM)
    for rank_M, delta_M in zip(rank_QM, delta_QM):
        relevant = {int(rank) for rank in rank_M if rank}
        for rank, delta in zip(rank_M, delta_M):
            if not rank or len(relevant) == 1:
                assert np.isnan(delta)
                continue
            left = [place for place in range(1, pool + 1) if place != rank]
            assert delta == pytest.approx(listed_ap(range(1, pool + 1), relevant) - listed_ap(left, relevant - {rank}))


def listed_ap(places, relevant):
    found, precisions = 0, []
    for rank, place in enumerate(places, start=1):
        if place in relevant:
            found += 1
            precisions.append(found / rank)
    return sum(precisions) / len(relevant)


def test_blind_rankings_owe_as_much_to_every_language():
    rng = np.random.default_rng(2)
    rank_QM = np.array([rng.choice(40, 3, replace=False) + 1 for _ in range(6000)])
    own_Q, other_Q = own_and_other(remove_one_gold(rank_QM), rng.integers(0, 3, 6000))
    assert own_Q.mean() == pytest.approx(other_Q.mean(), abs=0.01)


def test_own_and_other_by_hand():
    value_QM = np.array([[1.0, 2.0, 6.0], [np.nan, 5.0, np.nan], [7.0, np.nan, np.nan]])
    own_Q, other_Q = own_and_other(value_QM, np.array([0, 0, 0]))
    np.testing.assert_array_equal(own_Q, [1, np.nan, 7])
    np.testing.assert_array_equal(other_Q, [4, 5, np.nan])
