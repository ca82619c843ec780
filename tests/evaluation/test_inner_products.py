"""Scores of pairs against exact sums, the bound on what a matrix product may differ, and the range of numbers."""

import math

import numpy as np
import pytest

from mixlingual.evaluation.inner_products import check_range, lengths, pair_scores, slack, stored
from mixlingual.records import DataError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("width", [1, 3, 7, 384, 9001])
def test_a_score_is_the_same_in_any_company(width):
    query_QD = RNG.standard_normal((5, width)).astype(np.float32)
    passage_ND = RNG.standard_normal((40, width)).astype(np.float16)
    query_P, passage_P = (RNG.integers(0, size, 100) for size in (5, 40))
    together_P = pair_scores(query_QD, query_P, passage_ND, passage_P, 1000)
    for pairs in (1, 3, 64):
        np.testing.assert_array_equal(pair_scores(query_QD, query_P, passage_ND, passage_P, pairs), together_P)
    exact_P = [
        math.fsum((query_QD[q].astype(float) * passage_ND[p].astype(float)).tolist())
        for q, p in zip(query_P, passage_P)
    ]
    np.testing.assert_allclose(together_P, exact_P, rtol=2**-23, atol=1e-12)
    product_P = (query_QD @ passage_ND.astype(np.float32).T)[query_P, passage_P]
    allowed_P = slack(lengths(query_QD), width)[query_P] * lengths(passage_ND)[passage_P]
    assert (np.abs(product_P - together_P) <= allowed_P).all()


@pytest.mark.parametrize("scale", [1e25, 1e-25, 1e38])
def test_scores_beyond_fp32_are_refused(scale):
    embedding_ND = (RNG.standard_normal((6, 8)) * np.float64(scale)).clip(-3e38, 3e38).astype(np.float32)
    with pytest.raises(
        DataError, match=r"^toy: scores leave the range of fp32, since the lengths .* Scale the embeddin"
    ):
        check_range("toy", embedding_ND, embedding_ND)


def test_scores_within_fp32_pass():
    plain_ND = RNG.standard_normal((6, 8)).astype(np.float32)
    check_range("toy", plain_ND * np.float32(1e25), plain_ND * np.float32(1e-25))
    check_range("toy", plain_ND * 0, plain_ND)
    check_range("toy", plain_ND, plain_ND * 0)
    check_range("toy", np.concatenate([plain_ND, plain_ND * 0]), plain_ND)
    check_range("toy", plain_ND)
    one_is_tiny_ND = np.concatenate([plain_ND, plain_ND[:1] * np.float32(1e-35)])
    for pair in ((plain_ND, one_is_tiny_ND), (one_is_tiny_ND, plain_ND), (one_is_tiny_ND, None)):
        with pytest.raises(DataError, match=r"reach from \S+e-35 to"):
            check_range("toy", *pair)


def test_passages_that_fp16_does_not_hold_are_refused():
    plain_ND = RNG.standard_normal((4, 8)).astype(np.float32)
    plain_ND[2] = 0
    np.testing.assert_array_equal(stored("toy", plain_ND), plain_ND.astype(np.float16))
    for scale in (1e25, 1e-25):
        with pytest.raises(DataError, match=r"^toy: 3 of 4 embeddings do not fit into fp16, .* from 6.1e-05 to 65504"):
            stored("toy", plain_ND * np.float32(scale))
