"""This measures one list of passages against judgements, as trec_eval defines it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

from mixlingual.measures.measure import Measure, declare, of_lists

DEPTH = 100
"""Passages of a list."""

ANSWER_DEPTHS = {"answer_recall@20": 20, "answer_recall@100": 100}
"""Name in results -> passages in which an answer is looked for."""

for _name, _depth in ANSWER_DEPTHS.items():
    declare(Measure(name=_name, place=60, label=f"answer recall@{_depth}"))


def ndcg(ranked: Sequence[str], judged: Mapping[str, int], depth: int) -> float:
    """trec_eval's ndcg_cut: gain is the relevance, discount log2(1 + rank), ideal over all judged; in [0, 1]."""

    def gain(relevances: Sequence[int]) -> float:
        return sum(max(rel, 0) / math.log2(1 + rank) for rank, rel in enumerate(relevances[:depth], start=1))

    ideal = gain(sorted(judged.values(), reverse=True))
    return gain([judged.get(passage, 0) for passage in ranked]) / ideal if ideal else 0.0


def recall(ranked: Sequence[str], judged: Mapping[str, int], depth: int) -> float:
    """trec_eval's recall: the share of the relevant passages that are in the list; in [0, 1]."""
    relevant = {passage for passage, rel in judged.items() if rel > 0}
    return len(relevant.intersection(ranked[:depth])) / len(relevant) if relevant else 0.0


def reciprocal_rank(ranked: Sequence[str], judged: Mapping[str, int], depth: int) -> float:
    """trec_eval's recip_rank with -M: 1 / the rank of the first relevant passage, 0 if there is none."""
    ranks = (rank for rank, passage in enumerate(ranked[:depth], start=1) if judged.get(passage, 0) > 0)
    return 1 / next(ranks, math.inf)


def average_precision(ranked: Sequence[str], judged: Mapping[str, int], depth: int) -> float:
    """trec_eval's map with -M: the precision at each relevant passage of the list, over all that are relevant."""
    relevant = {passage for passage, rel in judged.items() if rel > 0}
    ranks = [rank for rank, passage in enumerate(ranked[:depth], start=1) if passage in relevant]
    return sum(found / rank for found, rank in enumerate(ranks, start=1)) / len(relevant) if relevant else 0.0


LIST_MEASURES = {"map": average_precision, "mrr": reciprocal_rank, "ndcg": ndcg, "r": recall}
"""What stands before the @ in the name of a measure of a list."""

declare(Measure(name="mrr@100", place=50, label="MRR@100"))
for _name in ("ndcg@10", "r@100", "mrr@100"):
    of_lists(_name)(partial(LIST_MEASURES[_name.partition("@")[0]], depth=int(_name.partition("@")[2])))
