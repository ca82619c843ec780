"""Holds the embeddings that a student learns: a teacher's, of every text that the pairs of a run draw.

Shape suffixes: X texts with a target, B pairs, D width of the embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mixlingual.batches.sampler import HybridBatchSampler
from mixlingual.records import ParallelCorpus

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

SIDES = ("query", "passage")
_PLACES = 1 << 16
"""A text is numbered (item * _PLACES + column of its language) * 2 + side, so languages are fewer."""


def text_numbers(item_B: Ints, column_B: Ints, side: str) -> Ints:
    """Returns a number for each text of a side: those of different texts of the corpus differ."""
    return (item_B * _PLACES + column_B) * len(SIDES) + SIDES.index(side)


def drawn_texts(sampler: HybridBatchSampler, languages: Sequence[str], steps: int) -> Ints:
    """Returns the numbers of all texts that the pairs of `steps` steps draw, ascending, each once."""
    columns = pair_columns(sampler, languages)
    batches = map(sampler.batch, range(steps))
    return np.unique(
        np.concatenate(
            [text_numbers(batch.item_B, columns[side][batch.pool_B], side) for batch in batches for side in SIDES]
        )
    )


def pair_columns(sampler: HybridBatchSampler, languages: Sequence[str]) -> dict[str, Ints]:
    """Returns for each side the column of its language, of every pool that the sampler draws from."""
    column = {language: number for number, language in enumerate(languages)}
    pools = sampler.plan.pools
    return {
        "query": np.array([column[pool.query_language] for pool in pools]),
        "passage": np.array([column[pool.passage_language] for pool in pools]),
    }


def texts_of(corpus: ParallelCorpus, number_X: Ints) -> tuple[list[str], NDArray[np.bool_]]:
    """Returns the texts with these numbers, and which of them are queries."""
    rest_X, side_X = np.divmod(number_X, len(SIDES))
    item_X, column_X = np.divmod(rest_X, _PLACES)
    texts = [
        getattr(corpus.items[item], SIDES[side])[corpus.languages[column]]
        for item, column, side in zip(item_X.tolist(), column_X.tolist(), side_X.tolist())
    ]
    return texts, side_X == SIDES.index("query")


class Targets:
    """Gives the teacher's embedding of a text by its number, from equally long parts that are mapped from disk."""

    def __init__(self, number_X: Ints, parts: Sequence[Floats]) -> None:
        """Takes the texts' numbers, ascending, and their embeddings in that order, cut into parts of one length.

        Args:
            number_X: as `drawn_texts` gives them.
            parts: float32 arrays [texts of the part, D]; all but the last are equally long.
        """
        self._number_X = number_X
        self._parts = parts

    def of(self, number_B: Ints) -> Floats:
        """Returns the embeddings [B, D] of texts with these numbers, all of which must be among those known."""
        place_B = np.searchsorted(self._number_X, number_B)
        assert (self._number_X[place_B] == number_B).all(), "a text without a target was drawn"
        size = len(self._parts[0])
        return np.stack([self._parts[place // size][place % size] for place in place_B.tolist()])
