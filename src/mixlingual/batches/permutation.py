"""Keyed permutations of [0, n): any position of a shuffled order without holding the order.

An additive Feistel network over Z_a x Z_b with a * b just above n. Each round adds a keyed hash of
one half to the other, which is a bijection for any hash; the few values that land at or above n are
sent through again (cycle walking) until they fall below it, which keeps it a bijection on [0, n)
(Black & Rogaway 2002, "Ciphers with Arbitrary Finite Domains").
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

ROUNDS = 8
_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def mix(value: int) -> int:
    """The splitmix64 finaliser (Steele, Lea & Flood 2014): a bijective hash of 64 bits."""
    value = (value + _GOLDEN) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def derive_key(*parts: int | str) -> int:
    """A 64-bit key that depends on every part and on their order."""
    key = 0
    for part in parts:
        words = [part & _MASK, part >> 64] if isinstance(part, int) else [ord(letter) for letter in part]
        for word in (len(words), *words):
            key = mix(key ^ mix(word & _MASK))
    return key


def uniforms(key: int, index: NDArray[np.int64]) -> NDArray[np.float64]:
    """Numbers in [0, 1), each of 53 random bits that follow from the key and its index alone; same shape."""
    bits = _hash(_hash(index.astype(np.uint64) + np.uint64(_GOLDEN)) ^ np.uint64(key))
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permute(position: NDArray[np.int64], size: int, key: int) -> NDArray[np.int64]:
    """Where the shuffle named by `key` puts each position.

    Args:
        position: any shape, values in [0, size).
        size: number of elements n, 1 to 2**62.
        key: 64-bit key; each key names a shuffle.

    Returns:
        Same shape, values in [0, size); a bijection of [0, size) for a given key.
    """
    rows = math.isqrt(size - 1) + 1
    columns = -(-size // rows)
    round_keys = [np.uint64(derive_key(key, r)) for r in range(ROUNDS)]
    result = _feistel(position, rows, columns, round_keys)
    outside = np.nonzero(result >= size)
    while outside[0].size:
        result[outside] = _feistel(result[outside], rows, columns, round_keys)
        outside = tuple(axis[result[outside] >= size] for axis in outside)
    return result


def _feistel(value: NDArray[np.int64], rows: int, columns: int, round_keys: list[np.uint64]) -> NDArray[np.int64]:
    left, right = np.divmod(value.astype(np.uint64), np.uint64(columns))
    for number, key in enumerate(round_keys):
        if number % 2:
            right = (right + _hash(left ^ key) % np.uint64(columns)) % np.uint64(columns)
        else:
            left = (left + _hash(right ^ key) % np.uint64(rows)) % np.uint64(rows)
    return (left * np.uint64(columns) + right).astype(np.int64)


def _hash(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
