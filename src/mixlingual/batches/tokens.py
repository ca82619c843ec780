"""Keeps the token ids of a whole corpus: they are made once, cached, and memory-mapped by every run after.

The cache is a folder of plain arrays and a header that says what they are, in a folder named by the content of what it
was built from. Several processes tokenise a stretch of the items each, and what they have done outlives a kill. Then
the distinct sequences are numbered in the order of their first coming, in bounded memory.

Shape suffixes: I items, N hard negatives of all items, L languages, R rows (distinct token sequences), X any number of
rows, T tokens, S texts of a stretch, D distinct sequences of a stretch, A such sequences of all stretches.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mixlingual.data.items import Patterns
from mixlingual.files import built_once, cache_dir, check_sealed, seal, written_whole
from mixlingual.processes import spread, usable_cores
from mixlingual.records import DataError, ParallelCorpus, ParallelItem, fingerprint

_RECIPE = "tokens-2"
"""The recipe names the way tokens are found and stored; a change of either changes the name."""
_CHUNK = 8192
"""So many texts are tokenised together."""
_STRETCH = 1 << 14
"""So many items are tokenised by one task."""
_BUCKET = 1 << 22
"""So many sequences are compared with each other at a time, about."""
_HEADER = "header.json"

Side = Literal["query", "passage"]

_SIDES: dict[str, Side] = {"query": "query", "passage": "passage", "negative": "passage"}
"""Texts of an item -> how they are tokenised."""


class Tokens(Protocol):
    """States what is needed of a tokenizer."""

    @property
    def vocabulary(self) -> int:
        """Token ids are below this number."""

    def encode(self, texts: Sequence[str], side: Side) -> list[list[int]]:
        """Returns the token ids of each text, special tokens included, cut to the side's limit and not padded."""

    def identity(self) -> str:
        """Returns a hash of all that decides the ids."""


class TokenStore:
    """Holds the distinct token sequences of a corpus as numbered rows, and which of them each text is.

    Texts that come to the same ids share a row, on whichever side they stand. Copies, also in other
    processes, map the same files.

    Attributes:
        query_IL: row of each item's query in each of the corpus's languages, -1 where it has none.
        passage_IL: likewise of its passage.
        negative_NL: likewise of each hard negative, those of one item after those of the item before.
        negative_start: [I + 1], where the negatives of each item begin, and the end.
    """

    def __init__(self, folder: Path) -> None:
        """Takes a folder that `open` has built or checked."""
        self._folder = folder
        arrays = json.loads((folder / _HEADER).read_text(encoding="utf-8"))["arrays"]
        mapped = {name: _map(folder / name, described) for name, described in arrays.items()}
        self._token_T: NDArray[np.integer] = mapped["tokens"]
        self._offset_R1: NDArray[np.int64] = mapped["offsets"]
        self.query_IL: NDArray[np.int32] = mapped["query"]
        self.passage_IL: NDArray[np.int32] = mapped["passage"]
        self.negative_NL: NDArray[np.int32] = mapped["negative"]
        self.negative_start: NDArray[np.int64] = mapped["negative_start"]

    @classmethod
    def open(cls, corpus: ParallelCorpus, tokenizer: Tokens, processes: int | None = None) -> TokenStore:
        """Returns the tokens of a corpus, from the cache if they were made before.

        Args:
            corpus: its languages are the columns.
            tokenizer: can be sent to other processes, where the corpus is large.
            processes: so many tokenise. None: as many as there are cores.

        Raises:
            DataError: the disk is too small.
            OSError: the cache cannot be written.
        """
        patterns = Patterns.of(corpus.items)
        layout = json.dumps([patterns.names, patterns.size_P.tolist()])
        key = fingerprint((_RECIPE, corpus.fingerprint, tokenizer.identity(), *corpus.languages, layout))
        work = cache_dir() / "tokens" / f".{key}.parts"

        def write(folder: Path) -> None:
            work.mkdir(exist_ok=True)
            _write(folder, work, corpus, tokenizer, processes or usable_cores())
            seal(folder, key)
            shutil.rmtree(work)

        def read(folder: Path) -> TokenStore:
            check_sealed(folder, key)
            return cls(folder)

        return built_once(cache_dir() / "tokens" / key, write, read)

    def __reduce__(self) -> tuple[type[TokenStore], tuple[Path]]:
        return type(self), (self._folder,)

    def lengths(self, row_X: NDArray[np.integer]) -> NDArray[np.int64]:
        """Returns the number of tokens of each row, shape [X]."""
        length_X: NDArray[np.int64] = self._offset_R1[row_X + 1] - self._offset_R1[row_X]
        return length_X

    def tokens(self, row_X: NDArray[np.integer]) -> NDArray[np.int32]:
        """Returns the token ids of the rows, one after the other, shape [T]."""
        length_X = self.lengths(row_X)
        shift_X = self._offset_R1[row_X] - (np.cumsum(length_X) - length_X)
        place_T = np.repeat(shift_X, length_X) + np.arange(length_X.sum())
        token_T: NDArray[np.int32] = self._token_T[place_T].astype(np.int32)
        return token_T


def _map(path: Path, described: dict[str, Any]) -> NDArray[Any]:
    """Maps an array; an empty one, which cannot be mapped, comes as a plain array."""
    dtype, shape = described["dtype"], tuple(described["shape"])
    return np.asarray(np.memmap(path, dtype, "r", shape=shape)) if path.stat().st_size else np.empty(shape, dtype)


def _write(folder: Path, work: Path, corpus: ParallelCorpus, tokenizer: Tokens, processes: int) -> None:
    dtype = np.dtype(np.uint16 if tokenizer.vocabulary <= 1 << 16 else np.int32)
    starts = range(0, len(corpus.items), _STRETCH)
    _tokenise(work, corpus, tokenizer, dtype, starts, processes)
    paths = [_part(work, side, start) for side in _SIDES for start in starts]
    row_A, is_first_A, begin = _numbered(work, paths)
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {}
    rows, end = 1, 0
    with (folder / "tokens").open("wb") as tokens, (folder / "offsets").open("wb") as offsets:
        np.zeros(1, np.int64).tofile(offsets)
        for path, start, stop in zip(paths, begin, begin[1:]):
            length_D, is_first_D = _read(path, "lengths"), is_first_A[start:stop]
            _read(path, "tokens")[np.repeat(is_first_D, length_D)].tofile(tokens)
            end_R = end + np.cumsum(length_D[is_first_D])
            end_R.tofile(offsets)
            rows, end = rows + len(end_R), end + int(length_D[is_first_D].sum())
    shapes["tokens"], shapes["offsets"] = (dtype.name, (end,)), ("int64", (rows,))
    numbered = zip(paths, begin, begin[1:])
    for side in _SIDES:
        count = 0
        with (folder / side).open("wb") as file:
            for path, start, stop in itertools.islice(numbered, len(starts)):
                place_SL = _read(path, "places")
                np.append(row_A[start:stop], np.int32(-1))[place_SL].tofile(file)
                count += len(place_SL)
        shapes[side] = ("int32", (count, len(corpus.languages)))
    counts = [_read(_part(work, "negative", start), "counts") for start in starts]
    start_I1 = np.cumsum(np.concatenate([np.zeros(1, np.int64), *counts]))
    start_I1.tofile(folder / "negative_start")
    shapes["negative_start"] = ("int64", start_I1.shape)
    arrays = {name: {"dtype": kind, "shape": shape} for name, (kind, shape) in shapes.items()}
    (folder / _HEADER).write_text(json.dumps({"arrays": arrays}), encoding="utf-8")


def _part(work: Path, side: str, start: int) -> Path:
    return work / f"{start}-{side}.npz"


def _read(path: Path, name: str) -> NDArray[Any]:
    with np.load(path) as part:
        values: NDArray[Any] = part[name]
        return values


def _tokenise(
    work: Path, corpus: ParallelCorpus, tokenizer: Tokens, dtype: np.dtype[Any], starts: range, processes: int
) -> None:
    """Leaves a file of each stretch and side; refuses a disk that cannot hold all of them and what is made of them."""
    act = functools.partial(_encode, work, corpus.items, tuple(corpus.languages), tokenizer, dtype)
    written = 0
    with tqdm(total=len(corpus.items), desc="tokens", unit="item", disable=None) as progress:
        for done, (_, size) in enumerate(spread(act, starts, processes), start=1):
            progress.update(min(_STRETCH, len(corpus.items) - progress.n))
            written += size
            needed, free = written * (2 * len(starts) / done - 1), shutil.disk_usage(work).free
            if needed > free:
                raise DataError(
                    f"{corpus.name}: its tokens take about {needed / 1e9:,.1f} GB more in {work.parent}, where "
                    f"{free / 1e9:,.1f} are free; make room there, or set MIXLINGUAL_CACHE to another folder"
                )


def _encode(
    work: Path,
    items: Sequence[ParallelItem],
    languages: Sequence[str],
    tokenizer: Tokens,
    dtype: np.dtype[Any],
    start: int,
) -> int:
    """Tokenises the stretch that begins at an item, unless it was before; returns the bytes that this takes."""
    paths = [_part(work, side, start) for side in _SIDES]
    if not all(path.exists() for path in paths):
        held = items[start : start + _STRETCH]
        negatives = [texts for item in held for texts in item.negatives]
        texts_of = {"query": [i.query for i in held], "passage": [i.passage for i in held], "negative": negatives}
        counts = np.array([len(item.negatives) for item in held], np.int64)
        for side, path in zip(_SIDES, paths):
            with written_whole(path) as temporary:
                np.savez(
                    temporary, counts=counts, **_encoded(texts_of[side], _SIDES[side], languages, tokenizer, dtype)
                )
    return sum(path.stat().st_size for path in paths)


def _encoded(
    texts: Sequence[dict[str, str]], side: Side, languages: Sequence[str], tokenizer: Tokens, dtype: np.dtype[Any]
) -> dict[str, Any]:
    """Returns the distinct sequences of texts, one after the other, and which of them each text is, [S, L]."""
    wanted = [(i, j, each[code]) for i, each in enumerate(texts) for j, code in enumerate(languages) if code in each]
    place_SL = np.full((len(texts), len(languages)), -1, np.int32)
    number: dict[bytes, int] = {}
    for start in range(0, len(wanted), _CHUNK):
        chunk = wanted[start : start + _CHUNK]
        for (i, j, _), ids in zip(chunk, tokenizer.encode([text for _, _, text in chunk], side)):
            place_SL[i, j] = number.setdefault(np.array(ids, dtype).tobytes(), len(number))
    digests = b"".join(hashlib.blake2b(content, digest_size=16).digest() for content in number)
    return {
        "places": place_SL,
        "digests": np.frombuffer(digests, np.uint64).reshape(-1, 2),
        "lengths": np.array([len(content) // dtype.itemsize for content in number], np.int64),
        "tokens": np.frombuffer(b"".join(number), dtype),
    }


def _numbered(work: Path, paths: Sequence[Path]) -> tuple[NDArray[np.int32], NDArray[np.bool_], NDArray[np.int64]]:
    """Numbers sequences in the order of their first coming, equal ones alike.

    They are dealt into files by their digests, and each file is sorted on its own.

    Returns:
        row_A, the numbers; is_first_A, which come first; and where those of each path begin, and the end.
    """
    begin = np.cumsum([0, *(len(_read(path, "lengths")) for path in paths)])
    total = int(begin[-1])
    buckets = [work / f"bucket-{bucket}" for bucket in range(-(-total // _BUCKET))]
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(path.open("wb")) for path in buckets]
        for path, start in zip(paths, begin):
            digest_D2 = _read(path, "digests")
            entry_D3 = np.column_stack([digest_D2, np.arange(start, start + len(digest_D2)).astype(np.uint64)])
            bucket_D = digest_D2[:, 0] % np.uint64(max(1, len(files)))
            for bucket, file in enumerate(files):
                entry_D3[bucket_D == bucket].tofile(file)
    first_A = _scratch(work / "first", np.int64, total)
    for path in buckets:
        entry_X3 = np.fromfile(path, np.uint64).reshape(-1, 3)
        entry_X3 = entry_X3[np.lexsort(entry_X3.T[::-1])]
        is_new_X = np.append(True, (entry_X3[1:, :2] != entry_X3[:-1, :2]).any(axis=1))
        first_A[entry_X3[:, 2].astype(np.int64)] = entry_X3[is_new_X, 2][np.cumsum(is_new_X) - 1]
    is_first_A, row_A = _scratch(work / "is_first", np.bool_, total), _scratch(work / "row", np.int32, total)
    rows = 0
    for start, stop in itertools.pairwise([*range(0, total, _BUCKET), total]):
        is_first_A[start:stop] = first_A[start:stop] == np.arange(start, stop)
        row_A[start:stop] = rows + np.cumsum(is_first_A[start:stop]) - 1
        rows += int(np.count_nonzero(is_first_A[start:stop]))
        row_A[start:stop] = row_A[first_A[start:stop]]
    return row_A, is_first_A, begin


def _scratch(path: Path, dtype: Any, size: int) -> NDArray[Any]:
    """Returns an array that lies in a file, so that it need not stay in memory."""
    return np.memmap(path, dtype, "w+", shape=(size,)) if size else np.empty(0, dtype)
