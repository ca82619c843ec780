"""Interpolating between the weights of two encoders."""

import math

import numpy as np
import pytest
import torch

from mixlingual.model.merging import MERGES, angle_between, merged_weights
from mixlingual.records import MixlingualError

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def pair(shape, apart, seed=0):
    rng = np.random.default_rng(seed)
    first = rng.normal(size=shape)
    return first, first + apart * rng.normal(size=shape)


def slerp(first, second, share):
    """Shoemake's formula as it stands, by the arc cosine in double precision."""
    cosine = (first * second).sum() / np.linalg.norm(first) / np.linalg.norm(second)
    w = np.arccos(cosine)
    return (np.sin(share * w) * first + np.sin((1 - share) * w) * second) / np.sin(w)


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("apart", [0.003, 0.1, 1.0, 30.0])
def test_both_kinds_follow_their_formulas(share, apart):
    first, second = pair((7, 5, 3), apart)
    made = {
        kind: merge(torch.tensor(first, dtype=torch.float32), torch.tensor(second, dtype=torch.float32), share)
        for kind, merge in MERGES.items()
    }
    assert np.allclose(made["linear"], share * first + (1 - share) * second, rtol=1e-5, atol=1e-5)
    assert np.allclose(made["spherical"], slerp(first, second, share), rtol=1e-4, atol=1e-5 * max(1, apart))


@pytest.mark.parametrize("angle", [0.0, 1e-5, 1e-3, 0.5, math.pi / 2, 3.0, math.pi])
def test_an_angle_is_found_however_small_and_whatever_the_lengths(angle):
    first = torch.tensor([3.0, 0.0])
    second = 0.02 * torch.tensor([math.cos(angle), math.sin(angle)])
    assert angle_between(first, second) == pytest.approx(angle, rel=1e-3, abs=1e-7)


def test_a_sphere_is_not_left_where_a_line_cuts_through_it():
    first, second = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    halves = {kind: float(torch.linalg.vector_norm(merge(first, second, 0.5))) for kind, merge in MERGES.items()}
    assert halves == pytest.approx({"linear": math.sqrt(0.5), "spherical": 1.0})


@pytest.mark.parametrize("second", [[0.0, 0.0], [2.0, 2.0], [-1.0, -1.0]])
def test_where_there_is_no_arc_the_line_is_taken(second):
    first = torch.tensor([1.0, 1.0])
    made = MERGES["spherical"](first, torch.tensor(second), 0.25)
    assert torch.equal(made, MERGES["linear"](first, torch.tensor(second), 0.25))


@pytest.mark.parametrize("kind", MERGES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_tensors_are_merged_one_by_one_in_float32_and_places_stay(kind, dtype):
    torch.manual_seed(0)
    first, second = (
        {"a": torch.randn(4, 3).to(dtype), "b": torch.randn(5).to(dtype), "ids": torch.arange(3)} for _ in "12"
    )
    made = merged_weights(first, second, 0.25, kind)
    assert torch.equal(made["ids"], first["ids"])
    for name in "ab":
        assert made[name].dtype == torch.float32
        assert torch.equal(made[name], MERGES[kind](first[name].float(), second[name].float(), 0.25))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"a": torch.ones(2)}, r"differ in a: \(3,\) and \(2,\)"),
        ({"c": torch.ones(2)}, r"differ in c: absent and \(2,\)"),
        ({"ids": torch.tensor([1, 0])}, "differ in ids, which is no weight"),
    ],
)
def test_encoders_of_different_make_are_refused(change, said):
    first = {"a": torch.ones(3), "ids": torch.tensor([0, 1])}
    with pytest.raises(MixlingualError, match=said):
        merged_weights(first, first | change, 0.5, "linear")
