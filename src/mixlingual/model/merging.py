"""Merges two encoders of one architecture by interpolating between their weights, tensor by tensor.

linear, also known as model soup (Wortsman et al. 2022, arXiv 2203.05482):

    theta(l) = l first + (1 - l) second                                                                          (1)

spherical (Shoemake 1985, doi 10.1145/325165.325242), with w the angle between two tensors as vectors:

    theta(l) = sin(l w) / sin(w) first + sin((1 - l) w) / sin(w) second                                          (2)

Like mergekit (Goddard et al. 2024, arXiv 2403.13257), (2) takes each tensor by itself. Over the whole encoder as one
vector, the table of tokens, nine tenths of the weights of a small encoder and often frozen, would set the angle to
almost 0, and (2) would be (1). Unlike mergekit, (2) has no threshold below which it becomes (1): ends of one start lie
close together, so that such a threshold would decide nearly every tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.linalg import vector_norm

from mixlingual.records import MixlingualError

_NO_ANGLE = 1e-6
"""Sine of an angle below which two tensors point the same way, or opposite ways, and have no arc between them."""


def linear(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Returns (1), in float32, with `share` for l."""
    return share * first.float() + (1 - share) * second.float()


def spherical(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Returns (2), in float32; (1) where a tensor is 0, or both lie on one line."""
    angle = angle_between(first, second)
    if math.sin(angle) < _NO_ANGLE:
        return linear(first, second, share)
    own, other = (math.sin(part * angle) / math.sin(angle) for part in (share, 1 - share))
    return own * first.float() + other * second.float()


def angle_between(first: Tensor, second: Tensor) -> float:
    """Returns the angle in radians, 0 to pi; 0 where a tensor is 0.

    By 2 atan2(|u - v|, |u + v|) of the unit vectors (Kahan 2006, How futile are mindless assessments of roundoff,
    section 12), since the arc cosine of a product loses small angles to rounding.
    """
    lengths = [float(vector_norm(side.float(), dtype=torch.float64)) for side in (first, second)]
    if not min(lengths):
        return 0.0
    u, v = (side.float() / length for side, length in zip((first, second), lengths, strict=True))
    apart, along = (float(vector_norm(side, dtype=torch.float64)) for side in (u - v, u + v))
    return 2 * math.atan2(apart, along)


MERGES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {"linear": linear, "spherical": spherical}
"""Kind of merging -> what it does to two tensors."""


def merged_weights(
    first: Mapping[str, Tensor], second: Mapping[str, Tensor], share: float, kind: str
) -> dict[str, Tensor]:
    """Returns the weights of an encoder between two others.

    Args:
        first: weights by name, of which the result has `share`.
        second: the other weights, of which it has the rest.
        share: l, 0 to 1.
        kind: a key of `MERGES`.

    Returns:
        Floating-point tensors in float32. Others, as positions, are those of both.

    Raises:
        MixlingualError: the two have different tensors.
    """
    for name in sorted(first.keys() | second.keys()):
        shapes = [tuple(side[name].shape) if name in side else "absent" for side in (first, second)]
        if shapes[0] != shapes[1]:
            raise MixlingualError(f"the two encoders differ in {name}: {shapes[0]} and {shapes[1]}")
        if not first[name].is_floating_point() and not torch.equal(first[name], second[name]):
            raise MixlingualError(f"the two encoders differ in {name}, which is no weight and cannot be merged")
    return {
        name: MERGES[kind](own, second[name], share) if own.is_floating_point() else own for name, own in first.items()
    }
