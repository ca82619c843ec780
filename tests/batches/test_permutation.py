"""Keyed permutations are bijections, differ by key, and shuffle evenly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from mixlingual.batches.permutation import derive_key, mix, permute, uniforms


@given(st.integers(1, 3000), st.integers(0, 2**64 - 1))
def test_every_value_comes_once(size, key):
    assert sorted(permute(np.arange(size), size, key)) == list(range(size))


@given(st.integers(10**6, 10**10), st.integers(0, 2**64 - 1))
def test_large_domains_stay_in_range_and_do_not_collide(size, key):
    values = permute(np.arange(size - 2000, size), size, key)
    assert values.min() >= 0
    assert values.max() < size
    assert len(set(values.tolist())) == 2000


def test_a_position_does_not_depend_on_the_others_asked_for():
    whole = permute(np.arange(1000), 1000, 7)
    assert [int(permute(np.array([i]), 1000, 7)[0]) for i in range(0, 1000, 37)] == whole[::37].tolist()


@pytest.mark.parametrize("size", [2, 5, 12, 97])
def test_each_place_is_equally_likely(size):
    places = np.array([permute(np.arange(size), size, derive_key("fair", key)) for key in range(4000)])
    for position in (0, size // 2, size - 1):
        assert chisquare(np.bincount(places[:, position], minlength=size)).pvalue > 1e-4


def test_neighbours_are_not_kept_together():
    shuffled = permute(np.arange(10_000), 10_000, 3)
    assert abs(np.corrcoef(np.arange(10_000), shuffled)[0, 1]) < 0.03
    assert np.sum(np.abs(np.diff(shuffled)) == 1) < 20


def test_keys_depend_on_every_part_and_on_their_order():
    keys = {derive_key(*parts) for parts in [(0,), (1,), (0, 0), (0, 1), (1, 0), ("0",), ("a", "b"), ("ab",), (2**70,)]}
    assert len(keys) == 9


def test_mix_is_the_published_splitmix64():
    """First outputs of the generator with seed 0: successive states are multiples of the golden gamma."""
    assert [mix(0), mix(0x9E3779B97F4A7C15)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]


def test_uniforms_fill_the_unit_interval_independently():
    values = uniforms(derive_key("u"), np.arange(8000))
    assert chisquare(np.histogram(values, bins=20, range=(0, 1))[0]).pvalue > 1e-4
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.04
    assert abs(np.corrcoef(values, uniforms(derive_key("v"), np.arange(8000)))[0, 1]) < 0.04
    assert uniforms(derive_key("u"), np.array([7]))[0] == values[7]
