"""The planner against counting in simulated experiments."""

import numpy as np
import pytest
from simulated import cell_means

from mixlingual.analysis.statistics.contrasts import Interaction
from mixlingual.analysis.statistics.power import Pilot

MIXING = Interaction("small", "large", 0.5, larger_is_better=True)


def bent(height):
    return lambda model, ratio: 0.5 + (height if model == "large" else 0) * (ratio == 0.5) - 0.2 * (ratio == 1)


def pilot(seeds=5, **options):
    return Pilot.of(cell_means(11, bent(0.02), seeds=seeds, **options), MIXING)


def test_the_power_promised_is_the_share_of_experiments_that_find_the_effect():
    options = {"between_runs": 0.015, "question_and_cell": 0.02, "rest": 0.02}
    promised = pilot(**options).power(0.03, seeds=3, level=0.95)
    found = [MIXING.estimate(cell_means(seed, bent(0.03), **options), 0.95).p < 0.05 for seed in range(150)]
    assert 0.3 < promised < 0.98
    assert np.mean(found) == pytest.approx(promised, abs=0.15)


def test_more_seeds_find_smaller_effects_down_to_what_the_questions_allow():
    found = pilot(between_runs=0.03)
    small = [found.detectable(seeds, 0.95) for seeds in (2, 3, 5, 20, 1000)]
    assert small == sorted(small, reverse=True)
    limit = found.limit(0.95)
    assert limit == pytest.approx(small[-1], rel=0.05)
    assert found.seeds_for(0.5 * limit, 0.95) is None
    needed = found.seeds_for(1.5 * limit, 0.95)
    assert found.power(1.5 * limit, needed, 0.95) >= 0.8
    assert needed == 2 or found.power(1.5 * limit, needed - 1, 0.95) < 0.8


def test_the_power_of_no_effect_is_the_level():
    assert pilot().power(0.0, 4, 0.95) == pytest.approx(0.05)


def test_a_pilot_of_one_seed_says_nothing():
    assert pilot(seeds=1) is None


def test_a_huge_effect_is_certain_to_be_found():
    found = pilot(between_runs=0.001, rest=0.001, question_and_cell=0.001)
    error = found.variance(2).error
    assert [found.power(n * error, 2, 0.99) for n in (40, 60, 100)] == pytest.approx([1, 1, 1])
