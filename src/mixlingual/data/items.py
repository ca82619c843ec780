"""Training items in memory-mapped Arrow files: of any number, and none a Python object until it is asked for.

A pattern is what items have in common that batches ask for: their source, the languages of their query and those of
their passage. A corpus has few patterns, and keeps the number of each item's.
Shape suffixes: I items, P patterns, K blocks of `BLOCK` items.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
import pyarrow
import pyarrow.ipc
from numpy.typing import NDArray

from mixlingual.records import ParallelItem

BATCH = 1024
"""Items of a record batch, but for the last of a file."""
BLOCK = 1024
"""Items are counted by pattern in blocks of so many."""

HEADER = "header.json"
_CODES, _COUNTS = "patterns", "blocks.npy"
_TEXTS = pyarrow.map_(pyarrow.string(), pyarrow.string())
SCHEMA = pyarrow.schema(
    {"id": pyarrow.string(), "query": _TEXTS, "passage": _TEXTS, "negatives": pyarrow.list_(_TEXTS)}
)
"""Columns of a file of items; texts are a map of language -> text, in the order of the data."""


class Pattern(NamedTuple):
    """What items have in common: their source, and the languages of query and passage, sorted."""

    source: str
    query: tuple[str, ...]
    passage: tuple[str, ...]


def pattern_of(item: ParallelItem) -> Pattern:
    """Returns the pattern of an item."""
    return Pattern(item.source, tuple(sorted(item.query)), tuple(sorted(item.passage)))


@dataclass(frozen=True)
class Patterns:
    """Holds which pattern each item has, and how many items of a block have each."""

    names: tuple[Pattern, ...]
    code_I: NDArray[np.integer]
    """Number in `names` of each item's pattern; mapped where the items are."""
    count_PK: NDArray[np.uint16]
    """Items of a pattern in a block."""
    size_P: NDArray[np.int64]
    """Items of a pattern."""

    @classmethod
    def of(cls, items: Sequence[ParallelItem]) -> Patterns:
        """Returns the patterns of items, which `Items` keeps and others are asked for one by one."""
        if isinstance(items, Items):
            return items.patterns
        known: dict[Pattern, int] = {}
        code_I = np.array([known.setdefault(pattern_of(item), len(known)) for item in items], np.int32)
        return cls.counted(tuple(known), code_I)

    @classmethod
    def counted(cls, names: tuple[Pattern, ...], code_I: NDArray[np.integer]) -> Patterns:
        """Counts the items of each pattern."""
        count_PK = np.zeros((len(names), -(-len(code_I) // BLOCK)), np.uint16)
        for block in range(count_PK.shape[1]):
            codes = code_I[block * BLOCK : (block + 1) * BLOCK]
            count_PK[:, block] = np.bincount(codes, minlength=len(names))
        return cls(names, code_I, count_PK, count_PK.sum(axis=1, dtype=np.int64))

    def without(self, number_X: NDArray[np.int64]) -> Patterns:
        """Returns these patterns where the items with the given numbers have none of them."""
        code_I = np.array(self.code_I)
        code_I[number_X] = len(self.names)
        return self.counted((*self.names, Pattern("", (), ())), code_I)


class Members:
    """Holds the numbers of some items, ascending, without a list of them: those that have one of some patterns."""

    def __init__(self, patterns: Patterns, wanted: Sequence[int]) -> None:
        """Takes the patterns of all items, and numbers of those that are wanted."""
        self._code_I = patterns.code_I
        self._count_PK = patterns.count_PK
        self._wanted = list(wanted)
        self._is_wanted_P = np.isin(np.arange(len(patterns.names)), self._wanted)
        self._end_K: NDArray[np.int64] | None = None
        self._size = int(patterns.size_P[self._wanted].sum())

    def __len__(self) -> int:
        return self._size

    def at(self, place_B: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the item numbers at places among the members, of the same shape, [B]."""
        if self._size == len(self._code_I):
            return place_B
        if self._end_K is None:
            self._end_K = self._count_PK[self._wanted].sum(axis=0, dtype=np.int64).cumsum()
        block_B = np.searchsorted(self._end_K, place_B, side="right")
        inside_B = place_B - self._end_K[block_B - 1] * (block_B > 0)
        number_BN = np.minimum(block_B[:, None] * BLOCK + np.arange(BLOCK), len(self._code_I) - 1)
        rank_BN = self._is_wanted_P[self._code_I[number_BN]].cumsum(axis=1, dtype=np.int32)
        found: NDArray[np.int64] = block_B * BLOCK + (rank_BN > inside_B[:, None]).argmax(axis=1)
        return found


class Items(Sequence[ParallelItem]):
    """Items in a folder of Arrow files, which are mapped when the first of their items is asked for.

    Attributes:
        patterns: of all items.
        about: what else the folder's header says.
    """

    def __init__(self, folder: Path) -> None:
        """Takes a folder that `save` has written."""
        self._folder = folder
        self.about: dict[str, Any] = json.loads((folder / HEADER).read_text(encoding="utf-8"))
        names = tuple(
            Pattern(source, tuple(query), tuple(passage)) for source, query, passage in self.about["patterns"]
        )
        code_I, count_PK = np.memmap(folder / _CODES, np.int32, "r"), np.load(folder / _COUNTS, mmap_mode="r")
        self.patterns = Patterns(names, code_I, count_PK, np.array(self.about["pattern_sizes"], np.int64))
        self._end_F = np.cumsum([0, *self.about["sizes"]])
        self._open: dict[int, pyarrow.ipc.RecordBatchFileReader] = {}

    @staticmethod
    def save(folder: Path, files: Iterable[tuple[Sequence[Pattern], NDArray[np.int32]]], about: dict[str, Any]) -> None:
        """Completes a folder of Arrow files, which are called as `file_name` says.

        Args:
            folder: of the files.
            files: patterns of each file's items, and the number of each item's among them.
            about: what else the header says.
        """
        known: dict[Pattern, int] = {}
        sizes = []
        with (folder / _CODES).open("wb") as file:
            for names, code_I in files:
                number = np.array([known.setdefault(name, len(known)) for name in names], np.int32)
                number[code_I].tofile(file)
                sizes.append(len(code_I))
        code_I = np.memmap(folder / _CODES, np.int32, "r")
        patterns = Patterns.counted(tuple(known), code_I)
        np.save(folder / _COUNTS, patterns.count_PK)
        own = {"sizes": sizes, "patterns": patterns.names, "pattern_sizes": patterns.size_P.tolist()}
        (folder / HEADER).write_text(json.dumps(about | own), encoding="utf-8")

    @staticmethod
    def file_name(number: int) -> str:
        """Returns the name of a folder's file of items, counted from 0."""
        return f"{number:06}.arrow"

    def __len__(self) -> int:
        return int(self._end_F[-1])

    def __reduce__(self) -> tuple[type[Items], tuple[Path]]:
        return type(self), (self._folder,)

    @overload
    def __getitem__(self, number: int) -> ParallelItem: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[ParallelItem]: ...
    def __getitem__(self, number: int | slice) -> ParallelItem | Sequence[ParallelItem]:
        if isinstance(number, slice):
            start, stop, step = number.indices(len(self))
            if step == 1:
                return list(self._between(start, stop))
            return [self[each] for each in range(start, stop, step)]
        if not -len(self) <= number < len(self):
            raise IndexError(number)
        number %= len(self)
        return next(self._between(number, number + 1))

    def __iter__(self) -> Iterator[ParallelItem]:
        return self._between(0, len(self))

    def _between(self, start: int, stop: int) -> Iterator[ParallelItem]:
        while start < stop:
            file = int(np.searchsorted(self._end_F, start, side="right")) - 1
            batch, row = divmod(start - int(self._end_F[file]), BATCH)
            rows = self._batch(file, batch).slice(row, min(stop - start, BATCH - row))
            names = self.patterns.names
            sources = [names[code].source for code in self.patterns.code_I[start : start + len(rows)].tolist()]
            yield from items_in(rows.columns, sources)
            start += len(rows)

    def _batch(self, file: int, batch: int) -> pyarrow.RecordBatch:
        if file not in self._open:
            self._open[file] = pyarrow.ipc.open_file(pyarrow.memory_map(str(self._folder / self.file_name(file))))
        return self._open[file].get_batch(batch)


def has_negatives(items: Sequence[ParallelItem]) -> bool:
    """Whether any item has hard negatives."""
    return bool(items.about["negatives"]) if isinstance(items, Items) else any(item.negatives for item in items)


def record_batches(items: Iterable[ParallelItem]) -> Iterator[pyarrow.RecordBatch]:
    """Yields items as record batches of `SCHEMA`, `BATCH` of them in each."""
    remaining = iter(items)
    while held := list(itertools.islice(remaining, BATCH)):
        yield pyarrow.RecordBatch.from_arrays(columns_of(held), schema=SCHEMA)


def columns_of(items: Sequence[ParallelItem]) -> list[pyarrow.Array]:
    """Returns items as columns of `SCHEMA`, which leave out their sources."""
    negatives = [item.negatives for item in items]
    inner = _map([texts for of_item in negatives for texts in of_item])
    return [
        pyarrow.array([item.id for item in items], pyarrow.string()),
        _map([item.query for item in items]),
        _map([item.passage for item in items]),
        pyarrow.ListArray.from_arrays(_offsets(negatives), inner),
    ]


def items_in(columns: Sequence[pyarrow.Array], sources: Iterable[str]) -> Iterator[ParallelItem]:
    """Undoes `columns_of`, given the source of each item."""
    ids, query, passage, negatives = columns
    others = _parts(negatives, _dicts(_inside(negatives)))
    for key, source, asked, answers, of_item in zip(ids.to_pylist(), sources, _dicts(query), _dicts(passage), others):
        yield ParallelItem(key, source, asked, answers, tuple(of_item))


def _map(texts: Sequence[dict[str, str]]) -> pyarrow.MapArray:
    keys = [key for each in texts for key in each]
    values = [text for each in texts for text in each.values()]
    return pyarrow.MapArray.from_arrays(
        _offsets(texts), pyarrow.array(keys, pyarrow.string()), pyarrow.array(values, pyarrow.string())
    )


def _dicts(texts: pyarrow.MapArray) -> list[dict[str, str]]:
    """Undoes `_map`."""
    entries = _inside(texts)
    pairs = list(zip(entries.field(0).to_pylist(), entries.field(1).to_pylist()))
    return [dict(each) for each in _parts(texts, pairs)]


def _inside(column: pyarrow.Array) -> pyarrow.Array:
    """Returns the entries of a column of lists or maps, one after the other."""
    offsets = column.offsets
    return column.values.slice(offsets[0].as_py(), offsets[-1].as_py() - offsets[0].as_py())


def _parts(column: pyarrow.Array, entries: list[Any]) -> list[list[Any]]:
    """Returns the entries of each list in a column, given those of all."""
    offsets = column.offsets.to_pylist()
    return [entries[start - offsets[0] : stop - offsets[0]] for start, stop in itertools.pairwise(offsets)]


def _offsets(parts: Sequence[Any]) -> pyarrow.Array:
    return pyarrow.array(np.cumsum([0, *map(len, parts)]), pyarrow.int32())
