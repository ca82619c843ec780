"""Permutes [0, n) by a key: any position of a shuffled order is known without holding the order.

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
_27, _30, _31, _32 = (np.uint64(shift) for shift in (27, 30, 31, 32))
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_STREAM = np.arange(1, ROUNDS + 1, dtype=np.uint64) * np.uint64(_GOLDEN)


def mix(value: int) -> int:
    """Hashes 64 bits one to one, by the finaliser of splitmix64 (Steele, Lea & Flood 2014)."""
    value = (value + _GOLDEN) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def derive_key(*parts: int | str) -> int:
    """Returns a 64-bit key that depends on every part and on their order."""
    key = 0
    for part in parts:
        words = [part & _MASK, part >> 64] if isinstance(part, int) else [ord(letter) for letter in part]
        for word in (len(words), *words):
            key = mix(key ^ mix(word & _MASK))
    return key


def uniforms(key: int, index: NDArray[np.int64]) -> NDArray[np.float64]:
    """Returns numbers in [0, 1), each of 53 random bits that follow from the key and its index alone; same shape."""
    bits = _hash(_hash(index.astype(np.uint64) + np.uint64(_GOLDEN)) ^ np.uint64(key))
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permute(position: NDArray[np.int64], size: int, key: int) -> NDArray[np.int64]:
    """Returns where the shuffle named by `key` puts each position.

    Args:
        position: any shape, values in [0, size).
        size: number of elements n, 1 to 2**62.
        key: 64-bit key; each key names a shuffle.

    Returns:
        Same shape, values in [0, size); a bijection of [0, size) for a given key.
    """
    root = math.isqrt(size - 1) + 1
    rows = min(range(root, root + min(root // 8 * 2, 16) + 1), key=lambda rows: -size % rows)
    columns = -(-size // rows)
    round_keys = list(_hash(np.uint64(key) + _STREAM))
    result = _feistel(position, rows, columns, round_keys)
    outside = np.nonzero(result >= size)
    while outside[0].size:
        result[outside] = _feistel(result[outside], rows, columns, round_keys)
        outside = tuple(axis[result[outside] >= size] for axis in outside)
    return result


def _feistel(value: NDArray[np.int64], rows: int, columns: int, round_keys: list[np.uint64]) -> NDArray[np.int64]:
    a, b = np.uint64(rows), np.uint64(columns)
    left, right = np.divmod(value.astype(np.uint64), b)
    for number, key in enumerate(round_keys):
        if number % 2:
            right = _add(right, _hash(left ^ key), b)
        else:
            left = _add(left, _hash(right ^ key), a)
    return (left * b + right).astype(np.int64)


def _add(value: NDArray[np.uint64], bits: NDArray[np.uint64], modulus: np.uint64) -> NDArray[np.uint64]:
    """Adds a number below the modulus that follows from `bits`, modulo it, without a division.

    The upper 32 bits are scaled to the modulus (Lemire 2019); of the total and the total less the
    modulus, the smaller is in range: a negative difference wraps around to nearly 2**64.
    """
    total = value + ((bits >> _32) * modulus >> _32)
    reduced: NDArray[np.uint64] = np.minimum(total, total - modulus)
    return reduced


def _hash(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    value = (value ^ (value >> _30)) * _FIRST
    value = (value ^ (value >> _27)) * _SECOND
    return value ^ (value >> _31)
