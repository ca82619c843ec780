"""Metrics of single queries against hand-computed values and the field's libraries."""

import os

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from mixlingual.measures.quality import average_precision, ndcg_at_k, recall_at_k, reciprocal_rank

os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # compiling ranx takes half a minute
from ranx import Qrels, Run, evaluate

RANKS = np.array([[4, 1, 0], [2, 0, 0], [1, 2, 3], [10, 30, 20]])


def random_rankings(queries, pool, slots):
    """Ranks of 1 to `slots` relevant candidates of each query, 0 in the slots left over."""
    rng = np.random.default_rng(0)
    rank_QR = np.zeros((queries, slots), dtype=np.int64)
    for row in rank_QR:
        relevant = rng.integers(1, slots + 1)
        row[rng.choice(slots, relevant, replace=False)] = rng.choice(pool, relevant, replace=False) + 1
    return rank_QR


def test_average_precision_by_hand():
    expected = [(1 / 1 + 2 / 4) / 2, 1 / 2, 1.0, (1 / 10 + 2 / 20 + 3 / 30) / 3]
    assert average_precision(RANKS) == pytest.approx(expected, abs=0)


def test_recall_by_hand():
    assert recall_at_k(RANKS, 1) == pytest.approx([1 / 2, 0, 1 / 3, 0], abs=0)
    assert recall_at_k(RANKS, 10) == pytest.approx([1, 1, 1, 1 / 3], abs=0)


def test_reciprocal_rank_by_hand():
    assert reciprocal_rank(RANKS) == pytest.approx([1, 1 / 2, 1, 1 / 10], abs=0)


def test_ndcg_by_hand():
    two, three = 1 + 1 / np.log2(3), 1 + 1 / np.log2(3) + 1 / 2
    assert ndcg_at_k(RANKS, 1) == pytest.approx([1, 0, 1, 0], abs=0)
    expected = [(1 + 1 / np.log2(5)) / two, 1 / np.log2(3), 1, (1 / np.log2(11)) / three]
    assert ndcg_at_k(RANKS, 10) == pytest.approx(expected, rel=1e-15)


def test_average_precision_takes_ties_as_one_threshold():
    """Of two relevant and one other candidate that share the ranks 2 to 4, with a relevant one before them."""
    assert average_precision(np.array([[1, 4, 4]])) == pytest.approx([(1 + 3 / 4 + 3 / 4) / 3], abs=0)


def test_queries_without_relevant_candidates_are_refused():
    with pytest.raises(AssertionError, match="no metrics"):
        average_precision(np.array([[1, 2], [0, 0]]))


@pytest.mark.parametrize("levels", [4, 10_000])
def test_average_precision_equals_scikit_learn(levels):
    rng = np.random.default_rng(0)
    score_QN = rng.integers(0, levels, (50, 40))
    relevant_QN = rng.random((50, 40)) < np.array([0.5, 0.2, *[0.1] * 48])[:, None]
    relevant_QN[:, 0] = True
    last_QN = (score_QN[:, None, :] >= score_QN[:, :, None]).sum(axis=2)
    expected = [average_precision_score(*row) for row in zip(relevant_QN, score_QN)]
    np.testing.assert_allclose(average_precision(np.where(relevant_QN, last_QN, 0)), expected, rtol=0, atol=1e-12)


def test_metrics_equal_ranx():
    rank_QR = random_rankings(queries=30, pool=40, slots=5)
    qrels = Qrels({f"q{q:02}": {f"d{rank}": 1 for rank in row if rank} for q, row in enumerate(rank_QR)})
    run = Run({f"q{q:02}": {f"d{rank}": float(-rank) for rank in range(1, 41)} for q in range(len(rank_QR))})
    names = ["map", "recall@1", "recall@10", "mrr", "ndcg@3", "ndcg@10"]
    ours = [
        average_precision(rank_QR), recall_at_k(rank_QR, 1), recall_at_k(rank_QR, 10),
        reciprocal_rank(rank_QR), ndcg_at_k(rank_QR, 3), ndcg_at_k(rank_QR, 10),
    ]  # fmt: skip
    expected = evaluate(qrels, run, names, return_mean=False)
    for name, values in zip(names, ours):
        np.testing.assert_allclose(values, expected[name], rtol=0, atol=1e-12, err_msg=name)
