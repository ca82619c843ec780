"""The model of all cells on experiments with a known interaction, or none."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logit
from simulated import cell_means, experiment, flat

from mixlingual.analysis.statistics.cells import CellMeans
from mixlingual.analysis.statistics.gaps import NotPossibleError
from mixlingual.analysis.statistics.interaction import fit_size_by_ratio

WEIGHTS = {"small": 10**7, "middle": 3 * 10**7, "large": 10**8}
NO_SEED = {("small", ratio): 0 for ratio in (0.25, 0.5)}


def fitted(seed, truth=flat, measure="map", weights=WEIGHTS, **options):
    means = cell_means(seed, truth, **({"between_questions": 0.05, "question_and_cell": 0.02} | options))
    return fit_size_by_ratio(means, measure, weights, 0.95)


def bent(model, ratio):
    """A gain of the middle ratios that grows with size."""
    return 0.5 + {"small": 0.0, "middle": 0.02, "large": 0.04}[model] * (1 - (2 * ratio - 1) ** 2)


def test_an_interaction_is_found():
    found = fitted(0, bent, between_runs=0.005)
    assert found.interaction.terms == 3
    assert found.interaction.p < 0.01
    bend = found.coefficients.set_index("term").loc["size:ratio ** 2"]
    assert bend.high < 0


def test_levels_of_languages_that_differ_by_size_are_in_no_comparison():
    """Every size finds other languages hard."""
    scores, trials = experiment(0, bent, languages=3)
    hard = {"small": (0.1, -0.1, 0.0), "middle": (0.0, 0.2, -0.2), "large": (-0.3, 0.1, 0.2)}
    shift_RG = np.array([hard[trial.model] for trial in trials], dtype=np.float32)
    shifted = replace(scores, sum_RCG=scores.sum_RCG + shift_RG[:, None])
    plain, moved = (
        fit_size_by_ratio(CellMeans.of(each, trials), "map", WEIGHTS, 0.95).interaction for each in (scores, shifted)
    )
    assert moved.p == pytest.approx(plain.p, rel=1e-3)


@pytest.mark.parametrize("liked", [0.0, 0.3])
def test_without_an_interaction_p_is_seldom_small(liked):
    """Also where few questions, each with a strong liking for each cell, make all cells differ."""
    p = [fitted(seed, questions=60, question_and_cell=liked).interaction.p for seed in range(80)]
    assert np.mean(np.array(p) < 0.05) <= 0.11
    assert 0.3 < np.median(p) < 0.7


def test_a_size_has_its_own_level_that_is_no_line_in_size():
    levels = {"small": 0.2, "middle": 0.21, "large": 0.7}
    found = fitted(1, lambda model, ratio: levels[model], between_questions=0.01, between_runs=0.002)
    terms = found.coefficients.set_index("term")
    for model, level in levels.items():
        assert terms.loc[f"level of {model}", "value"] == pytest.approx(logit(level), abs=0.1)
    assert found.interaction.p > 0.05


def test_a_form_that_the_cells_do_not_follow_is_said():
    """Only the middle size bends: no line in log size."""

    def truth(model, ratio):
        return 0.5 + 0.06 * (model == "middle") * (1 - (2 * ratio - 1) ** 2)

    assert fitted(2, truth, between_runs=0.003).lack_of_fit.p < 0.001
    assert fitted(2, bent, between_runs=0.003).lack_of_fit.p > 0.01


def test_the_reach_is_the_change_that_four_of_five_experiments_find():
    """One experiment's reach is as uncertain as its spread between runs, so the middle one of several is tried."""
    reach = np.median([fitted(seed, between_runs=0.01).reach for seed in range(20)])

    def truth(model, ratio):
        change = reach * (np.log10(WEIGHTS[model]) - 7) / 4  # the logit's slope at one half is 4
        return 0.5 + change * (ratio - 0.5)

    found = [fitted(seed, truth, between_runs=0.01).change.low > 0 for seed in range(50)]
    assert 0.65 < np.mean(found) < 0.93


def test_ranks_are_on_a_logarithmic_scale():
    found = fitted(3, lambda model, ratio: 200.0 * (1 + ratio), "rank_distance", rest=1.0)
    assert found.scale == "logarithms"
    first = found.coefficients.set_index("term").loc["ratio ** 1"]
    assert first.value == pytest.approx(1 / 1.5, rel=0.1)  # slope of log(1 + ratio) at one half


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"weights": dict.fromkeys(WEIGHTS, 10**7)}, "it takes two sizes"),
        ({"seeds_of": NO_SEED | {("small", 0.75): 0}}, "it takes three ratios of every size, and one has 2"),
        ({"between_runs": 0, "question_and_cell": 0, "rest": 0}, "all scores are the same"),
    ],
)
def test_what_the_runs_do_not_allow_is_said(options, reason):
    with pytest.raises(NotPossibleError, match=reason):
        fitted(0, **options)


def test_missing_cells_leave_a_model_of_the_others():
    found = fitted(0, bent, between_runs=0.005, seeds_of={("middle", 0.5): 0, ("small", 0.25): 0, ("large", 0.75): 0})
    assert found.interaction.p < 0.01
