"""Power laws that hold exactly, and that do not."""

from dataclasses import replace

import numpy as np
import pytest
from simulated import experiment

from mixlingual.analysis.statistics.resample import Cell, draw_cells
from mixlingual.analysis.statistics.scaling import fit_power_law

WEIGHTS = {"a": 10**6, "b": 4 * 10**6, "c": 2 * 10**7, "d": 10**8}


def draws(score, models="abcd", ratios=(0.0, 0.5, 1.0)):
    """Cell means without scatter."""
    cells = tuple(Cell(model, ratio) for model in models for ratio in ratios)
    some = draw_cells(*experiment(0, questions=10), 10, 0)
    return replace(some, cells=cells, mean_K=np.array([score(WEIGHTS[c.model], c.ratio) for c in cells]))


def law(weights, ratio):
    return 1 - (0.2 + 0.1 * ratio) - (0.4 - 0.1 * ratio) * (weights / 10**6) ** -0.3


def test_a_law_that_holds_is_recovered_and_predicts_what_was_left_out():
    found = fit_power_law(draws(law), WEIGHTS)
    assert found.gamma == pytest.approx(0.3, rel=0.03)
    assert found.floor[1.0] == pytest.approx(0.3, abs=0.01)
    assert found.scale[0.0] == pytest.approx(0.4, abs=0.01)
    assert found.left_out < 0.01 < found.left_out_flat
    assert found.score(5 * 10**8, 0.5) == pytest.approx(law(5 * 10**8, 0.5), abs=0.01)


def test_nothing_is_predicted_beyond_a_decade():
    with pytest.raises(ValueError, match="more than 10 times"):
        fit_power_law(draws(law), WEIGHTS).score(1.1 * 10**9, 0.5)


def test_three_sizes_cannot_be_checked_and_two_have_no_law():
    three = fit_power_law(draws(law, "abc"), WEIGHTS)
    assert three.left_out is None
    assert fit_power_law(draws(law, "ab"), WEIGHTS) is None
