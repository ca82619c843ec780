"""Reads embeddings that another program made: `.npy` files with their ids, for the same table as any encoder's.

A benchmark B needs B.queries.npy [Q, D] in a folder and B.queries.txt with one id a line, in any order; the id of a
query is LANGUAGE/QUESTION. A parallel benchmark also needs B.candidates.npy [N, D] and B.candidates.txt, in any order;
a judged one B/LANGUAGE.npy and B/LANGUAGE.txt for each corpus, in the order of its files, since it may be large.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixlingual.data.lines import refuse_pointer, text_lines
from mixlingual.evaluation.encode import Embedded
from mixlingual.evaluation.shards import EmbedPassages
from mixlingual.records import Benchmark, Candidate, Corpus, DataError, JudgedBenchmark, JudgedTask, fingerprint

log = logging.getLogger(__name__)


def read_embeddings(benchmark: Benchmark, folder: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns [Q, D] of the queries and [N, D] of the candidates, in the benchmark's order, as float32.

    The id of a query is LANGUAGE/QUESTION, as question ids are shared between languages; those of candidates are
    unique. Ids that the benchmark does not have are left out, and a warning counts them.

    Raises:
        DataError: a file is missing or malformed, an id is missing or comes twice, or a number is not finite in fp32.
    """
    query_ids = [f"{query.language}/{query.id}" for query in benchmark.queries]
    candidate_ids = [candidate.id for candidate in benchmark.candidates]
    return (
        _ordered(folder / f"{benchmark.name}.queries.npy", query_ids),
        _ordered(folder / f"{benchmark.name}.candidates.npy", candidate_ids),
    )


def _ordered(path: Path, wanted: Sequence[str]) -> NDArray[np.float32]:
    """Returns the rows of a file for the ids wanted, in their order."""
    ids_path = path.with_suffix(".txt")
    embedding_ND, ids = _array(path), list(_ids(path))
    if len(ids) != len(embedding_ND):
        raise _unfit(path, embedding_ND, len(ids))
    row = {identity: n for n, identity in enumerate(ids)}
    if len(row) < len(ids):
        repeated = next(identity for n, identity in enumerate(ids) if row[identity] != n)
        raise DataError(f"{ids_path}: the id {repeated!r} comes twice; ids must be unique")
    missing = [identity for identity in wanted if identity not in row]
    if missing:
        raise DataError(
            f"{ids_path} lacks {len(missing)} of {len(wanted)} ids, the first is {missing[0]!r}; it holds {ids[:1]}. "
            "Add their embeddings, or restrict evaluation.languages"
        )
    if unknown := row.keys() - set(wanted):
        log.warning("%s has %d ids that the benchmark lacks, left out, as %r", ids_path, len(unknown), min(unknown))
    with np.errstate(over="ignore"):
        found_ND = np.asarray(embedding_ND[[row[identity] for identity in wanted]], dtype=np.float32)
    _check_finite(found_ND, wanted, path)
    return found_ND


class JudgedEmbeddings:
    """Is the `judged.Source` of a folder of embeddings; passages are read as a stream.

    Args:
        benchmark: what they belong to.
        folder: of the files.

    Raises:
        DataError: the queries are missing or malformed.
    """

    def __init__(self, benchmark: JudgedBenchmark, folder: Path) -> None:
        self._folder = folder
        ids = dict.fromkeys(identity for task in benchmark.tasks for identity in _query_ids(task))
        self._query_ND = _ordered(folder / f"{benchmark.name}.queries.npy", list(ids))
        self._row = {identity: row for row, identity in enumerate(ids)}
        self._paths = [folder / f"{name}.npy" for name in dict.fromkeys(task.corpus.name for task in benchmark.tasks)]

    def encoding(self) -> str:
        """Names the embeddings of passages by the names, sizes and times of their files."""
        stats = [(path.name, path.stat()) for path in self._paths if path.is_file()]
        return fingerprint(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats)

    def queries(self, task: JudgedTask) -> Embedded:
        """Returns [Q, D] of the queries of a task."""
        return Embedded(self._query_ND[[self._row[identity] for identity in _query_ids(task)]], None)

    def passages(self, corpus: Corpus) -> EmbedPassages:
        """Returns what finds the rows of passages that are asked for in the order of the corpus.

        Rows of other passages between them are passed over.

        Raises:
            DataError: a file is missing or malformed, or lacks a passage.
        """
        path = self._folder / f"{corpus.name}.npy"
        embedding_ND, width = _array(path), self._query_ND.shape[1]
        if embedding_ND.shape[1] != width:
            raise DataError(
                f"{path}: got embeddings of width {embedding_ND.shape[1]}; those of the queries have {width}"
            )
        lines = enumerate(_ids(path))

        def embed(passages: list[Candidate]) -> Embedded:
            rows = [next((row for row, identity in lines if identity == passage.id), -1) for passage in passages]
            if -1 in rows:
                raise DataError(
                    f"{path.with_suffix('.txt')} lacks the passage {passages[rows.index(-1)].id!r}, or has it before "
                    "others that precede it; write one row for each passage, in the order of the published files"
                )
            if rows[-1] >= len(embedding_ND):
                raise _unfit(path, embedding_ND, rows[-1] + 1)
            found_ND = np.asarray(embedding_ND[rows], np.float32)
            _check_finite(found_ND, [passage.id for passage in passages], path)
            return Embedded(found_ND, None)

        return embed


def _query_ids(task: JudgedTask) -> list[str]:
    return [f"{task.language}/{query.id}" for query in task.queries]


def _array(path: Path) -> NDArray[np.floating[Any]]:
    """Returns the mapped rows of a file."""
    refuse_pointer(path)
    try:
        embedding_ND = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise _needed(path, error) from error
    if embedding_ND.ndim != 2 or embedding_ND.shape[1] == 0 or embedding_ND.dtype.kind != "f":
        raise _unfit(path, embedding_ND, None)
    return np.asanyarray(embedding_ND)


def _ids(path: Path) -> Iterator[str]:
    """Returns the ids of the rows of a file, from the text file beside it."""
    return (identity for _, identity in text_lines(path.with_suffix(".txt")))


def _needed(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} and {path.stem}.txt are needed ({error}): an array and one id a line")


def _unfit(path: Path, embedding_ND: NDArray[Any], ids: int | None) -> DataError:
    count = "" if ids is None else f" with {ids} ids"
    return DataError(
        f"{path}: got {embedding_ND.dtype} of shape {list(embedding_ND.shape)}{count}; expected a row of "
        "floating-point numbers for each id"
    )


def _check_finite(embedding_ND: NDArray[np.float32], ids: Sequence[str], path: Path) -> None:
    bad = np.flatnonzero(~np.isfinite(embedding_ND).all(axis=1))
    if bad.size:
        raise DataError(f"{path}: {bad.size} embeddings hold NaN or infinity in fp32, first that of {ids[bad[0]]}")
