"""Partial pooling against statsmodels and its limits."""

import numpy as np
import pytest
from statsmodels.stats.meta_analysis import combine_effects

from mixlingual.analysis.statistics.by_language import covariates, partial_pooling

ONES = np.ones((6, 1))
OWN = np.array([0.01, 0.03, -0.02, 0.05, 0.02, 0.04])
ERROR = np.array([0.01, 0.02, 0.01, 0.015, 0.005, 0.01])


def test_without_covariates_it_is_the_random_effects_meta_analysis():
    found = partial_pooling(OWN, ERROR, ONES)
    theirs = combine_effects(OWN, ERROR**2, method_re="dl")
    assert found.between == pytest.approx(np.sqrt(theirs.tau2))
    assert found.coefficient_X == pytest.approx([theirs.mean_effect_re])
    assert found.coefficient_error_X == pytest.approx([theirs.sd_eff_w_re])


def test_estimates_move_towards_the_mean_the_more_uncertain_the_further():
    found = partial_pooling(OWN, ERROR, ONES)
    moved = (found.effect_G - OWN) / (found.coefficient_X[0] - OWN)
    assert ((moved > 0) & (moved < 1)).all()
    assert (np.argsort(moved) == np.argsort(ERROR, kind="stable")).all() or moved[1] == moved.max()


def test_languages_that_differ_by_chance_alone_are_given_one_effect():
    found = partial_pooling(np.full(6, 0.02), ERROR, ONES)
    assert found.between == 0
    assert found.effect_G == pytest.approx(np.full(6, 0.02))


def test_errors_far_below_the_differences_leave_estimates_alone():
    found = partial_pooling(OWN, np.full(6, 1e-6), ONES)
    assert found.effect_G == pytest.approx(OWN, abs=1e-6)
    assert found.error_G == pytest.approx(np.full(6, 1e-6), rel=1e-3)


def test_a_covariate_that_explains_all_leaves_nothing_between():
    latin = np.array([0.0, 1, 0, 1, 0, 1])
    found = partial_pooling(0.01 + 0.03 * latin, ERROR, np.column_stack([np.ones(6), latin]))
    assert found.coefficient_X == pytest.approx([0.01, 0.03])
    assert found.between == 0


def test_intervals_cover_the_true_effects():
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        true = 0.02 + rng.normal(0, 0.02, 11)
        error = rng.uniform(0.005, 0.03, 11)
        found = partial_pooling(true + rng.normal(0, error), error, np.ones((11, 1)))
        covered.append(np.mean(np.abs(found.effect_G - true) <= 1.96 * found.error_G))
    assert 0.88 < np.mean(covered) < 0.97


CODES = ("ar", "de", "en", "es", "hi", "vi", "zh")
PARITY = dict(zip(CODES, (1.3, 1.1, 1.0, 1.05, 1.6, 1.2, 0.9)))


def test_covariates_are_centred_and_parity_is_in_doublings():
    names, design = covariates(CODES, frozenset(CODES), PARITY)
    assert names == ("mean", "latin", "log2_parity")
    assert design[:, 1:].mean(axis=0) == pytest.approx([0, 0])
    assert design[4, 2] - design[2, 2] == pytest.approx(np.log2(1.6))


@pytest.mark.parametrize("parity", [{}, {"ar": 1.3}, dict.fromkeys(CODES, 1.0)])
def test_parity_that_is_unknown_or_always_the_same_is_left_out(parity):
    assert covariates(CODES, frozenset(CODES), parity)[0] == ("mean", "latin")


def test_few_languages_have_few_covariates():
    assert covariates(("ar", "de", "en", "hi"), frozenset(), PARITY)[0] == ("mean", "latin")


def test_an_effect_of_parity_is_found():
    _, design = covariates(CODES, frozenset(CODES), PARITY)
    true = 0.02 - 0.03 * np.log2(list(PARITY.values()))
    found = partial_pooling(true, np.full(7, 0.002), design)
    assert found.coefficient_X == pytest.approx([true.mean(), 0, -0.03], abs=1e-9)
