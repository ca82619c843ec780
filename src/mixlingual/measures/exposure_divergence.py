"""This says how far the languages that a list shows are from those that have an answer.

Shape suffixes: Q queries, K results of a list, M languages of the pool. `language_QK` holds the columns of the
languages of the results, best first. S sets of ranks, T distinct shares of a language.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import comb

from mixlingual.measures.measure import LESS_BIASED, WHICH_LANGUAGE, Measure, declare, in_section
from mixlingual.measures.retrieval import SHORT_LIST, Retrieval, Scores

declare(
    Measure(
        name="exposure_divergence@10", place=260, group=WHICH_LANGUAGE, label="exposure divergence@10",
        direction=f"0 to 1; {LESS_BIASED}", larger_is_better=False, level="exposure_divergence@10.chance",
        of_questions=lambda found: exposure_divergence(found.language_QK[:, :SHORT_LIST], found.once(_wanted)),
        meaning="Jensen-Shannon divergence of the languages shown in the first ten from the languages that have an "
        "answer.",
        unbiased="the dashed line: its mean if languages were shown at random",
    )
)  # fmt: skip


@in_section("exposure_divergence@10", place=295)
def _chance(found: Retrieval) -> dict[str, float]:
    depth = min(SHORT_LIST, len(found.language_N))
    return {"chance": found.macro(chance_divergence(found.once(_wanted), found.size_M, depth))}


def _wanted(found: Retrieval) -> Scores:
    """Gives all languages that have a gold candidate the same share, [Q, M]: a fair list shows them so."""
    present_QM = found.answer_QM
    return np.asarray(present_QM / present_QM.sum(axis=1, keepdims=True))


def exposure_divergence(language_QK: NDArray[np.int64], target_QM: Scores) -> Scores:
    """Computes the Jensen-Shannon divergence, in bits, of the languages' exposure in a list from a target distribution.

    A result at rank i exposes its language by 1 / log2(1 + i). In [0, 1]; 0 means exposure as the target, 1 that no
    language of the target is shown. No ranking reaches 0 in general, least of all where the target has more languages
    than the list has results; a random one gives `chance_divergence`. Source: 1 - AWRF of the TREC Fair Ranking track,
    with languages as groups.

    Args:
        language_QK: [Q, K] languages of the top k.
        target_QM: [Q, M] distributions, each summing to 1.

    Returns:
        [Q] values.
    """
    weight_K = 1.0 / np.log2(2.0 + np.arange(language_QK.shape[1]))
    exposure_QM = np.stack([(language_QK == m) @ weight_K for m in range(target_QM.shape[1])], axis=1)
    exposure_QM /= weight_K.sum()
    middle_QM = (exposure_QM + target_QM) / 2
    return (_divergence(exposure_QM, middle_QM) + _divergence(target_QM, middle_QM)) / 2


def chance_divergence(target_QM: Scores, size_M: NDArray[np.int64], depth: int) -> Scores:
    """Computes exactly, [Q], the expected `exposure_divergence` of a random ranking of the pool.

    The divergence is a sum over languages. That of one depends on the set of ranks that it holds: their number is
    hypergeometric, and all sets of a number are alike.

    Args:
        target_QM: [Q, M] distributions, each summing to 1.
        size_M: [M] candidates of each language.
        depth: k, at most the pool; all 2^k sets of ranks are counted.
    """
    from scipy.stats import hypergeom  # which takes a second to import

    rank_SK = (np.arange(1 << depth)[:, None] >> np.arange(depth)) & 1
    weight_K = 1.0 / np.log2(2.0 + np.arange(depth))
    exposure_S, held_S = rank_SK @ weight_K / weight_K.sum(), rank_SK.sum(axis=1)
    expected_QM = np.empty_like(target_QM)
    for m, size in enumerate(size_M.tolist()):
        chance_S = hypergeom.pmf(held_S, int(size_M.sum()), size, depth) / comb(depth, held_S)
        targets, of_Q = np.unique(target_QM[:, m], return_inverse=True)
        middle_ST = (exposure_S[:, None] + targets) / 2
        parts_ST = (_terms(exposure_S[:, None], middle_ST) + _terms(targets, middle_ST)) / 2
        expected_QM[:, m] = (chance_S @ parts_ST)[of_Q]
    return np.asarray(expected_QM.sum(axis=1))


def _divergence(of_QM: Scores, from_QM: Scores) -> Scores:
    """Computes [Q] Kullback-Leibler divergences in bits."""
    return np.asarray(_terms(of_QM, from_QM).sum(axis=1))


def _terms(of: Scores, base: Scores) -> Scores:
    """Computes of * log2(of / base), which is 0 where `of` is 0."""
    of = np.broadcast_to(of, base.shape)
    return np.asarray(of * np.log2(np.divide(of, base, out=np.ones_like(base), where=of > 0)))
