"""Reads data=atlas: multi-way parallel questions and passages in eleven languages, made from Unicode CLDR.

Every item asks for one relation of one subject ("currency/CH"). Held-out items are combinations of a
subject and a relation that training lacks, while it holds the subject and the relation themselves:
retrieving them takes generalisation. They form the benchmark `atlas`. `tools/cldr` made the items, which
lie in atlas.jsonl.gz in the form of `parallel`.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from mixlingual.data.sources.parallel import read_items
from mixlingual.records import Benchmark, Candidate, DataError, ParallelCorpus, ParallelItem, Query, fingerprint

LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
"""The languages of XQuAD, which every item has."""

HELD_OUT_SHARE = 0.12
"""Share of the items drawn for the benchmark; subjects that would lose every item keep one in training."""


def atlas_corpus(languages: list[str] | None) -> ParallelCorpus:
    """Returns the training split.

    Args:
        languages: language codes to keep; None: all eleven.

    Raises:
        DataError: naming the allowed languages, if one is unknown or none is given.
    """
    kept = _kept_languages(languages)
    items = tuple(_restricted(item, kept) for item in atlas_items() if item.id not in held_out())
    texts = (part for item in items for part in (item.id, *_texts(item, kept)))
    return ParallelCorpus("atlas", items, kept, {"atlas": 1.0}, fingerprint((*kept, *texts)))


def atlas_benchmark(languages: list[str] | None) -> Benchmark:
    """Returns the held-out split: each passage is the one gold candidate, in its language, of its question.

    Args:
        languages: language codes to keep; None: all eleven.

    Raises:
        DataError: naming the allowed languages, if one is unknown or none is given.
    """
    kept = _kept_languages(languages)
    items = [item for item in atlas_items() if item.id in held_out()]
    keys = [(item, language) for language in kept for item in items]
    queries = tuple(Query(item.id, language, item.query[language], _subject(item.id)) for item, language in keys)
    candidates = tuple(Candidate(f"{language}/{item.id}", language, item.passage[language]) for item, language in keys)
    gold = {(item.id, language): position for position, (item, language) in enumerate(keys)}
    texts = (part for item in items for part in (item.id, *_texts(item, kept)))
    complete = len(kept) == len(LANGUAGES)
    return Benchmark("atlas", kept, queries, candidates, gold, fingerprint((*kept, *texts)), complete)


@functools.cache
def atlas_items() -> tuple[ParallelItem, ...]:
    """Returns all items, in all languages."""
    return tuple(read_items({"atlas": [Path(__file__).with_name("atlas.jsonl.gz")]}))


@functools.cache
def held_out() -> frozenset[str]:
    """Returns the ids of the held-out items: a fixed pseudo-random draw that leaves each subject one training item."""
    by_subject: dict[str, list[str]] = {}
    for item in atlas_items():
        by_subject.setdefault(_subject(item.id), []).append(item.id)
    kept = {max(ids, key=_draw) for ids in by_subject.values()}
    return frozenset(item.id for item in atlas_items() if _draw(item.id) < HELD_OUT_SHARE and item.id not in kept)


def _draw(item: str) -> float:
    """Returns a number in [0, 1) that depends on the id alone."""
    return int.from_bytes(hashlib.sha256(item.encode()).digest()[:6], "little") / 2**48


def _kept_languages(languages: list[str] | None) -> tuple[str, ...]:
    unknown = sorted(set(languages or ()) - set(LANGUAGES))
    if unknown or languages == []:
        got = ", ".join(unknown) or "an empty list"
        raise DataError(
            f"the atlas has no language {got}; allowed: {', '.join(LANGUAGES)}. "
            "Change the list of languages, or set it to null for all."
        )
    return tuple(language for language in LANGUAGES if languages is None or language in languages)


def _restricted(item: ParallelItem, languages: tuple[str, ...]) -> ParallelItem:
    query, passage = ({code: side[code] for code in languages} for side in (item.query, item.passage))
    return ParallelItem(item.id, item.source, query, passage)


def _texts(item: ParallelItem, languages: tuple[str, ...]) -> list[str]:
    return [text for language in languages for text in (item.query[language], item.passage[language])]


def _subject(item: str) -> str:
    """Returns the territory, time zone or language that an item id such as currency/CH is about."""
    return item.partition("/")[2]
