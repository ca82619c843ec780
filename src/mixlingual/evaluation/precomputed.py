"""Embeddings that another program made: `.npy` files with their ids, for the same table as any encoder's.

A benchmark B needs four files in a folder: B.queries.npy [Q, D], B.queries.txt with one id a line, and
B.candidates.npy [N, D], B.candidates.txt. Rows may stand in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixlingual.records import Benchmark, DataError


def read_embeddings(benchmark: Benchmark, folder: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """[Q, D] of the queries and [N, D] of the candidates, in the benchmark's order, as float32.

    The id of a query is LANGUAGE/QUESTION, as question ids are shared between languages; those of candidates are
    unique. Ids that the benchmark does not have are left out.

    Raises:
        DataError: a file is missing or malformed, an id is missing or comes twice.
    """
    query_ids = [f"{query.language}/{query.id}" for query in benchmark.queries]
    candidate_ids = [candidate.id for candidate in benchmark.candidates]
    return (
        _ordered(folder / f"{benchmark.name}.queries.npy", query_ids),
        _ordered(folder / f"{benchmark.name}.candidates.npy", candidate_ids),
    )


def _ordered(path: Path, wanted: Sequence[str]) -> NDArray[np.float32]:
    """The rows of a file for the ids wanted, in their order."""
    ids_path = path.with_suffix(".txt")
    try:
        embedding_ND = np.load(path, mmap_mode="r", allow_pickle=False)
        with ids_path.open(encoding="utf-8", newline="\n") as file:
            ids = [line.rstrip("\r\n") for line in file]
    except (OSError, ValueError) as error:
        raise DataError(f"{path} and {ids_path.name} are needed ({error}): an array and one id a line") from error
    if embedding_ND.ndim != 2 or embedding_ND.dtype.kind != "f" or len(ids) != len(embedding_ND):
        raise DataError(
            f"{path}: got {embedding_ND.dtype} of shape {list(embedding_ND.shape)} with {len(ids)} ids; expected a row "
            "of floating-point numbers for each id"
        )
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
    return np.asarray(embedding_ND[[row[identity] for identity in wanted]], dtype=np.float32)
