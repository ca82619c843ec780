"""Fronts with a known truth."""

import numpy as np
from simulated import RATIOS, cell_means

from mixlingual.analysis.statistics.tradeoff import dominated, fronts


def test_a_cell_is_dominated_by_one_that_is_better_in_both():
    first, second = np.array([3.0, 1.0, 0.5, 3.0]), np.array([1.0, 2.0, 1.5, 1.0])
    assert dominated(first, second).tolist() == [False, False, True, False]


def test_fronts_of_all_sizes_over_the_ratios_that_both_settings_have():
    quiet = {"questions": 50, "between_runs": 1e-4, "question_and_cell": 1e-4, "rest": 1e-4}
    mono = cell_means(0, lambda model, ratio: 0.5 + 0.1 * ratio, **quiet)
    cross = cell_means(1, lambda model, ratio: 0.4 - 0.1 * ratio, **quiet, seeds_of={("small", 0.25): 0})
    found = fronts(mono, cross)
    assert [front.model for front in found] == ["small", "middle", "large"]
    assert found[0].ratio_K.tolist() == [0.0, 0.5, 0.75, 1.0]
    assert found[1].ratio_K.tolist() == list(RATIOS)
    assert not found[1].beaten_K.any()
    worse = fronts(mono, cell_means(1, lambda model, ratio: 0.4 + 0.1 * ratio, **quiet))
    assert worse[0].beaten_K.tolist() == [True] * 4 + [False]
