"""Keeps the token ids of a whole corpus: they are made once, cached, and memory-mapped by every run after.

The cache is a folder of plain arrays and a header that says what they are, in a folder named by the
content of what it was built from.

Shape suffixes: I items, N hard negatives of all items, L languages, R rows (distinct token
sequences), X any number of rows, T tokens.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mixlingual.files import built_once, cache_dir
from mixlingual.records import ParallelCorpus, fingerprint

_RECIPE = "tokens-1"
"""The recipe names the way tokens are found and stored; a change of either changes the name."""
_CHUNK = 8192
"""So many texts are tokenised together."""
_HEADER = "header.json"

Side = Literal["query", "passage"]


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
    def open(cls, corpus: ParallelCorpus, tokenizer: Tokens) -> TokenStore:
        """Returns the tokens of a corpus, from the cache if they were made before; every byte of it is checked.

        Raises:
            OSError: the cache cannot be written.
        """
        key = fingerprint((_RECIPE, corpus.fingerprint, tokenizer.identity(), *corpus.languages, *_layout(corpus)))

        def write(folder: Path) -> None:
            _write(folder, key, corpus, tokenizer)

        def read(folder: Path) -> TokenStore:
            _check(folder, key)
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


def _layout(corpus: ParallelCorpus) -> Iterator[str]:
    """Says which texts each item has, in which languages."""
    for item in corpus.items:
        yield "/".join(" ".join(sorted(texts)) for texts in (item.query, item.passage, *item.negatives))


def _map(path: Path, described: dict[str, Any]) -> NDArray[Any]:
    """Maps an array; an empty one, which cannot be mapped, comes as a plain array."""
    dtype, shape = described["dtype"], tuple(described["shape"])
    return np.asarray(np.memmap(path, dtype, "r", shape=shape)) if path.stat().st_size else np.empty(shape, dtype)


def _check(folder: Path, key: str) -> None:
    """Raises ValueError where the folder was built for another key or is not as it was written."""
    header = json.loads((folder / _HEADER).read_text(encoding="utf-8"))
    if header["key"] != key:
        raise ValueError(f"it holds {header['key']}")
    for name, described in header["arrays"].items():
        if _digest(folder / name) != described["sha256"]:
            raise ValueError(f"the checksum of {name} is wrong")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(folder: Path, key: str, corpus: ParallelCorpus, tokenizer: Tokens) -> None:
    negatives = [item.negatives for item in corpus.items]
    sides: dict[str, tuple[Side, list[dict[str, str]]]] = {
        "query": ("query", [item.query for item in corpus.items]),
        "passage": ("passage", [item.passage for item in corpus.items]),
        "negative": ("passage", [texts for of_item in negatives for texts in of_item]),
    }
    arrays: dict[str, NDArray[Any]] = {"negative_start": np.cumsum([0, *map(len, negatives)])}
    with (folder / "tokens").open("wb") as file:
        rows = _Rows(file, np.uint16 if tokenizer.vocabulary <= 1 << 16 else np.int32)
        for name, (side, texts) in sides.items():
            arrays[name] = _encode(texts, side, corpus.languages, tokenizer, rows)
    arrays["offsets"] = np.array(rows.offsets)
    for name, values in arrays.items():
        values.tofile(folder / name)
    shapes = {name: (values.dtype.name, values.shape) for name, values in arrays.items()}
    shapes["tokens"] = (np.dtype(rows.dtype).name, (rows.offsets[-1],))
    described = {
        name: {"dtype": dtype, "shape": shape, "sha256": _digest(folder / name)}
        for name, (dtype, shape) in shapes.items()
    }
    (folder / _HEADER).write_text(json.dumps({"key": key, "arrays": described}), encoding="utf-8")


def _encode(
    texts: list[dict[str, str]], side: Side, languages: Sequence[str], tokenizer: Tokens, rows: _Rows
) -> NDArray[np.int32]:
    """Returns the rows of the texts, each in the given languages: [texts, L], -1 where there is none."""
    held = np.array([[language in text for language in languages] for text in texts], bool)
    row = np.full((len(texts), len(languages)), -1, np.int32)
    numbers, columns = np.nonzero(held.reshape(row.shape))
    with tqdm(total=len(numbers), desc=f"tokens of {side} texts", unit="text", disable=None) as progress:
        for start in range(0, len(numbers), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            wanted = [texts[i][languages[j]] for i, j in zip(numbers[chunk].tolist(), columns[chunk].tolist())]
            row[numbers[chunk], columns[chunk]] = [rows.add(ids) for ids in tokenizer.encode(wanted, side)]
            progress.update(len(wanted))
    return row


class _Rows:
    """Numbers distinct token sequences in the order of their first coming, and writes them to a file."""

    def __init__(self, file: BinaryIO, dtype: type[np.uint16 | np.int32]) -> None:
        self.dtype = dtype
        self.offsets = array("q", [0])
        self._file = file
        self._row: dict[bytes, int] = {}

    def add(self, ids: list[int]) -> int:
        """Returns the row of a token sequence."""
        content = np.array(ids, self.dtype).tobytes()
        row = self._row.setdefault(hashlib.blake2b(content, digest_size=16).digest(), len(self._row))
        if row == len(self.offsets) - 1:
            self._file.write(content)
            self.offsets.append(self.offsets[-1] + len(ids))
        return row
