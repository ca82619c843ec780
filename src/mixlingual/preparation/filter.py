"""Filter: which items and texts of the sources stay, and a line for each that does not, with its reason.

Texts are looked at shard by shard, items that come twice over all sources at once, in their order.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mixlingual.config.schema import FilterConfig
from mixlingual.preparation.shards import SIDES, Counts, Item, read_items, write_items
from mixlingual.preparation.words import is_language, needed, runs, words
from mixlingual.records import AnyBenchmark, Benchmark, Candidate, Query

PERMUTATIONS = 128
"""Length of a MinHash: estimates of Jaccard similarity scatter by .03 around .9."""

_BANDS = (16, 32, 64)
"""Numbers of bands: the first that finds nearly all pairs at the threshold is taken."""
_SHINGLE = 3

Overlaps = dict[str, str]
"""Run of words, or a whole shorter text -> the benchmark and text that it is from."""


@dataclass
class Removed:
    """Writes down what is left out and why."""

    counts: Counts
    lines: list[str] = field(default_factory=list)

    def add(self, item: Item, reason: str, **found: str) -> None:
        """Counts a reason, and keeps a line of JSON about the item."""
        self.counts[reason] += 1
        self.lines.append(json.dumps({"id": item.id, "reason": reason, **found}, ensure_ascii=False) + "\n")


def benchmark_runs(benchmarks: Iterable[AnyBenchmark], length: int) -> Overlaps:
    """Returns the runs of words of all texts of benchmarks: of judged ones of the queries alone, of others of all."""
    found: Overlaps = {}
    for benchmark in benchmarks:
        texts: list[Query | Candidate] = []
        if isinstance(benchmark, Benchmark):
            texts += [*benchmark.queries, *benchmark.candidates]
        else:
            texts += [query for task in benchmark.tasks for query in task.queries]
        for text in texts:
            for run in runs(words(text.text, text.language), length):
                found.setdefault(run, f"{benchmark.name} {text.language} {text.id}")
    return found


def check_shard(source: Path, target: Path, config: FilterConfig, overlaps: Overlaps) -> None:
    """Writes the items of a shard that stay, texts and items that do not as `removed`, and how many there are."""
    removed = Removed(Counter())

    def kept() -> Iterator[Item]:
        for item in read_items(source):
            removed.counts["items in"] += 1
            if _keep_texts(item, config, removed) and not _overlaps(item, config, overlaps, removed):
                yield item

    _write(target, kept(), removed)


def _write(target: Path, items: Iterable[Item], removed: Removed) -> None:
    write_items(target, items, removed.counts, lambda: removed_path(target).write_text("".join(removed.lines), "utf-8"))


def removed_path(shard: Path) -> Path:
    """Returns where the lines about what a shard lost are."""
    return shard.with_name(f"{shard.name}.removed")


def _keep_texts(item: Item, config: FilterConfig, removed: Removed) -> bool:
    """Takes unfit texts out of an item; whether a query and a passage are left."""
    for side in SIDES:
        low, high = config.query_characters if side == "query" else config.passage_characters
        texts = item.side(side)
        for language, text in list(texts.items()):
            reason = None
            if not low <= len(text) <= high:
                reason = f"{side} too short" if len(text) < low else f"{side} too long"
            elif config.identify and not is_language(text, language):
                reason = f"{side} in another language"
            if reason is not None:
                removed.add(item, reason, language=language, text=text[:200])
                del texts[language]
        if not texts:
            removed.add(item, f"no {side} left")
            return False
    return True


def _overlaps(item: Item, config: FilterConfig, overlaps: Overlaps, removed: Removed) -> bool:
    """Whether an item shares words with a benchmark."""
    if not overlaps:
        return False
    for side in SIDES:
        for language, text in item.side(side).items():
            for run in runs(words(text, language), config.overlap_words):
                if run and run in overlaps:
                    removed.add(item, "overlap with a benchmark", side=side, language=language, words=run,
                                benchmark=overlaps[run])  # fmt: skip
                    return True
    return False


def drop_copies(sources: Sequence[Path], targets: Sequence[Path], config: FilterConfig) -> None:
    """Writes the shards without items that come again; the first stays.

    Memory holds 16 bytes of each item and language for exact copies, and about 2 KB of each item for near ones.
    """
    exact: set[bytes] = set()
    near = _NearCopies(config.near) if config.near is not None else None
    for source, target in zip(sources, tqdm(targets, desc="copies", unit="shard", disable=None)):
        removed = Removed(Counter())

        def kept(source: Path = source, removed: Removed = removed) -> Iterator[Item]:
            items = list(read_items(source))
            removed.counts["items in"] += len(items)
            first = [item for item in items if not (config.exact and _is_copy(item, exact, removed))]
            yield from near.new(first, removed) if near is not None else first

        _write(target, kept(), removed)


def _is_copy(item: Item, seen: set[bytes], removed: Removed) -> bool:
    """Whether the query and the passage of an item, in some language, were seen together before."""
    keys = set()
    for language in item.query.keys() & item.passage.keys() or {""}:
        texts = [sorted(side.items()) for side in (item.query, item.passage)]
        both = [item.query[language], item.passage[language]] if language else [str(each) for each in texts]
        folded = "\0".join(" ".join(text.casefold().split()) for text in both)
        keys.add(hashlib.blake2b(f"{language}\0{folded}".encode(), digest_size=16).digest())
    copy = not keys.isdisjoint(seen)
    seen |= keys
    if copy:
        removed.add(item, "copy")
    return copy


class _NearCopies:
    """Finds items whose query and passage are both nearly those of an earlier one.

    They are compared in the first language that both sides of the item have, else in the first of each side.

    Candidates come from MinHash bands over the passage (Broder 1997); both sides are then compared by their signatures.
    """

    def __init__(self, threshold: float) -> None:
        self._rensa = needed("rensa")
        self._threshold = threshold
        bands = next((b for b in _BANDS if (1 / b) ** (b / PERMUTATIONS) + 0.14 <= threshold), _BANDS[-1])
        self._index = self._rensa.RMinHashLSH(threshold=threshold, num_perm=PERMUTATIONS, num_bands=bands)
        self._kept: list[tuple[str, tuple[str, str], Any, Any]] = []

    def new(self, items: Sequence[Item], removed: Removed) -> Iterator[Item]:
        """Yields the items that are no near copies of earlier ones."""
        shared = [item.query.keys() & item.passage.keys() for item in items]
        languages = [(min(codes or item.query), min(codes or item.passage)) for item, codes in zip(items, shared)]
        signed = [
            self._rensa.RMinHash.from_token_sets(
                [
                    list(runs(words(item.side(side)[codes[place]], codes[place]), _SHINGLE))
                    for item, codes in zip(items, languages)
                ],
                PERMUTATIONS,
                seed=1,
            )
            for place, side in enumerate(SIDES)
        ]
        for item, language, query, passage in zip(items, languages, *signed):
            for key in sorted(self._index.query(passage)):
                first, spoken, *others = self._kept[key]
                if spoken == language and all(
                    mine.jaccard(other) >= self._threshold for mine, other in zip((query, passage), others)
                ):
                    removed.add(item, "near copy", of=first)
                    break
            else:
                self._index.insert(len(self._kept), passage)
                self._kept.append((item.id, language, query, passage))
                yield item
