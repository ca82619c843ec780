"""The spread of runs against the analysis of variance, and against the truth of simulated deviations."""

from itertools import product

import numpy as np
import pytest
from simulated import cell_means, experiment

from mixlingual.analysis.read.ratio_axis import Trial
from mixlingual.analysis.statistics.cells import CellMeans
from mixlingual.analysis.statistics.spread import spread_of

SIZES, RATIOS = ("s", "m", "l"), (0.0, 0.25, 0.5, 0.75, 1.0)


def deviations(seed, *, seeds=3, seed_x_ratio=0.0, seed_x_size=0.0, run=1.0, factor=lambda model, ratio: 1.0):
    """(scores, trials) of runs with these standard deviations."""
    rng = np.random.default_rng(seed)
    of_ratio, of_size = rng.normal(0, seed_x_ratio, (seeds, 5)), rng.normal(0, seed_x_size, (seeds, 3))
    rows = []
    for (m, model), (r, ratio), s in product(enumerate(SIZES), enumerate(RATIOS), range(seeds)):
        deviation = of_ratio[s, r] + of_size[s, m] + rng.normal(0, run)
        rows.append((factor(model, ratio) * deviation, Trial(model, ratio, s)))
    value, trials = zip(*rows, strict=True)
    return np.array(value), trials


def weights(trials, cells):
    """[R] of a contrast of cell means."""
    seeds = len({trial.seed for trial in trials})
    return np.array([cells.get((t.model, t.ratio), 0.0) / seeds for t in trials])


DIFFERENCE = {("l", 0.5): 1.0, ("l", 1.0): -1.0, ("s", 0.5): -1.0, ("s", 1.0): 1.0}
MEAN = {(model, ratio): sign / 3 for model in SIZES for ratio, sign in ((0.5, 1.0), (1.0, -1.0))}


def test_a_difference_of_differences_has_the_mean_square_of_what_seeds_share_least():
    value, trials = deviations(0, seed_x_ratio=1.0)
    spread = spread_of(value, trials)
    cube = (value / spread.scale_R).reshape(3, 5, 3)  # size, ratio, seed
    left = cube - cube.mean(axis=2, keepdims=True)
    left = left - left.mean(axis=0) - (left.mean(axis=1, keepdims=True) - left.mean(axis=(0, 1)))
    mean_square = (left**2).sum() / ((3 - 1) * (5 - 1) * (3 - 1))
    assert spread.parts_P[0] == pytest.approx(mean_square, rel=0.35), "scales differ a little between cells"


@pytest.mark.parametrize("cells", [DIFFERENCE, MEAN])
def test_variances_are_those_of_the_truth_on_average(cells):
    true = {id(DIFFERENCE): 4 / 3, id(MEAN): 2 / 3 * (1.0 + 1 / 3)}[id(cells)]
    found = []
    for seed in range(150):
        value, trials = deviations(seed, seed_x_ratio=1.0)
        found.append(spread_of(value, trials).variance(weights(trials, cells))[0])
    assert np.mean(found) == pytest.approx(true, rel=0.15)


def test_what_seeds_share_narrows_differences_and_widens_means():
    def ratio_of(cells, **options):
        both = []
        for shared in (0.0, 1.0):
            runs = [deviations(seed, seed_x_ratio=shared, run=1.0 if shared else 2**0.5) for seed in range(40)]
            both.append(np.mean([spread_of(v, t).variance(weights(t, cells))[0] for v, t in runs]))
        return both[1] / both[0]

    assert ratio_of(DIFFERENCE) == pytest.approx(0.5, abs=0.12)
    assert ratio_of(MEAN) > 1.5


def test_a_size_without_repeated_seeds_has_the_spread_of_the_others():
    value, trials = deviations(1)
    kept = [n for n, trial in enumerate(trials) if trial.model != "l" or trial.seed == 0]
    spread = spread_of(value[kept], [trials[n] for n in kept])
    assert spread.scale_R.min() > 0
    assert spread.scale_R[-1] == pytest.approx(np.sqrt(np.mean(spread.scale_R[:30] ** 2)), rel=0.4)


def test_a_ratio_that_scatters_more_is_less_sure():
    value, trials = deviations(2, seeds=5, factor=lambda model, ratio: 4.0 if ratio == 0.5 else 1.0)
    spread = spread_of(value, trials)
    at = {ratio: spread.variance(weights(trials, {("s", ratio): 1.0}))[0] for ratio in RATIOS}
    assert at[0.5] > 4 * at[1.0]


def test_without_repeated_seeds_there_is_no_spread():
    scores, trials = experiment(0, seeds=1)
    assert spread_of(scores.macros(), trials) is None


def test_seeds_of_one_size_alone_are_independent_of_the_others():
    value, trials = deviations(3)
    apart = [trial._replace(seed=trial.seed + 10 * SIZES.index(trial.model)) for trial in trials]
    spread = spread_of(value, apart)
    assert not spread.kinds_PRR[1].any()
    assert np.isfinite(spread.variance(weights(trials, DIFFERENCE))[1])


def test_the_sandwich_is_the_variance_over_draws_of_paragraphs():
    scores, _ = experiment(4, seeds=1, questions=120, paragraphs=30, paragraph_and_cell=0.1)
    means = cell_means(4, seeds=1, questions=120, paragraphs=30, paragraph_and_cell=0.1)
    weight_K = np.zeros(15)
    weight_K[[0, 2]] = 1, -1
    part_C = scores.clustered("paragraph").parts()[[0, 2]]
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(30, np.full(30, 1 / 30), size=4000) @ (part_C[0] - part_C[1])
    assert means.variance(weight_K).questions == pytest.approx(np.var(drawn) * 30 / 29, rel=0.08)


def test_a_realised_ratio_moves_the_mean_to_the_planned_one():
    scores, trials = experiment(5, lambda model, ratio: 0.5 + 0.2 * ratio, questions=20, between_runs=0, rest=0,
                                question_and_cell=0)  # fmt: skip
    shifts = np.array([0.03 * (t.seed + 1) if t.ratio == 0.5 else 0.0 for t in trials])
    scores.sum_RCG[:] += (0.2 * shifts)[:, None, None].astype(np.float32)
    shifted = [t._replace(shift=s) for t, s in zip(trials, shifts, strict=True)]
    plain, moved = CellMeans.of(scores, trials), CellMeans.of(scores, shifted)
    place = plain.place("small", 0.5)
    level = plain.mean_K[plain.place("small", 0.25)] + 0.05
    assert plain.mean_K[place] == pytest.approx(level + 0.2 * 0.06, abs=1e-6)
    assert moved.mean_K[place] == pytest.approx(level, abs=3e-3)
