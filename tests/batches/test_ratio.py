"""Schedules of the ratio have the right ends, means and integrals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlingual.batches.ratio import RatioSchedule

SHAPES = ("constant", "linear", "cosine", "steps")
ratios = st.floats(0, 1)


@given(ratios, ratios, st.sampled_from(SHAPES), st.integers(1, 300), st.integers(2, 6))
def test_the_mean_is_that_of_the_steps(first, last, shape, steps, phases):
    schedule = RatioSchedule(first, last, shape, steps, phases)
    at = [schedule.at(step) for step in range(steps)]
    assert schedule.mean() == pytest.approx(np.mean(at), abs=1e-9)
    assert all(min(first, last) - 1e-9 <= ratio <= max(first, last) + 1e-9 for ratio in at)
    assert sorted(at, reverse=first > last) == pytest.approx(at), "a schedule only moves one way"
    assert schedule.at(steps + 5) == pytest.approx(first if shape == "constant" else last)


@pytest.mark.parametrize("shape", ["linear", "cosine", "steps"])
def test_symmetric_schedules_have_the_exposure_of_their_middle(shape):
    assert RatioSchedule(0.2, 0.8, shape, 1000, 4).mean() == pytest.approx(0.5)


def test_steps_are_equal_stretches():
    schedule = RatioSchedule(1.0, 0.0, "steps", 12, phases=3)
    assert [round(schedule.at(step), 9) for step in range(12)] == [1.0] * 4 + [0.5] * 4 + [0.0] * 4


def test_cosine_is_steepest_in_the_middle():
    schedule = RatioSchedule(0.0, 1.0, "cosine", 100)
    falls = np.diff([schedule.at(step) for step in range(100)])
    assert np.argmax(falls) in (48, 49, 50)
    assert falls[0] < falls[50] / 10


def test_a_run_without_steps():
    assert RatioSchedule(0.3, 0.9, "linear", 0).mean() == 0.3
