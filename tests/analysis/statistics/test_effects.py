"""Differences from a reference: values against plain loops, bands against an integral, and who is the reference."""

import numpy as np
import pytest
from scipy import optimize, stats
from scored_sweep import response, write_scored_sweep, write_variant
from simulated import RATIOS, SIZES, cell_means, experiment

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.statistics.cells import CellMeans
from mixlingual.analysis.statistics.effects import BETTER_PURE, UNTRAINED, ratio_effects
from mixlingual.analysis.statistics.estimates import analyse
from mixlingual.analysis.statistics.response import Draws
from mixlingual.config.schema import AnalysisConfig
from mixlingual.reporting.estimate_tables import estimate_table

DRAWS = Draws(0.95, 20_000)


def families(means, *, larger=True, draws=DRAWS):
    return {name: (at, family) for name, at, family in ratio_effects(means, SIZES, draws, larger_is_better=larger)}


def test_differences_are_those_of_the_same_questions_and_seeds():
    """One seed: a paired t test over questions. Several: the mean over seeds of such differences."""
    scores, trials = experiment(0, seeds=1)
    value_RC = scores.sum_RCG.mean(axis=2)
    found = families(CellMeans.of(scores, trials))["ratio 0"][1]
    assert [(each.model, each.ratio) for each in found] == [(m, r) for m in SIZES for r in RATIOS[1:]]
    for each in found:
        own, other = (value_RC[trials.index((each.model, ratio, 0, 0.0))] for ratio in (each.ratio, 0.0))
        expected = stats.ttest_rel(own, other)
        assert (each.estimate.low, each.estimate.high) == pytest.approx(tuple(expected.confidence_interval()), rel=1e-4)
    scores, trials = experiment(1, seeds=3)
    value_R = scores.sum_RCG.mean(axis=(1, 2))
    for each in families(CellMeans.of(scores, trials))["ratio 0"][1]:
        by_seed = [
            value_R[trials.index((each.model, each.ratio, s, 0.0))] - value_R[trials.index((each.model, 0.0, s, 0.0))]
            for s in range(3)
        ]
        assert (each.seeds, each.estimate.value) == (3, pytest.approx(np.mean(by_seed), abs=1e-6))


@pytest.mark.parametrize("options", [{}, {"seeds": 1}, {"seeds_of": {("large", 0.0): 1, ("small", 0.5): 5}}])
def test_bands_are_those_of_the_largest_of_correlated_normals(options):
    """The integral over the box, by scipy, in place of draws."""
    means = cell_means(3, **options)
    family = families(means)["ratio 0"][1]
    weights = [[(cell == (e.model, e.ratio)) - float(cell == (e.model, 0.0)) for cell in means.cells] for e in family]
    covariance = np.array(weights) @ means.covariance @ np.array(weights).T
    error = np.sqrt(np.diag(covariance))
    normal = stats.multivariate_normal(np.zeros(len(error)), covariance / np.outer(error, error), seed=0, maxpts=20_000)

    def outside(z):
        box = np.full(len(error), z)
        return 1 - normal.cdf(box, lower_limit=-box) - 0.05

    z = optimize.brentq(outside, 1.9, 4, xtol=1e-2)
    assert 2 < z < stats.norm.isf(0.025 / len(family)), "wider than one interval, narrower than Bonferroni's"
    for each in family:
        half = stats.t.isf(stats.norm.sf(z), each.estimate.freedom) * each.estimate.error
        assert each.estimate.high_all - each.estimate.value == pytest.approx(half, rel=0.02)
        assert each.estimate.low_all == pytest.approx(2 * each.estimate.value - each.estimate.high_all)


def test_a_verdict_says_what_the_band_shows():
    def truth(model, ratio):
        return 0.5 + {"small": 0.0, "middle": 0.05, "large": -0.05}[model] * ratio

    words = set()
    for seed in range(6):
        for each in families(cell_means(seed, truth))["ratio 0"][1]:
            low, high = each.estimate.low_all, each.estimate.high_all
            word = each.estimate.verdict(None)
            assert word == ("better" if low > 0 else "worse" if high < 0 else "undecided")
            words.add(word)
    assert words == {"better", "worse", "undecided"}


def test_one_difference_alone_has_its_own_interval():
    others = {"small": 0, "middle": 0} | {("large", ratio): 0 for ratio in (0.25, 0.5, 0.75)}
    ((only,),) = [family for name, (_, family) in families(cell_means(0, seeds_of=others)).items() if name == "ratio 0"]
    found = only.estimate
    assert (found.low_all, found.high_all) == pytest.approx((found.low, found.high), rel=0.03)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(found.value) / found.error, found.freedom), abs=0.01)


def test_the_reference_is_ratio_0_else_1_else_the_lowest():
    def without(*ratios):
        return families(cell_means(0, seeds_of={(m, r): 0 for m in SIZES for r in ratios}))

    assert list(without()) == ["ratio 0", BETTER_PURE]
    assert list(without(1.0)) == ["ratio 0"]
    assert list(without(0.0)) == ["ratio 1"]
    assert list(without(0.0, 1.0)) == ["ratio 0.25"]
    assert without(0.0, 0.25, 0.5, 0.75) == {}, "one ratio is no difference"


def test_a_size_without_its_reference_has_no_differences():
    found = families(cell_means(0, seeds_of={("middle", 0.0): 0}))
    assert {each.model for each in found["ratio 0"][1]} == {"small", "large"} == {*found[BETTER_PURE][0]}


@pytest.mark.parametrize(("larger", "expected"), [(True, {"small": 1.0, "middle": 0.0}), (False, {"small": 0.0})])
def test_the_better_pure_ratio_is_each_sizes_own(larger, expected):
    means = cell_means(0, lambda model, ratio: 0.5 + (0.2 if model == "small" else -0.2) * ratio)
    at, family = families(means, larger=larger)[BETTER_PURE]
    assert expected.items() <= at.items()
    assert all(each.ratio != at[each.model] for each in family)
    assert all((each.estimate.value < 0) == larger for each in family)


def test_bands_move_with_the_seed_of_the_draws_by_little():
    means = cell_means(0)
    halves = []
    for seed in (0, 1):
        family = families(means, draws=Draws(0.95, 4000, seed))["ratio 0"][1]
        halves.append([each.estimate.high_all - each.estimate.value for each in family])
    assert halves[0] != halves[1]
    np.testing.assert_allclose(*halves, rtol=0.05)


def test_a_sweep_has_a_table_of_all_its_differences(tmp_path):
    folder = write_scored_sweep(tmp_path, seeds=2, ratios=(0.0, 0.5, 1.0))
    for model in SIZES_ON_DISK:
        write_variant(folder, model, 0.5, 0, -0.2, steps=0)
    found = analyse(read_sweep(folder), AnalysisConfig(draws=1000))
    table = estimate_table(found, "effects")
    assert len(table) == 4 * 3 * (2 + 2 + 3), "measures x sizes x ratios beside each reference"
    assert list(table.reference.unique()) == ["ratio 0", BETTER_PURE, UNTRAINED]
    own = table.query("reference == 'ratio 0' and setting == 'cross' and ratio == 1").set_index("model")
    for model, row in own.iterrows():
        truth = response(model, 1.0, "cross") - response(model, 0.0, "cross")
        assert row.low_all < truth < row.high_all
        assert (row.seeds, row.verdict) == (2, "worse" if row.high_all < 0 else "undecided")
    trained = table.query("reference == @UNTRAINED and metric == 'map' and ratio == 0.5")
    assert (trained["value"] > 0.1).all()
    distance = table.query("reference == 'ratio 0' and metric == 'rank_distance' and ratio == 1")
    assert (distance.verdict == "worse").all(), "it rises, and lower is better"


SIZES_ON_DISK = ("small", "base", "large")
