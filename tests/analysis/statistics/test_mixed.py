"""The mixed model on experiments with a known interaction, or none."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.special import logit
from simulated import experiment, flat, means
from statsmodels.regression.mixed_linear_model import MixedLM

from mixlingual.analysis.statistics.mixed import NoModel, fit_mixed, ratio_test

WEIGHTS = {"small": 10**7, "middle": 3 * 10**7, "large": 10**8}


def bent(model, ratio):
    """A gain of the middle ratios that grows with size."""
    return 0.5 + {"small": 0.0, "middle": 0.02, "large": 0.04}[model] * (1 - (2 * ratio - 1) ** 2)


def fitted(seed, truth=flat, **options):
    scores, cells = experiment(seed, truth, **({"between_questions": 0.05, "question_and_cell": 0.0} | options))
    return fit_mixed(means(scores), cells, WEIGHTS, 0.95)


def test_an_interaction_is_found():
    found = fitted(0, bent, between_runs=0.005)
    assert found.freedom == 3
    assert found.freedom_rest == 15 - 9
    assert found.p < 0.01
    assert found.likelihood_ratio > 20


def test_without_an_interaction_p_is_seldom_small():
    """Cells scatter no more than their runs here, where the test is conservative."""
    p = np.array([fitted(seed).p for seed in range(20)])
    assert np.mean(p < 0.05) <= 0.1
    assert 0.2 < np.median(p) < 0.95


def test_what_questions_like_about_a_cell_is_no_interaction_however_many_seeds_have_it():
    """Few questions, each with a liking for each cell that all of its runs share."""
    p = np.array([fitted(seed, questions=30, question_and_cell=0.1).p for seed in range(20)])
    assert np.mean(p < 0.05) <= 0.15
    assert np.median(p) > 0.2


def test_the_ratio_of_a_linear_model_gives_its_f_test():
    rng = np.random.default_rng(0)
    own, other = rng.normal(size=(2, 20, 3)), rng.normal(size=20)
    design = np.column_stack([np.ones(20), own[0]])
    full, alone = (np.linalg.lstsq(x, other, rcond=None)[1][0] for x in (design, design[:, :1]))
    expected = stats.f.sf((alone - full) / 3 / (full / 16), 3, 16)
    assert ratio_test(20 * np.log(alone / full), 20, 3, 16) == pytest.approx(expected)


def test_a_size_has_its_own_level():
    """In logits, at ratio one half, whatever the others have."""
    levels = {"small": 0.2, "middle": 0.25, "large": 0.7}
    found = fitted(1, lambda model, ratio: levels[model] + 0.1 * (ratio - 0.5), between_questions=0.01)
    terms = found.coefficients.set_index("term")
    for model, level in levels.items():
        assert terms.loc[f"level of {model}", "value"] == pytest.approx(logit(level), abs=0.1)


def test_levels_that_are_no_line_in_size_hide_no_interaction():
    """A line through them would leave its misfit to the scatter between cells."""
    levels = {"small": 0.2, "middle": 0.21, "large": 0.7}
    slopes = {"small": 0.0, "middle": 0.04, "large": 0.08}
    truth = {model: (lambda ratio, m=model: levels[m] + slopes[m] * (ratio - 0.5)) for model in levels}
    assert fitted(0, lambda model, ratio: truth[model](ratio), between_runs=0.002).p < 0.01
    assert fitted(0, lambda model, ratio: levels[model], between_runs=0.002).p > 0.05


def test_the_deviation_between_runs_is_recovered():
    found = fitted(2, between_runs=0.02, rest=0.01, seeds=6)
    assert found.deviations["run"] == pytest.approx(0.02 * 4, rel=0.3)  # the logit's slope at one half is 4
    assert {"query", "query x ratio", "cell", "run", "rest"} == set(found.deviations)


def test_ranks_are_fitted_on_the_log_scale():
    scores, cells = experiment(3, lambda model, ratio: 200.0 * (1 + ratio), rest=1.0)
    found = fit_mixed(means(scores), cells, WEIGHTS, 0.95)
    first = found.coefficients.set_index("term").loc["ratio ** 1"]
    assert first.value == pytest.approx(1 / 1.5, rel=0.1)  # slope of log(1 + ratio) at one half


def test_one_size_has_no_interaction():
    scores, cells = experiment(0)
    assert fit_mixed(means(scores), cells, dict.fromkeys(WEIGHTS, 10**7), 0.95) == NoModel("it takes two sizes")


def test_sizes_that_share_too_few_ratios_have_no_model():
    scores, cells = experiment(0)
    for kept in ((0.0,), (0.0, 0.5)):
        runs = [n for n, cell in enumerate(cells) if cell.model == "small" or cell.ratio in kept]
        part = replace(scores, runs=tuple(scores.runs[n] for n in runs), sum_RCG=scores.sum_RCG[runs])
        found = fit_mixed(means(part), [cells[n] for n in runs], WEIGHTS, 0.95)
        assert found == NoModel(f"it takes three ratios that all sizes have, and they share {len(kept)}")


def test_ratios_that_a_size_lacks_are_left_out():
    """Three ratios of all sizes hold a parabola, and two more of one size change nothing."""
    scores, cells = experiment(0, bent, between_questions=0.05, question_and_cell=0.0)
    common = [cell.ratio in (0.0, 0.5, 1.0) for cell in cells]
    some = [kept or cell.model == "small" for kept, cell in zip(common, cells, strict=True)]

    def fitted_on(chosen):
        runs = [run for run, kept in zip(scores.runs, chosen, strict=True) if kept]
        return fit_mixed(
            means(scores.of_runs(runs)), [c for c, kept in zip(cells, chosen, strict=True) if kept], WEIGHTS, 0.95
        )

    found = fitted_on(some)
    assert found.freedom == 2
    assert found.likelihood_ratio == fitted_on(common).likelihood_ratio
    assert found.p == fitted_on(common).p


def test_scores_that_are_all_alike_have_no_model():
    scores, cells = experiment(0)
    same = means(replace(scores, sum_RCG=np.zeros_like(scores.sum_RCG)))
    assert fit_mixed(same, cells, WEIGHTS, 0.95) == NoModel("all scores are the same")


def singular(monkeypatch, is_singular):
    """Lets statsmodels find its equations singular at some trial points, as rounding does on some processors."""
    solved, tried = MixedLM.get_fe_params, []

    def get_fe_params(self, cov_re, vcomp, tol=1e-10):
        tried.append(vcomp)
        if is_singular(len(tried)):
            raise np.linalg.LinAlgError("Singular matrix")
        return solved(self, cov_re, vcomp, tol)

    monkeypatch.setattr(MixedLM, "get_fe_params", get_fe_params)


def test_a_singular_trial_point_is_a_bad_point_of_the_search(monkeypatch):
    expected = fitted(0, bent, between_runs=0.005)
    singular(monkeypatch, lambda tries: tries in range(20, 60, 7))
    assert fitted(0, bent, between_runs=0.005).p == pytest.approx(expected.p, rel=0.2)


def test_a_model_that_cannot_be_fitted_is_a_named_gap(monkeypatch):
    singular(monkeypatch, lambda tries: True)
    found = fitted(0, bent)
    assert isinstance(found, NoModel)
    assert "Singular matrix" in found.reason
