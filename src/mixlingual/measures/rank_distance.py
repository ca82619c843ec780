"""This says how far apart a ranking puts the translations of one answer.

A retriever that sees meaning only ranks the translations side by side in the pool of all languages; one that
prefers some languages spreads them out. Values of different pools or different numbers of translations do not
compare, but for the normalised distance. Shape suffixes as in `retrieval`.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from mixlingual.measures.measure import LESS_BIASED, PARALLEL_RANKS, Measure, declare
from mixlingual.measures.retrieval import Ranks, Scores, best_rank, relevant


def rank_distance(rank_QR: Ranks) -> Scores:
    """Takes the worst minus the best rank of a query's parallel relevant candidates in the pooled ranking.

    From k - 1 for k candidates side by side to N - 1 in a pool of N; lower is less biased. A random ranking gives
    (k - 1) (N + 1) / (k + 1). Source: Huang et al. 2023 (KD-SPD, arXiv:2305.09025), as in Elmahdy et al. 2024.

    Args:
        rank_QR: [Q, R] distinct ranks in any order, 0 where a slot is empty.

    Returns:
        [Q] distances, NaN for queries with fewer than two relevant candidates, whose distance is undefined.
    """
    return _where_parallel(rank_QR, rank_QR.max(axis=1) - best_rank(rank_QR))


def normalized_rank_distance(rank_QR: Ranks, pool: int | NDArray[np.int64]) -> Scores:
    """Computes the share of the possible excess distance, (rd - (k - 1)) / (N - k), in [0, 1].

    0 means side by side, 1 means first and last of the pool. 0 too if the pool holds nothing else. A random
    ranking gives (k - 1) / (k + 1). Source: our normalisation of `rank_distance`.

    Args:
        rank_QR: [Q, R] distinct ranks in any order, 0 where a slot is empty; k is the number of ranks.
        pool: N, the number of candidates that were ranked, for all queries or for each.

    Returns:
        [Q] values, NaN for queries with fewer than two relevant candidates.
    """
    relevant_Q = relevant(rank_QR)
    excess_Q = rank_distance(rank_QR) - (relevant_Q - 1)
    return np.asarray(excess_Q / np.maximum(pool - relevant_Q, 1))


def log_rank_distance(rank_QR: Ranks) -> Scores:
    """Computes log2(worst rank / best rank): how many times the user's list must double between the two.

    From log2((b + k - 1) / b) for k candidates side by side from rank b on, to log2 N. A random ranking gives about
    (1 + 1/2 + ... + 1/(k - 1)) / ln 2, 4.2 for k = 11. The mean is driven by typical queries
    rather than by the worst translation. Source: our variant of `rank_distance`.

    Args:
        rank_QR: [Q, R] distinct ranks in any order, 0 where a slot is empty.

    Returns:
        [Q] values, NaN for queries with fewer than two relevant candidates.
    """
    return _where_parallel(rank_QR, np.log2(rank_QR.max(axis=1)) - np.log2(best_rank(rank_QR)))


def max_rank(rank_QR: Ranks) -> Scores:
    """Gives Max@R, the rank of the worst relevant candidate, which is how far one must read to see all.

    From k for the k relevant candidates first, to N; lower is better. A random ranking gives k (N + 1) / (k + 1).
    Source: Max@R of arXiv:2604.05684.

    Args:
        rank_QR: [Q, R] distinct ranks in any order, 0 where a slot is empty.

    Returns:
        [Q] ranks.
    """
    relevant(rank_QR)
    return np.asarray(rank_QR.max(axis=1), dtype=np.float64)


def completion_at_k(rank_QR: Ranks, k: int) -> Scores:
    """Gives 1 if every relevant candidate is among the first k, else 0.

    Never 1 with more than k relevant candidates. A random ranking of N gives C(k, n) / C(N, n) for n relevant
    ones. Source: the share of queries whose `max_rank` is within k.

    Args:
        rank_QR: [Q, R] distinct ranks in any order, 0 where a slot is empty.
        k: length of the list that the user looks at.

    Returns:
        [Q] values.
    """
    return np.asarray(max_rank(rank_QR) <= k, dtype=np.float64)


def _where_parallel(rank_QR: Ranks, value_Q: Scores) -> Scores:
    return np.where(relevant(rank_QR) >= 2, value_Q, np.nan)


_lower = partial(Measure, group=PARALLEL_RANKS, larger_is_better=False)
_completion = partial(Measure, place=130, group=PARALLEL_RANKS, direction="share; higher is less biased")

declare(
    _lower(
        name="rank_distance", place=110, label="rank distance", direction=f"ranks; {LESS_BIASED}", decimals=1,
        level=lambda k: k - 1, level_over="mean", foremost=True, headline=("multi",), picture="rank_distance",
        of_questions=lambda found: found.over_answers(rank_distance(found.rank_AM)),
        unbiased="k - 1 for k languages with an answer",
        meaning="Worst minus best rank of the translations of the answer, in the pool of all languages; mean over "
        "questions.",
    ),
    _lower(
        name="rank_distance_normalized", place=111, label="normalised rank distance",
        direction=f"0 to 1; {LESS_BIASED}", level=lambda _: 0,
        unbiased="0",
        of_questions=lambda found: found.over_answers(normalized_rank_distance(found.rank_AM, found.pool_A)),
        meaning="Rank distance on a scale that does not depend on the size of the pool: 0 is the least, 1 the "
        "largest possible.",
    ),
    _lower(
        name="rank_distance_log", place=112, label="log rank distance", direction=f"log2; {LESS_BIASED}", decimals=3,
        of_questions=lambda found: found.over_answers(log_rank_distance(found.rank_AM)),
        meaning="How many times further down the worst translation lies than the best, in powers of two; not driven "
        "by single far-off ones.",
        unbiased="log2((b + k - 1) / b) for k translations side by side from rank b on",
    ),
    _lower(
        name="rank_distance_median", place=113, label="median rank distance", direction=f"ranks; {LESS_BIASED}",
        decimals=1, level=lambda k: k - 1, level_over="median", column="rank_distance", average="median",
        picture="rank_distance",
        meaning="Rank distance of the middle question, which single far-off translations do not drive.",
        unbiased="k - 1 for k languages with an answer",
    ),
    _lower(
        name="max_rank", place=120, label="rank of the last translation", direction=f"ranks; {LESS_BIASED}",
        decimals=1, level=lambda k: k, level_over="mean",
        of_questions=lambda found: found.over_answers(max_rank(found.rank_AM)),
        meaning="How far to read until every translation of the answer has been seen.",
        unbiased="k for a perfect retriever",
    ),
    _completion(
        name="completion@10", label="all translations in the top 10",
        of_questions=lambda found: found.over_answers(completion_at_k(found.rank_AM, 10)),
        meaning="Share of questions with every translation of the answer among the first ten; with more than ten "
        "languages it is 0.",
        unbiased="1 for a perfect retriever of at most ten languages",
    ),
    _completion(
        name="completion@100", label="all translations in the top 100", level=lambda _: 1,
        of_questions=lambda found: found.over_answers(completion_at_k(found.rank_AM, 100)),
        unbiased="1 for a perfect retriever",
        meaning="Share of questions with every translation of the answer among the first hundred.",
    ),
)  # fmt: skip
