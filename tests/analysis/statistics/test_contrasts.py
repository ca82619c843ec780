"""Estimates against formulas written out, and families of tests against Holm's procedure."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from simulated import cell_means

from mixlingual.analysis.statistics.contrasts import Gain, Interaction, adjusted, estimate

MIXING = Interaction("small", "large", 0.5, larger_is_better=True)
QUIET = {"questions": 50, "between_runs": 0, "question_and_cell": 0, "rest": 0}


def step(means, **weights):
    """Weights of cells: SIZE_RATIO=weight."""
    weight_K = np.zeros(len(means.cells))
    for name, weight in weights.items():
        model, ratio = name.split("_")
        weight_K[means.place(model, float(ratio) / 100)] = weight
    return weight_K


def test_without_repeated_seeds_the_interval_is_that_of_a_t_test_over_questions():
    means = cell_means(0, seeds=1)
    weight_K = step(means, large_50=1, large_100=-1)
    found = estimate(means, weight_K, 0.95)
    each = weight_K @ means.influence_KC * means.clusters + found.value
    expected = stats.ttest_1samp(each, 0)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-6)
    assert found.p == pytest.approx(expected.pvalue)
    assert not found.over_runs
    assert found.p == found.p_questions


def test_p_is_that_of_holm_and_intervals_hold_together():
    means = cell_means(0)
    found = [estimate(means, step(means, large_50=1, **{f"small_{r}": -1}), 0.95) for r in (0, 25, 75)]
    ordered = sorted(found, key=lambda x: x.p)
    expected = np.maximum.accumulate([min(1.0, (3 - n) * each.p) for n, each in enumerate(ordered)])
    family = adjusted(ordered)
    assert [x.p for x in family] == pytest.approx(list(expected))
    wide = stats.t.isf(0.025 / 3, ordered[0].freedom) * ordered[0].error
    assert family[0].high_all - family[0].low_all == pytest.approx(2 * wide)
    assert adjusted([]) == []


def test_the_interval_of_what_holm_alone_tells_from_0_ends_there():
    sure, nearly = (_estimate(value) for value in (10.0, 2.2))
    family = adjusted([sure, nearly])
    assert family[1].p < 0.05
    assert family[1].low_all == 0
    assert family[0].low_all > 0


def _estimate(value, half=1.96):
    means = cell_means(0, questions=20)
    unit = estimate(means, step(means, large_50=1, large_0=-1), 0.95)
    return replace(
        unit, value=value, error=1.0, freedom=1e6, p=2 * stats.norm.sf(abs(value)),
        low=value - half, high=value + half, low_all=value - half, high_all=value + half,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "smallest", "word"),
    [
        (3.0, None, "better"),
        (-3.0, 1.0, "worse"),
        (0.5, None, "undecided"),
        (0.5, 2.0, "undecided"),
        (0.5, 2.5, "as good"),
        (3.0, 6.0, "as good"),
    ],
)
def test_four_words_say_what_is_known(value, smallest, word):
    assert _estimate(value).verdict(smallest) == word
    mirrored = {"better": "worse", "worse": "better"}.get(word, word)
    assert _estimate(value).verdict(smallest, larger_is_better=False) == mirrored


def test_an_interaction_is_a_difference_of_gains_over_the_better_pure_ratio():
    def truth(model, ratio):
        return 0.5 + (0.05 if model == "large" else 0.02) * (ratio == 0.5) + 0.01 * ratio * (model == "large")

    means = cell_means(0, truth, **QUIET)
    assert MIXING.estimate(means, 0.95).value == pytest.approx(0.025, abs=1e-6)
    assert MIXING.against(means, 0.0, 0.95).value == pytest.approx(0.035, abs=1e-6)
    assert MIXING.against(means, 1.0, 0.95).value == pytest.approx(0.025, abs=1e-6)
    lower = Interaction("small", "large", 0.5, larger_is_better=False)
    assert lower.estimate(means, 0.95).value == pytest.approx(-0.035, abs=1e-6)
    assert lower.against(means, 1.0, 0.95).value == pytest.approx(-0.025, abs=1e-6)
    missing = Interaction("small", "huge", 0.5, larger_is_better=True)
    assert missing.estimate(means, 0.95) is None
    assert missing.against(means, 1.0, 0.95) is None


def test_the_choice_of_a_pure_ratio_is_in_doubt_where_they_are_tied():
    means = cell_means(0, lambda model, ratio: 0.5 + ratio * (model == "large"), questions=50, seeds=5)
    tied, apart = (Gain(m, 0.5, larger_is_better=True).choice_in_doubt(means, 0.95) for m in ("small", "large"))
    assert (tied, apart) == (True, False)
    assert MIXING.choice_in_doubt(means, 0.95)


def test_the_larger_of_two_means_is_too_large_by_no_more_than_is_said():
    """Both pure ratios of small are equal, those of large far apart: the worst case. Without a choice there is no bias.

    A cell's error is .01 / sqrt(3) = .0058, so the bias of the small size's gain is at most .0033.
    """

    def truth(model, ratio):
        return 0.5 + ratio * (model == "large") + 0.5 * (ratio == 0.5)

    studied = [cell_means(seed, truth, questions=20, question_and_cell=0.0, rest=0.0) for seed in range(300)]
    chosen = np.mean([means.mean_K @ MIXING.weights(means) for means in studied])
    fixed = np.mean([MIXING.against(means, 1.0, 0.95).value for means in studied])
    assert chosen - (-0.5) == pytest.approx(0.56 * 0.01 / np.sqrt(3), abs=0.0015)
    assert fixed - (-0.5) == pytest.approx(0, abs=0.0015)


def test_the_words_on_runs_are_those_of_the_sizes_in_the_contrast():
    means = cell_means(0, seeds_of={"large": 1})
    assert MIXING.estimate(means, 0.95).borrowed == ("large",)
    assert Gain("small", 0.5, larger_is_better=True).estimate(means, 0.95).borrowed == ()
    assert MIXING.estimate(means, 0.95).over_runs
    assert not MIXING.estimate(cell_means(0, seeds=1), 0.95).over_runs


def test_a_contrast_is_never_surer_than_a_part_of_it():
    """Three seeds of the small size and one of the large."""
    means = cell_means(0, seeds_of={"large": 1}, between_runs=0.02)
    whole = MIXING.estimate(means, 0.95).error
    assert whole > Gain("small", 0.5, larger_is_better=True).estimate(means, 0.95).error


def test_scores_that_are_all_alike_differ_by_nothing():
    means = cell_means(0, **QUIET)
    found = MIXING.estimate(means, 0.95)
    assert (found.value, found.error, found.p) == pytest.approx((0, 0, 1), abs=1e-7)


def test_as_good_is_said_by_the_interval_that_holds_with_all_others():
    """Its own interval lies inside what matters; with seven others it does not."""
    alone = _estimate(0.5)
    family = adjusted([alone, *[_estimate(0.1)] * 7])[0]
    assert max(abs(alone.low), abs(alone.high)) < 2.6 < max(abs(family.low_all), abs(family.high_all))
    assert [alone.verdict(2.6), family.verdict(2.6)] == ["as good", "undecided"]
