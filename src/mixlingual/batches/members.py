"""Which items each pool holds: built once for a corpus, cached, and memory-mapped by every run after.

The cache is one flat int32 array of item numbers and an index of where each pool lies in it, in a
folder named by the content of what it was built from.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixlingual.files import built_once, cache_dir
from mixlingual.records import ParallelCorpus, fingerprint

_RECIPE = "pools-1"
"""Names the way members are found and stored; a change of either changes the name."""

Key = tuple[str, str, str]
"""Source, query language, passage language."""


def pool_members(corpus: ParallelCorpus, languages: Sequence[str]) -> dict[Key, NDArray[np.int32]]:
    """Item numbers of every source and ordered language pair: the items that have both sides.

    Returns:
        For each key a read-only, ascending, memory-mapped array, which may be empty.
    """
    sources = (item.source for item in corpus.items)
    name = fingerprint((_RECIPE, corpus.fingerprint, *languages, "sources", *sources))
    folder = cache_dir() / "pools" / name
    return built_once(folder, lambda written: _write(written, _build(corpus, languages)), _read)


def _read(folder: Path) -> dict[Key, NDArray[np.int32]]:
    flat = np.load(folder / "items.npy", mmap_mode="r")
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    if index and index[-1][-1] != len(flat):
        raise ValueError(f"{len(flat)} item numbers where the index has {index[-1][-1]}")
    return {(source, query, passage): flat[start:stop] for source, query, passage, start, stop in index}


def _build(corpus: ParallelCorpus, languages: Sequence[str]) -> dict[Key, NDArray[np.int32]]:
    query_LI = np.array([[language in item.query for item in corpus.items] for language in languages])
    passage_LI = np.array([[language in item.passage for item in corpus.items] for language in languages])
    source_I = np.array([item.source for item in corpus.items])
    return {
        (source, query, passage): np.flatnonzero((source_I == source) & query_LI[q] & passage_LI[p]).astype(np.int32)
        for source in corpus.source_weights
        for (q, query), (p, passage) in itertools.product(enumerate(languages), repeat=2)
    }


def _write(folder: Path, members: dict[Key, NDArray[np.int32]]) -> None:
    stops = np.cumsum([len(items) for items in members.values()]).tolist()
    index = [[*key, start, stop] for key, start, stop in zip(members, [0, *stops], stops)]
    np.save(folder / "items.npy", np.concatenate(list(members.values())))
    (folder / "index.json").write_text(json.dumps(index, ensure_ascii=False), encoding="utf-8")
