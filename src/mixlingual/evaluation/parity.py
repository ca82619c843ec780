"""Counts how many tokens a language takes to say what English says: what a multilingual vocabulary costs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mixlingual.records import Benchmark

PIVOT = "en"
"""The language that the others are compared with."""


class CountsTokens(Protocol):
    """Describes a tokenizer, as far as it is needed here."""

    def counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without prefix and special tokens, and nothing cut."""
        ...


def token_parity(benchmark: Benchmark, tokenizer: CountsTokens) -> dict[str, float]:
    """Maps a language to its tokens for each token of English, over questions asked in both; empty without English.

    This is the parity of Petrov et al. 2023 (arXiv 2305.15425), the ratio of token counts of one content in two
    languages. Tokens per word (fertility) cannot be compared with languages that are written without spaces, as Chinese
    and Thai are.
    """
    counts = tokenizer.counts([query.text for query in benchmark.queries])
    tokens = {(query.language, query.id): count for query, count in zip(benchmark.queries, counts, strict=True)}
    parity = {}
    for language in benchmark.languages:
        shared = [query for own, query in tokens if own == language and (PIVOT, query) in tokens]
        pivot = sum(tokens[PIVOT, query] for query in shared)
        if pivot:
            parity[language] = sum(tokens[language, query] for query in shared) / pivot
    return parity
