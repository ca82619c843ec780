"""Small versions of `make simulation`: coverage and false positives where the truth is known."""

import numpy as np
import pytest
from simulated import cell_means
from simulation import LEVEL, MIXING, SCENARIOS, counted, one

SMALL = 25
"""Experiments of a small count; a share of .95 is below .8 in one of five hundred."""


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_small_count_keeps_level_and_coverage(scenario):
    shares = counted(scenario, SMALL).dropna()
    for name, share in shares.items():
        assert share <= 0.2 if name.endswith("found") else share >= 0.8, (name, share)


def test_question_clusters_forget_what_paragraphs_share():
    """The option keeps less than it says where paragraphs have likings; the default keeps it."""
    options = SCENARIOS["paragraphs"] | {"paragraphs": 25, "paragraph_and_cell": 0.1, "between_runs": 0.001}
    covered = {
        by: np.mean([abs(MIXING.against(cell_means(s, by=by, **options), 1.0, LEVEL).p) > 0.05 for s in range(40)])
        for by in ("query", "paragraph")
    }
    assert covered["query"] < 0.85 < covered["paragraph"]


def test_a_count_sees_intervals_that_do_not_cover():
    """A truth of another size is not covered: the count can fail."""
    assert one(0, lambda model, ratio: 0.5 + 0.5 * (ratio == 0.5) * (model == "large"))["contrast covered"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_level_and_coverage(scenario):
    shares = counted(scenario, 1000).dropna()
    for name, share in shares.items():
        assert share <= 0.075 if name.endswith("found") else share >= 0.925, (name, share)
