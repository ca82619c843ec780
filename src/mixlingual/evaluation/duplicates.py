"""Finds whether an id comes twice in a corpus of any size, exactly and in bounded memory.

Ids are compared by hashes of 64 bits, a range of them at a time; only ids of equal hashes are looked at themselves.
Shape suffixes: N ids.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_RANGE_IDS = 1 << 24
"""Ids of a pass, about: 16 bytes of each are held."""


def repeated_id(ids: Sequence[NDArray[np.bytes_]], range_ids: int = _RANGE_IDS) -> str | None:
    """Returns an id that comes twice, None if all are distinct.

    Args:
        ids: [N] arrays, mapped ones for a large corpus; their widths may differ.
        range_ids: about as many ids are held at a time.
    """
    ranges = max(1, -(-sum(len(id_N) for id_N in ids) // range_ids))
    step = -(-(1 << 64) // ranges)
    for first in range(0, 1 << 64, step):
        hashes, places = [], []
        for number, id_N in enumerate(ids):
            hash_N = _hashes(id_N)
            row_N = np.flatnonzero((hash_N >= np.uint64(first)) & (hash_N <= np.uint64(min(first + step, 1 << 64) - 1)))
            hashes.append(hash_N[row_N])
            places.append(row_N + (number << 32))
        found = _repeated(ids, np.concatenate(hashes), np.concatenate(places))
        if found is not None:
            return found
    return None


def _repeated(ids: Sequence[NDArray[np.bytes_]], hash_N: NDArray[np.uint64], place_N: NDArray[np.int64]) -> str | None:
    order_N = np.argsort(hash_N, kind="stable")
    hash_N, place_N = hash_N[order_N], place_N[order_N]
    equal = np.flatnonzero(hash_N[1:] == hash_N[:-1])
    seen: set[tuple[int, bytes]] = set()
    for n in sorted({*equal.tolist(), *(equal + 1).tolist()}):
        number, row = divmod(int(place_N[n]), 1 << 32)
        key = int(hash_N[n]), bytes(ids[number][row])
        if key in seen:
            return key[1].decode()
        seen.add(key)
    return None


def _hashes(id_N: NDArray[np.bytes_]) -> NDArray[np.uint64]:
    """Returns [N] sums of the bytes times odd random numbers, modulo 2^64: zeros that fill up a row change nothing."""
    width = id_N.dtype.itemsize
    factor_W = np.random.default_rng(0).integers(0, 1 << 63, width, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    byte_NW = np.ascontiguousarray(id_N).view(np.uint8).reshape(len(id_N), width)
    return np.asarray(byte_NW.astype(np.uint64) @ factor_W)
