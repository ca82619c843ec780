"""Fronts and their area against counting, by hand and on a grid of points."""

import numpy as np
import pytest
from simulated import RATIOS, experiment

from mixlingual.analysis.statistics.resample import draw_cells
from mixlingual.analysis.statistics.tradeoff import dominated, fronts, hypervolume


def test_the_area_of_two_overlapping_rectangles():
    first, second = np.array([[3.0, 1.0]]), np.array([[1.0, 2.0]])
    assert hypervolume(first, second, (0.0, 0.0)) == pytest.approx([3 * 1 + 1 * 1])
    assert hypervolume(first, second, (0.5, 0.5)) == pytest.approx([2.5 * 0.5 + 0.5 * 1])
    assert hypervolume(first, second, (5.0, 0.0)) == pytest.approx([0])


def test_the_area_is_the_share_of_points_below_some_cell():
    rng = np.random.default_rng(0)
    first, second = rng.random((3, 6)), rng.random((3, 6))
    points = rng.random((200_000, 2))
    for draw in range(3):
        below = (points[:, None, 0] < first[draw]) & (points[:, None, 1] < second[draw])
        area = hypervolume(first[[draw]], second[[draw]], (0.0, 0.0))[0]
        assert area == pytest.approx(below.any(axis=1).mean(), abs=0.005)


def test_a_cell_is_dominated_by_one_that_is_better_in_both():
    first, second = np.array([[3.0, 1.0, 0.5, 3.0]]), np.array([[1.0, 2.0, 1.5, 1.0]])
    assert dominated(first, second).tolist() == [[False, False, True, False]]


def test_fronts_of_all_sizes():
    gain = {"small": 0.0, "middle": 0.1, "large": 0.2}
    quiet = {"questions": 50, "between_runs": 1e-4, "question_and_cell": 1e-4, "rest": 1e-4}
    mono, cells = experiment(0, lambda model, ratio: 0.5 + gain[model] + 0.1 * ratio, **quiet)
    cross, _ = experiment(1, lambda model, ratio: 0.4 + gain[model] - 0.1 * ratio, **quiet)
    found = fronts(draw_cells(mono, cells, 200, 0), draw_cells(cross, cells, 200, 0), 0.95)
    assert [front.model for front in found] == ["small", "middle", "large"]
    assert found[0].ratio_K.tolist() == list(RATIOS)
    assert (found[1].dominated_K == 0).all()
    areas = [front.hypervolume.value for front in found]
    assert areas == sorted(areas)
    assert all(front.hypervolume.low <= front.hypervolume.value <= front.hypervolume.high for front in found)
