"""A corpus encoded to a folder of memory-mapped fp16 shards, so that neither its size nor a kill matters.

A shard is two files, written whole: `00000.npy` [n, D] in fp16 and `00000.ids.npy` [n] ids as bytes. `encoding.json`
says whose embeddings they are, `complete.json` that none is missing. Shape suffixes: N passages, D width.
"""

from __future__ import annotations

import functools
import itertools
import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixlingual.files import written_whole
from mixlingual.records import Candidate, Corpus, DataError, MixlingualError

log = logging.getLogger(__name__)

SHARD_PASSAGES = 65_536
"""Passages of a shard: what a killed encode loses at most, 50 MB at width 384."""

_POLL_SECONDS = 1.0


class Shards:
    """The encoded passages of a corpus, in its order; position p is the p-th passage."""

    def __init__(self, folder: Path) -> None:
        self._paths = _files(folder)
        self._embeddings = [np.load(path, mmap_mode="r") for path in self._paths]
        self._ids = [np.load(path.with_suffix(".ids.npy"), mmap_mode="r") for path in self._paths]
        self._starts = np.cumsum([0, *(len(embedding_ND) for embedding_ND in self._embeddings)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @functools.cached_property
    def dimension(self) -> int:
        """Width of the embeddings."""
        return int(self._embeddings[0].shape[1])

    def blocks(self, rows: int) -> Iterator[tuple[int, NDArray[np.float16]]]:
        """(position of the first, [n, D] embeddings) of at most `rows` passages at a time; none spans two shards.

        Blocks are read rather than mapped: pages of a map stay in the process until memory is short, and would make
        it look as large as the corpus.
        """
        for start, path, mapped_ND in zip(self._starts, self._paths, self._embeddings):
            size, width = mapped_ND.shape
            for row in range(0, size, rows):
                count = min(rows, size - row)
                offset = mapped_ND.offset + row * width * mapped_ND.itemsize
                block = np.fromfile(path, mapped_ND.dtype, count * width, offset=offset)
                yield int(start) + row, block.reshape(count, width)

    def ids(self, position_N: NDArray[np.int64]) -> list[str]:
        """Ids of the passages at these positions."""
        shard_N = np.searchsorted(self._starts, position_N, side="right") - 1
        rows = position_N - self._starts[shard_N]
        return [self._ids[shard][row].decode() for shard, row in zip(shard_N.tolist(), rows.tolist())]


def encode_corpus(
    corpus: Corpus,
    embed: Callable[[list[str]], NDArray[np.float32]],
    folder: Path,
    encoding: str,
    *,
    part: int = 0,
    parts: int = 1,
    shard_passages: int = SHARD_PASSAGES,
) -> Shards | None:
    """Encode what is missing of a corpus; the first part waits for the others and opens it.

    Args:
        corpus: read as a stream; shards that exist are skipped without encoding.
        embed: texts to [N, D] embeddings.
        folder: of this corpus and encoder.
        encoding: names the encoder and its options; a folder of another one is refused.
        part: encode the shards whose number is `part` modulo `parts`.
        parts: processes that share the folder, on any number of machines.
        shard_passages: passages of a shard.

    Returns:
        The whole corpus; None in every part but the first, as soon as its own shards are written.

    Raises:
        MixlingualError: the folder belongs to another encoder, corpus or shard size.
        DataError: the corpus is empty, or repeats an id within a shard.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {"encoding": encoding, "corpus": corpus.fingerprint, "shard_passages": shard_passages}
    _claim(folder / "encoding.json", wanted)
    if not (folder / "complete.json").exists():
        passages = iter(corpus)
        count = 0
        for number in itertools.count():
            chunk = list(itertools.islice(passages, shard_passages))
            if not chunk:
                break
            count += 1
            path = folder / f"{number:05d}.npy"
            if number % parts == part and not path.exists():
                _write_shard(path, chunk, embed, corpus.name)
        if count == 0:
            raise DataError(f"{corpus.name} holds no passages; see whether its files are whole")
        if part == 0:
            _wait([folder / f"{number:05d}.npy" for number in range(count)])
            with written_whole(folder / "complete.json") as path:
                path.write_text(json.dumps({"shards": count}) + "\n")
    return Shards(folder) if part == 0 else None


def _claim(path: Path, wanted: dict[str, object]) -> None:
    """Note whose shards a folder holds, or refuse one that holds another's."""
    if not path.exists():
        with written_whole(path) as temporary:
            temporary.write_text(json.dumps(wanted, indent=1) + "\n")
    found = json.loads(path.read_text())
    if found != wanted:
        raise MixlingualError(
            f"{path.parent} holds the embeddings of {found}, not of {wanted}; give another folder, or delete it"
        )


def _write_shard(
    path: Path, chunk: list[Candidate], embed: Callable[[list[str]], NDArray[np.float32]], name: str
) -> None:
    """Ids first: where the embeddings are, the shard is whole."""
    ids = np.array([passage.id.encode() for passage in chunk])
    if len(np.unique(ids)) < len(ids):
        values, counts = np.unique(ids, return_counts=True)
        raise DataError(f"{name}: the passage id {values[counts > 1][0].decode()!r} occurs twice; ids must be unique")
    embedding_ND = embed([passage.text for passage in chunk]).astype(np.float16)
    for target, array in ((path.with_suffix(".ids.npy"), ids), (path, embedding_ND)):
        with written_whole(target) as temporary:
            np.save(temporary, array)
    log.info("%s: encoded %s, %d passages", name, path.stem, len(chunk))


def _wait(files: list[Path]) -> None:
    """Until the other processes have written these."""
    told = 0
    while missing := [path for path in files if not path.exists()]:
        if len(missing) != told:
            log.info("waiting for %d files of other processes, the first is %s", len(missing), missing[0])
            told = len(missing)
        time.sleep(_POLL_SECONDS)


def _files(folder: Path) -> list[Path]:
    count = json.loads((folder / "complete.json").read_text())["shards"]
    return [folder / f"{number:05d}.npy" for number in range(count)]
