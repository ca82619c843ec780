"""Encodes a corpus to a folder of memory-mapped fp16 shards, so that neither its size nor a kill matters.

A shard is three files, written whole: `00000.ids.npy` [n] ids as bytes, `00000.json` with how many passages were cut,
and last `00000.npy` [n, D] in fp16. `encoding.json` says whose embeddings they are, `complete.json` how many shards
there are, none missing. Shape suffixes: N passages, D width.
"""

from __future__ import annotations

import copy
import itertools
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixlingual.evaluation.duplicates import repeated_id
from mixlingual.evaluation.encode import Embedded
from mixlingual.evaluation.inner_products import stored
from mixlingual.files import written_whole
from mixlingual.records import Candidate, Corpus, DataError, MixlingualError

log = logging.getLogger(__name__)

SHARD_PASSAGES = 65_536
"""Passages of a shard: what a killed encode loses at most, 50 MB at width 384."""

WAIT_MINUTES = 180.0
"""How long processes wait for each other's next file."""

_LAYOUT = 2
"""Version of the files of a folder."""

_POLL_SECONDS = 1.0

EmbedPassages = Callable[[list[Candidate]], Embedded]
Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class Shards:
    """Holds encoded passages of a corpus, all or those of some shards; position p is the corpus's p-th passage.

    Args:
        folder: of the corpus.
        numbers: of the shards, ascending.
        shard_passages: passages of every shard but the corpus's last.
    """

    def __init__(self, folder: Path, numbers: Sequence[int], shard_passages: int) -> None:
        self._paths = [shard_path(folder, number) for number in numbers]
        self._embeddings = [np.load(path, mmap_mode="r") for path in self._paths]
        self._ids = [np.load(path.with_suffix(".ids.npy"), mmap_mode="r") for path in self._paths]
        self._starts = np.array(numbers, np.int64) * shard_passages
        self._change: Change | None = None

    def __len__(self) -> int:
        return sum(len(embedding_ND) for embedding_ND in self._embeddings)

    @property
    def number(self) -> int:
        """Returns how many shards these are."""
        return len(self._paths)

    @property
    def dimension(self) -> int:
        """Returns the width of the embeddings."""
        return int(self._embeddings[0].shape[1])

    def changed(self, change: Change | None) -> Shards:
        """Returns the same passages with a function of their embeddings in place of these; None changes nothing."""
        shards = copy.copy(self)
        shards._change = change
        return shards

    def blocks(self, rows: int) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yields (position of the first, embeddings [n, D]) of at most `rows` passages; no block spans two shards.

        In fp16 as stored, in fp32 where they are changed. Blocks are read rather than mapped: pages of a map stay in
        the process until memory is short, and would make it look as large as the corpus.
        """
        for start, path, mapped_ND in zip(self._starts.tolist(), self._paths, self._embeddings):
            size, width = mapped_ND.shape
            for row in range(0, size, rows):
                count = min(rows, size - row)
                offset = mapped_ND.offset + row * width * mapped_ND.itemsize
                block = np.fromfile(path, mapped_ND.dtype, count * width, offset=offset).reshape(count, width)
                yield start + row, block if self._change is None else self._change(block.astype(np.float32))

    def rows(self, position_N: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
        """Returns [N, D] embeddings of the passages at these positions: as `blocks` gives them."""
        shard_N = np.searchsorted(self._starts, position_N, side="right") - 1
        row_ND = np.empty((len(position_N), self.dimension), self._embeddings[0].dtype)
        for shard in np.unique(shard_N):
            here = shard_N == shard
            row_ND[here] = self._embeddings[shard][position_N[here] - self._starts[shard]]
        return row_ND if self._change is None else self._change(row_ND.astype(np.float32))

    def ids(self, position_N: NDArray[np.int64]) -> list[str]:
        """Returns the ids of the passages at these positions."""
        shard_N = np.searchsorted(self._starts, position_N, side="right") - 1
        rows = position_N - self._starts[shard_N]
        return [self._ids[shard][row].decode() for shard, row in zip(shard_N.tolist(), rows.tolist())]

    def cut(self) -> int | None:
        """Returns how many passages a length limit cut; None where nobody knows."""
        counts = [json.loads(path.with_suffix(".json").read_text())["cut"] for path in self._paths]
        return None if None in counts else sum(counts)

    def repeated_id(self) -> str | None:
        """Returns an id that two passages share, if there is one."""
        return repeated_id(self._ids)


def shard_path(folder: Path, number: int) -> Path:
    """Returns the embeddings of a shard."""
    return folder / f"{number:05d}.npy"


def open_shards(folder: Path) -> Shards:
    """Returns the whole corpus of a folder in which no shard is missing."""
    return Shards(
        folder, range(_complete(folder)), json.loads((folder / "encoding.json").read_text())["shard_passages"]
    )


def encode_corpus(
    corpus: Corpus,
    embed: EmbedPassages,
    folder: Path,
    encoding: str,
    *,
    part: int = 0,
    parts: int = 1,
    wait_minutes: float = WAIT_MINUTES,
    shard_passages: int = SHARD_PASSAGES,
) -> Shards:
    """Encodes what is missing of a part of a corpus; the first part waits until no shard is missing.

    Args:
        corpus: read as a stream; shards that exist are skipped without encoding.
        embed: passages to embeddings.
        folder: of this corpus and encoder.
        encoding: names the encoder and its options; a folder of another one is refused.
        part: encode the shards whose number is `part` modulo `parts`.
        parts: processes that share the folder, on any number of machines.
        wait_minutes: how long the first waits while no file of the others appears.
        shard_passages: passages of a shard.

    Returns:
        The shards of this part; those of the others may still be missing, but for the first part.

    Raises:
        MixlingualError: the folder belongs to another encoder, corpus or shard size, cannot hold the corpus, or shards
            of other processes did not come.
        DataError: the corpus is empty or repeats an id.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {
        "encoding": encoding, "corpus": corpus.fingerprint, "shard_passages": shard_passages, "layout": _LAYOUT
    }  # fmt: skip
    _claim(folder / "encoding.json", wanted)
    count = _complete(folder) if (folder / "complete.json").exists() else 0
    if not count:
        count = _encode_part(corpus, embed, folder, range(part, 1 << 62, parts), shard_passages)
        if part == 0:
            names = {shard_path(folder, n): f"shard {n} of process {n % parts}" for n in range(count)}
            wait_for(names, wait_minutes)
            _complete_folder(Shards(folder, range(count), shard_passages), folder, corpus.name, count)
    return Shards(folder, range(part, count, parts), shard_passages)


def _encode_part(corpus: Corpus, embed: EmbedPassages, folder: Path, own: range, shard_passages: int) -> int:
    """Writes the shards of these numbers that are missing, and returns the number of all shards."""
    passages = iter(corpus)
    for number in itertools.count():
        chunk = list(itertools.islice(passages, shard_passages))
        if not chunk:
            break
        path = shard_path(folder, number)
        if number in own and not path.exists():
            write_shard(path, chunk, embed, corpus.name)
        if number == own.start == 0 and len(chunk) == shard_passages:
            _check_space(folder, corpus, shard_passages)
    if number == 0:
        raise DataError(f"{corpus.name} holds no passages; see whether its files are whole")
    return number


def _complete_folder(shards: Shards, folder: Path, name: str, count: int) -> None:
    repeated = shards.repeated_id()
    if repeated is not None:
        raise _repeats(name, repeated)
    with written_whole(folder / "complete.json") as path:
        path.write_text(json.dumps({"shards": count}) + "\n")


def _complete(folder: Path) -> int:
    return int(json.loads((folder / "complete.json").read_text())["shards"])


def _check_space(folder: Path, corpus: Corpus, shard_passages: int) -> None:
    """Refuses a corpus that the disk cannot hold, by its number of passages and the size of its first shard."""
    size = sum(path.stat().st_size for path in folder.glob(f"{shard_path(folder, 0).stem}.*"))
    missing = sum(1 for _ in corpus) / shard_passages - len(list(folder.glob("*[0-9].npy")))
    needed, free = max(0, round(missing * size)), shutil.disk_usage(folder).free
    log.info("%s: %d bytes to come in %s, %d are free", corpus.name, needed, folder, free)
    if needed > free:
        raise MixlingualError(
            f"{corpus.name}: its embeddings need {needed:,} more bytes in {folder}, where {free:,} are free; set "
            "evaluation.embeddings to a folder with room, or restrict evaluation.languages"
        )


def _claim(path: Path, wanted: dict[str, object]) -> None:
    """Notes whose shards a folder holds, or refuses one that holds another's."""
    if not path.exists():
        with written_whole(path) as temporary:
            temporary.write_text(json.dumps(wanted, indent=1) + "\n")
    found = json.loads(path.read_text())
    if found != wanted:
        raise MixlingualError(
            f"{path.parent} holds the embeddings of {found}, not of {wanted}; give another folder, or delete it"
        )


def write_shard(path: Path, chunk: list[Candidate], embed: EmbedPassages, name: str) -> None:
    """Writes a shard, its embeddings last: where they are, it is whole."""
    ids = np.array([passage.id.encode() for passage in chunk])
    repeated = repeated_id([ids])
    if repeated is not None:
        raise _repeats(name, repeated)
    embedded = embed(chunk)
    embedding_ND = stored(name, embedded.embedding_ND)
    with written_whole(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps({"cut": embedded.cut}) + "\n")
    for target, array in ((path.with_suffix(".ids.npy"), ids), (path, embedding_ND)):
        with written_whole(target) as temporary:
            np.save(temporary, array)
    log.info("%s: encoded %s, %d passages", name, path.stem, len(chunk))


def _repeats(name: str, repeated: str) -> DataError:
    return DataError(f"{name}: the passage id {repeated!r} occurs twice; ids must be unique")


def wait_for(files: Mapping[Path, str], minutes: float) -> None:
    """Waits until other processes have written these files; each comes with what it is.

    Raises:
        MixlingualError: none of the missing ones appeared for so many minutes.
    """
    told, since = 0, time.monotonic()
    while missing := [path for path in files if not path.exists()]:
        if len(missing) != told:
            log.info("waiting for %d files of other processes, the first is %s", len(missing), missing[0])
            told, since = len(missing), time.monotonic()
        elif time.monotonic() - since > 60 * minutes:
            raise MixlingualError(
                f"waited {minutes:g} minutes for {files[missing[0]]} ({missing[0]}), one of {len(missing)} files that "
                "are missing, and none came. See in its log whether that process failed; started again, all go on "
                "where they stopped. Raise evaluation.wait_minutes if it is only slow"
            )
        time.sleep(_POLL_SECONDS)
