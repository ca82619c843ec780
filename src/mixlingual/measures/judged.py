"""This measures one list of passages against judgements, as trec_eval defines it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mixlingual.measures.measure import Measure, declare, of_lists

DEPTH = 100
"""Passages of a list."""

ANSWER_DEPTHS = {"answer_recall@20": 20, "answer_recall@100": 100}
"""Name in results -> passages in which an answer is looked for."""

for _name, _depth in ANSWER_DEPTHS.items():
    declare(Measure(name=_name, place=60, label=f"answer recall@{_depth}"))


@of_lists("ndcg@10")
def ndcg_at_10(ranked: Sequence[str], judged: Mapping[str, int]) -> float:
    """trec_eval's ndcg_cut.10: gain is the relevance, discount log2(1 + rank), ideal over all judged; in [0, 1]."""

    def gain(relevances: Sequence[int]) -> float:
        return sum(max(rel, 0) / math.log2(1 + rank) for rank, rel in enumerate(relevances[:10], start=1))

    ideal = gain(sorted(judged.values(), reverse=True))
    return gain([judged.get(passage, 0) for passage in ranked]) / ideal if ideal else 0.0


@of_lists("r@100")
def recall_at_100(ranked: Sequence[str], judged: Mapping[str, int]) -> float:
    """trec_eval's recall.100: the share of the relevant passages that are in the list; in [0, 1]."""
    relevant = {passage for passage, rel in judged.items() if rel > 0}
    return len(relevant.intersection(ranked[:DEPTH])) / len(relevant) if relevant else 0.0


declare(Measure(name="mrr@100", place=50, label="MRR@100"))


@of_lists("mrr@100")
def reciprocal_rank_at_100(ranked: Sequence[str], judged: Mapping[str, int]) -> float:
    """trec_eval's recip_rank with -M 100: 1 / the rank of the first relevant passage, 0 if there is none."""
    ranks = (rank for rank, passage in enumerate(ranked[:DEPTH], start=1) if judged.get(passage, 0) > 0)
    return 1 / next(ranks, math.inf)
