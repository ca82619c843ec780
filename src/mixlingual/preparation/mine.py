"""Mine: hard negatives, passages of other items that rank high for a query, by an encoder or by BM25.

A passage has a position: number of its shard and language, times the items of a shard, plus its row there. All that is
asked of a ranked passage, whose text and whose query it is, lies in arrays by position, so that no corpus is in memory.
Shape suffixes: Q queries, K passages of a list, N passages, D width of the embedding.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mixlingual.config.schema import EvaluationConfig, MineConfig
from mixlingual.evaluation.encode import Embed
from mixlingual.evaluation.inner_products import check_range, pair_scores
from mixlingual.evaluation.scorer import Encoding
from mixlingual.evaluation.search import search
from mixlingual.evaluation.shards import Shards, shard_path, write_shard
from mixlingual.files import read_object, written_whole
from mixlingual.preparation.shards import Item, read_items, share, step_folder, write_items
from mixlingual.preparation.words import needed, words
from mixlingual.records import Candidate
from mixlingual.runs.lease import write_json

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Ranked = Iterator[tuple[Ints, Floats, float]]
"""For each query: positions [K] and scores [K], best first, and the score of its own passage."""

ALL = ""
"""Stands for the passages of all languages, where others name one."""


class Ranker(Protocol):
    """Ranks the passages of a pool for queries."""

    def prepare(self) -> None:
        """Makes what must be there before the first query, together with all other processes."""
        ...

    def rank(self, texts: Sequence[str], language: str, pool: str, own_Q: Ints, k: int) -> Ranked:
        """Yields the k best of a pool, a language or `ALL`, for each query, whose own passage is at `own_Q`."""
        ...


class Passages:
    """Knows the passages of all shards by their positions.

    Args:
        sources: the shards.
        items: the most items of a shard.
        parent: names the step that made the shards.
    """

    def __init__(self, sources: Sequence[Path], items: int, parent: str) -> None:
        self.sources, self.items, self.parent = sources, items, parent
        self._folder = step_folder("keys", parent, items)

    def prepare(self) -> None:
        """Writes keys and languages of the shards that lack them."""
        share([self._folder / f"{path.name}.json" for path in self.sources], self._write_keys, "keys of passages")

    @cached_property
    def _counts(self) -> list[dict[str, int]]:
        """Language -> number of passages, of each shard."""
        return [read_object(self._folder / f"{path.name}.json")["passages"] for path in self.sources]

    @cached_property
    def languages(self) -> list[str]:
        """Returns the languages of passages, sorted."""
        return sorted({language for counts in self._counts for language in counts})

    def numbers(self, pool: str) -> list[int]:
        """Returns the numbers of the parts of a pool that hold passages, ascending."""
        return [
            shard * len(self.languages) + column
            for shard, counts in enumerate(self._counts)
            for column, language in enumerate(self.languages)
            if pool in (ALL, language) and language in counts
        ]

    def parts(self, shard: int) -> Iterator[tuple[int, str, list[Item]]]:
        """Yields (number, language, items with a passage in it) of a shard."""
        items = list(read_items(self.sources[shard]))
        for column, language in enumerate(self.languages):
            if having := [item for item in items if language in item.passage]:
                yield shard * len(self.languages) + column, language, having

    def keys(self, position_N: Ints) -> NDArray[np.uint64]:
        """Returns [N, 2] hashes of the text of each passage, and of its item's query in the same language."""
        key_N2 = np.zeros((len(position_N), 2), np.uint64)
        number_N, row_N = np.divmod(position_N, self.items)
        for number in np.unique(number_N).tolist():
            shard, column = divmod(number, len(self.languages))
            mapped = np.load(self._keys_path(self.sources[shard], self.languages[column]), mmap_mode="r")
            key_N2[number_N == number] = mapped[row_N[number_N == number]]
        return key_N2

    def texts(self, positions: set[int]) -> dict[int, tuple[str, str, str]]:
        """Returns (item's id, language, text) of passages, reading each shard once."""
        found = {}
        wanted: dict[int, dict[int, list[int]]] = {}
        for position in positions:
            number, row = divmod(position, self.items)
            wanted.setdefault(number // len(self.languages), {}).setdefault(number, []).append(row)
        for shard, rows in wanted.items():
            for number, language, items in self.parts(shard):
                for row in rows.get(number, ()):
                    found[number * self.items + row] = (items[row].id, language, items[row].passage[language])
        return found

    def _write_keys(self, target: Path) -> None:
        source = next(path for path in self.sources if f"{path.name}.json" == target.name)
        items = list(read_items(source))
        languages = sorted({language for item in items for language in item.passage})
        for language in languages:
            having = [item for item in items if language in item.passage]
            key_N2 = np.array(
                [[key(item.passage[language]), key(item.query.get(language))] for item in having], np.uint64
            )
            with written_whole(self._keys_path(source, language)) as path:
                np.save(path, key_N2)
        write_json(target, {"passages": {code: sum(code in item.passage for item in items) for code in languages}})

    def _keys_path(self, source: Path, language: str) -> Path:
        return self._folder / f"{source.name}.{language}.npy"


def key(text: str | None) -> int:
    """Returns a hash of a text without regard to case and white space; 0 for none."""
    if text is None:
        return 0
    folded = " ".join(text.casefold().split())
    return int.from_bytes(hashlib.blake2b(folded.encode(), digest_size=8).digest(), "little") or 1


class EncoderRanker:
    """Ranks by inner products of embeddings, exactly, in bounded memory."""

    def __init__(self, passages: Passages, encoding: Encoding, config: EvaluationConfig) -> None:
        self._passages, self._encoding, self._config = passages, encoding, config
        self._folder = step_folder("passages", passages.parent, passages.items, encoding.identity())

    def prepare(self) -> None:
        """Encodes the passages of the shards that lack it."""
        share([self._folder / f"{path.name}.json" for path in self._passages.sources], self._encode, "encode passages")

    def rank(self, texts: Sequence[str], language: str, pool: str, own_Q: Ints, k: int) -> Ranked:
        """Yields what `Ranker.rank` says."""
        embed: Embed = self._encoding.embed
        query_QD = embed(list(texts), "query", language).embedding_ND
        check_range("queries", query_QD)
        shards = Shards(self._folder, self._passages.numbers(pool), self._passages.items)
        whole = shards if pool == ALL else Shards(self._folder, self._passages.numbers(ALL), self._passages.items)
        row_Q = np.arange(len(texts))
        own_score_Q = pair_scores(query_QD, row_Q, whole.rows(own_Q), row_Q, 1024)
        hits = search(query_QD, shards, k, memory_mib=self._config.search_memory, device=self._encoding.device)
        yield from zip(hits.position_QK, hits.score_QK, own_score_Q.tolist())

    def _encode(self, target: Path) -> None:
        shard = next(n for n, path in enumerate(self._passages.sources) if f"{path.name}.json" == target.name)
        for number, language, items in self._passages.parts(shard):
            chunk = [Candidate(item.id, language, item.passage[language]) for item in items]
            if not shard_path(self._folder, number).exists():
                write_shard(
                    shard_path(self._folder, number),
                    chunk,
                    lambda part: self._encoding.embed([each.text for each in part], "passage", "mining"),
                    target.stem,
                )
        write_json(target, {})


class WordRanker:
    """Ranks by BM25 (Robertson et al. 1994), as the library bm25s scores it."""

    def __init__(self, passages: Passages, pools: Sequence[str]) -> None:
        self._passages, self._pools = passages, pools
        self._library = needed("bm25s")
        self._folder = step_folder("bm25", passages.parent, passages.items, self._library.__version__)
        self._open: tuple[str, Any, Ints] | None = None

    def prepare(self) -> None:
        """Indexes the pools that lack it; a pool's passages are in memory meanwhile."""
        pools = self._pools or self._passages.languages
        share([self._folder / f"{pool or 'all'}.json" for pool in pools], self._index, "index passages")

    def rank(self, texts: Sequence[str], language: str, pool: str, own_Q: Ints, k: int) -> Ranked:
        """Yields what `Ranker.rank` says; passages that share no word with the query rank nowhere."""
        if self._open is None or self._open[0] != pool:
            folder = self._folder / (pool or "all")
            index = self._library.BM25.load(str(folder), mmap=True)
            self._open = pool, index, np.load(folder / "positions.npy")
        _, index, position_N = self._open
        for text, own in zip(texts, own_Q.tolist()):
            tokens = [word for word in words(text, language) if word in index.vocab_dict]
            score_N = index.get_scores(tokens) if tokens else np.zeros(len(position_N), np.float32)
            worst = np.partition(score_N, -min(k, len(score_N)))[-min(k, len(score_N))]
            best = np.flatnonzero((score_N >= worst) & (score_N > 0))
            best = best[np.lexsort((best, -score_N[best]))][:k]
            place = int(np.searchsorted(position_N, own))
            is_in_pool = place < len(position_N) and position_N[place] == own
            yield position_N[best], score_N[best], float(score_N[place]) if is_in_pool else np.inf

    def _index(self, target: Path) -> None:
        pool = "" if target.stem == "all" else target.stem
        tokens, positions = [], []
        for shard in range(len(self._passages.sources)):
            for number, language, items in self._passages.parts(shard):
                if pool in (ALL, language):
                    tokens += [words(item.passage[language], language) for item in items]
                    positions += [number * self._passages.items + row for row in range(len(items))]
        index = self._library.BM25()
        index.index(tokens, show_progress=False)
        folder = target.with_suffix("")
        index.save(str(folder))
        np.save(folder / "positions.npy", np.array(positions, np.int64))
        write_json(target, {"passages": len(positions)})


class Miner:
    """Adds hard negatives to the items of shards."""

    def __init__(self, passages: Passages, ranker: Ranker, config: MineConfig) -> None:
        self._passages, self._ranker, self._config = passages, ranker, config

    def prepare(self) -> None:
        """Makes what all shards need."""
        self._passages.prepare()
        self._ranker.prepare()

    def mine_shard(self, source: Path, target: Path) -> None:
        """Writes the items of a shard with their negatives, those of the best ranks first."""
        items, counts = list(read_items(source)), Counter[str]()
        counts["items in"] += len(items)
        own = self._own_positions(source)
        found: list[dict[int, int]] = [{} for _ in items]
        for language in sorted({language for item in items for language in item.query}):
            self._mine_language(language, items, own, found)
        texts = self._passages.texts({position for chosen in found for position in chosen})
        for item, chosen in zip(items, found):
            negatives: dict[str, dict[str, str]] = {}
            for position in sorted(chosen, key=lambda place: (chosen[place], place)):
                other, language, text = texts[position]
                negatives.setdefault(other, {})[language] = text
                counts[f"negatives {language}"] += 1
            item.negatives += negatives.values()
            counts["items without a negative"] += not item.negatives
        write_items(target, items, counts)

    def _own_positions(self, source: Path) -> dict[tuple[str, str], int]:
        """Returns the position of the passage of each item and language of a shard."""
        shard = list(self._passages.sources).index(source)
        return {
            (item.id, language): number * self._passages.items + row
            for number, language, items in self._passages.parts(shard)
            for row, item in enumerate(items)
        }

    def _mine_language(
        self, language: str, items: Sequence[Item], own: dict[tuple[str, str], int], found: list[dict[int, int]]
    ) -> None:
        """Adds position -> rank of the negatives that queries of one language find."""
        same = self._config.pool == "same"
        asked = [n for n, item in enumerate(items) if language in item.query and (not same or language in item.passage)]
        if not asked:
            return
        answered = [language if language in items[n].passage else min(items[n].passage) for n in asked]
        own_Q = np.array([own[items[n].id, code] for n, code in zip(asked, answered)], np.int64)
        texts = [items[n].query[language] for n in asked]
        ranked = self._ranker.rank(texts, language, language if same else ALL, own_Q, self._config.last_rank)
        for n, (position_K, score_K, own_score) in zip(asked, ranked):
            rank_K = np.arange(1, len(position_K) + 1)
            fits_K = (rank_K >= self._config.first_rank) & ~self._answers(items[n], position_K)
            if self._config.margin is not None:
                fits_K &= score_K <= own_score - self._config.margin
            if self._config.relative_margin is not None:
                fits_K &= score_K <= own_score - self._config.relative_margin * abs(own_score)
            for place in np.flatnonzero(fits_K)[: self._config.negatives].tolist():
                position, rank = int(position_K[place]), int(rank_K[place])
                found[n][position] = min(rank, found[n].get(position, rank))

    def _answers(self, item: Item, position_K: Ints) -> NDArray[np.bool_]:
        """Tells which passages are of the item, have a text of it, or answer the same query elsewhere."""
        key_K2 = self._passages.keys(position_K)
        known = [*item.passage.values(), *(text for each in item.negatives for text in each.values())]
        is_known_K = np.isin(key_K2[:, 0], np.array([key(text) for text in known], np.uint64))
        return is_known_K | np.isin(key_K2[:, 1], np.array([key(text) for text in item.query.values()], np.uint64))
