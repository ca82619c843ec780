"""Measures of one list of passages against judgements, as trec_eval defines them, and against answer strings."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import groupby

DEPTH = 100
"""Passages of a list."""


def ndcg_at_10(ranked: Sequence[str], judged: Mapping[str, int]) -> float:
    """trec_eval's ndcg_cut.10: gain is the relevance, discount log2(1 + rank), ideal over all judged; in [0, 1]."""

    def gain(relevances: Sequence[int]) -> float:
        return sum(max(rel, 0) / math.log2(1 + rank) for rank, rel in enumerate(relevances[:10], start=1))

    ideal = gain(sorted(judged.values(), reverse=True))
    return gain([judged.get(passage, 0) for passage in ranked]) / ideal if ideal else 0.0


def recall_at_100(ranked: Sequence[str], judged: Mapping[str, int]) -> float:
    """trec_eval's recall.100: the share of the relevant passages that are in the list; in [0, 1]."""
    relevant = {passage for passage, rel in judged.items() if rel > 0}
    return len(relevant.intersection(ranked[:DEPTH])) / len(relevant) if relevant else 0.0


def reciprocal_rank_at_100(ranked: Sequence[str], judged: Mapping[str, int]) -> float:
    """trec_eval's recip_rank with -M 100: 1 / the rank of the first relevant passage, 0 if there is none."""
    ranks = (rank for rank, passage in enumerate(ranked[:DEPTH], start=1) if judged.get(passage, 0) > 0)
    return 1 / next(ranks, math.inf)


MEASURES = {"ndcg@10": ndcg_at_10, "r@100": recall_at_100, "mrr@100": reciprocal_rank_at_100}
"""Name in results -> measure of one query."""

ANSWER_DEPTHS = {"answer_recall@20": 20, "answer_recall@100": 100}
"""Name in results -> passages in which an answer is looked for."""


def tokens(text: str) -> str:
    """The words of a text in lower case, decomposed (NFD), with a space on either side of each.

    A word is a run of letters, numbers and marks; any other visible character is one, as in DPR's tokenizer.
    """
    decomposed = unicodedata.normalize("NFD", text).lower()
    words = []
    for kind, run in groupby(decomposed, lambda c: "w" if (k := unicodedata.category(c)[0]) in "LNM" else k):
        if kind == "w":
            words.append("".join(run))
        elif kind not in "ZC":
            words += list(run)
    return f" {' '.join(words)} "


def holds_any(text: str, answers: Sequence[str]) -> bool:
    """Whether a text holds one of the answers as whole words; both from `tokens`. An empty answer is in none."""
    return any(answer.strip() and answer in text for answer in answers)
