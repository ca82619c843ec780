"""How large a batch pays, on curves of known truth."""

import csv
import math

import numpy as np
import pytest
from run_folder import result_of, write_result

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.statistics.critical_batch import Arm, Reached, critical_batches, fit_arm, steps_to
from mixlingual.analysis.statistics.estimates import analyse
from mixlingual.analysis.statistics.gaps import Attempts, NotPossibleError
from mixlingual.config.schema import AnalysisConfig, BatchingConfig, ModelConfig, TrainConfig
from mixlingual.reporting.critical_batch_picture import critical_batch_picture
from mixlingual.reporting.findings import findings
from mixlingual.reporting.write import write_report

SIZES = (16, 64, 128, 256)
ARM = Arm("m", 15, 0.0, "step")


def runs(a, b, *, deviation=0.05, seeds=2, sizes=SIZES, pairs=math.inf, seed=0):
    """Runs of (1), those of more than so many pairs censored there."""
    rng = np.random.default_rng(seed)
    found = []
    for size in sizes:
        for number in range(seeds):
            steps = math.exp(math.log(a + b / size) + rng.normal(0, deviation))
            found.append(Reached("run", ARM, size, number, min(steps, pairs / size), steps > pairs / size, None))
    return found


def test_exact_runs_give_the_truth():
    fit = fit_arm(runs(20.0, 6400.0, deviation=0.0), 0.95)
    assert (fit.a, fit.b) == (pytest.approx(20, rel=1e-2), pytest.approx(6400, rel=1e-2))
    assert fit.critical.value == pytest.approx(64, rel=1e-2)
    assert fit.critical.low == pytest.approx(64, rel=0.05)
    assert fit.critical.high == pytest.approx(64, rel=0.05)
    assert fit.anchored == pytest.approx(64 + 1.2 * 16, rel=1e-2)


def test_the_papers_numbers_give_the_papers_critical_batch():
    """Zhang et al. 2024, 85M weights: steps at batches of 64 to 16384, and 745 with the anchor at 256."""
    steps = (46000, 23000, 13282, 7000, 3840, 2528, 1917, 1600, 1600)
    sizes = [64 * 2**n for n in range(len(steps))]
    fit = fit_arm(
        [Reached("r", ARM, b, 0, float(s), censored=False, noise=None) for b, s in zip(sizes, steps, strict=True)], 0.95
    )
    assert fit.a == pytest.approx(1293.8, rel=0.01)
    assert fit.b == pytest.approx(2_834_258, rel=0.01)
    assert fit.critical.value + 1.2 * 256 == pytest.approx(745.3, rel=0.01)


@pytest.mark.parametrize("pairs", [math.inf, 12_000, 9_300])
def test_intervals_cover_the_truth(pairs):
    """The two largest batches need about 11,500 and 9,000 pairs: some, then most of their runs are censored."""
    truth, covered, censored = 0.2 * 6400 / 20, 0, 0
    tries = {math.inf: 200, 12_000: 60, 9_300: 25}[pairs]
    for seed in range(tries):
        own = runs(20.0, 6400.0, deviation=0.08, pairs=pairs, seed=seed)
        censored += sum(each.censored for each in own)
        found = fit_arm(own, 0.95).critical
        covered += found.low < truth < found.high
    assert bool(censored) is math.isfinite(pairs)
    assert covered / tries >= 0.90
    assert covered / tries <= 0.99 or censored, "wider than need be where all runs tell"


def test_censored_runs_count_as_slower_than_they_ran():
    """Left out, the slow runs of the largest batch would make it look better than it is."""
    own = runs(40.0, 6400.0, deviation=0.15, seeds=4, pairs=15_000, seed=3)
    slow = [each for each in own if each.censored]
    assert slow
    kept = fit_arm(own, 0.95)
    dropped = fit_arm([each for each in own if not each.censored], 0.95)
    assert kept.a > dropped.a
    assert (kept.runs, kept.reached) == (len(own), len(own) - len(slow))


def test_an_interval_is_open_where_no_batch_was_too_large():
    fit = fit_arm(runs(0.001, 6400.0), 0.95)
    assert math.isinf(fit.critical.high)
    assert fit.critical.low > 20


def test_too_few_runs_are_refused():
    with pytest.raises(NotPossibleError, match="3 runs of 3 batch sizes, of 3"):
        fit_arm(runs(20.0, 6400.0, seeds=1, sizes=SIZES[:3]), 0.95)
    with pytest.raises(NotPossibleError, match="8 runs of 2 batch sizes, of 2"):
        fit_arm(runs(20.0, 6400.0, seeds=4, sizes=SIZES[:2]), 0.95)


def test_the_target_is_passed_between_two_points():
    curve = [(10, 4.0), (20, 3.0), (30, 3.5), (40, 2.0)]
    assert steps_to(curve, 3.5) == (15.0, False)
    assert steps_to(curve, 2.5) == (pytest.approx(30 + 10 / 1.5), False)
    assert steps_to(curve, 5.0) == (10.0, False), "at the first point at the latest"
    assert steps_to(curve, 1.0) == (40.0, True)


def write_run(sweep, model, size, negatives, ratio, seed, steps, *, granularity="batch"):
    """A run whose loss over the pool falls from 3 towards 2, by all but 1 / e of it at so many steps."""
    config = TrainConfig(
        sweep_name=sweep.name,
        run_name=f"{model}_b{size}_k{negatives}_r{ratio:g}_{granularity}_s{seed}",
        model=ModelConfig(name=model),
        batching=BatchingConfig(batch_size=size, negatives=negatives, monolingual_ratio=ratio, granularity=granularity),
        seed=seed,
    )
    last = 12288 // size
    points = [
        {"step": step, "pairs": step * size, "value": 0.5, "held_out/pool_loss": 2.0 + math.exp(-step / steps)}
        for step in sorted({max(1, last * part // 200) for part in range(1, 201)})
    ]
    probes = {"noise_scale_mono": 100.0, "noise_scale_cross": 300.0}
    return write_result(sweep / config.run_name, result_of(config, validation={"points": points}, probes=probes))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Ratio 0 has b / a of 200; at .5 a kind for the step has 200, one for each group 1,000; negatives save a third."""
    folder = tmp_path_factory.mktemp("multirun") / "batches"
    rng = np.random.default_rng(0)
    for size in SIZES:
        for negatives, factor in ((15, 1.0), (63, 2 / 3)):
            for seed in (0, 1):
                for ratio, granularity, a in ((0.0, "batch", 15), (0.5, "batch", 15), (0.5, "micro_batch", 3)):
                    steps = factor * (a + 3000 / size) * math.exp(rng.normal(0, 0.01))
                    write_run(folder, "m", size, negatives, ratio, seed, steps, granularity=granularity)
    return folder


@pytest.fixture(scope="module")
def answer(sweep):
    return analyse(read_sweep(sweep), AnalysisConfig(draws=1000))


def test_a_sweep_on_disk_gives_its_truth(answer):
    arms = {found.arm: found for found in answer.critical.arms}
    assert set(arms) == {Arm("m", k, r, d) for k in (15, 63) for r, d in ((0.0, "step"), (0.5, "step"), (0.5, "group"))}
    for arm, found in arms.items():
        truth = 0.2 * 3000 / (3 if arm.draw == "group" else 15)
        assert found.fit.critical.low < truth < found.fit.critical.high, arm
        assert {each.noise for each in found.reached} == {200.0}
    tests = {test.negatives: test for test in answer.critical.draws}
    assert tests[15].factor == pytest.approx(5, rel=0.3)
    assert tests[15].p < 0.001
    more = [value for value in answer.critical.same_batches if value.other.negatives == 15 != value.arm.negatives]
    assert len(more) == 3
    for value in more:
        assert value.factor.low < 2 / 3 < value.factor.high
        assert value.pairs + value.left_out == 8
        assert value.pairs >= 4
    groups = [value for value in answer.critical.same_batches if value.other.draw == "step" != value.arm.draw]
    assert [(value.arm.negatives, value.arm.ratio) for value in groups] == [(15, 0.5), (63, 0.5)]
    assert all(value.factor.value < 1 for value in groups)


def test_the_report_says_and_draws_it(answer, sweep, tmp_path):
    said = " ".join(findings(answer))
    assert "m, ratio 0, 15 negatives: batches of up to " in said
    assert "with a kind for each group of a batch, in place of one for the step" in said
    assert "m, ratio 0, 63 negatives, in place of 15, at the same batch: 0.6" in said
    (picture,) = critical_batch_picture(answer)
    assert len(picture.figure.axes) == 2
    report = write_report(read_sweep(sweep), tmp_path / "report")
    page = report.page.read_text()
    assert 'id="batch-sizes"' in page
    with (tmp_path / "report/statistics_steps_to_target.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 48
    assert (tmp_path / "report/statistics_critical_batch.csv").exists()
    assert (tmp_path / "report/statistics_kind_draws.csv").exists()


def test_a_sweep_of_one_batch_size_or_without_set_negatives_has_none(tmp_path, sweep):
    write_run(tmp_path / "one", "m", 64, 15, 0.0, 0, 60.0)
    assert critical_batches(read_sweep(tmp_path / "one"), 0.95, Attempts()).arms == ()


def test_an_arm_that_never_gets_there_is_a_gap_by_name(tmp_path):
    for size in SIZES:
        for seed in range(4):
            write_run(tmp_path / "s", "m", size, 15, 0.0, seed, 5 + 3000 / size)
    write_run(tmp_path / "s", "m", 64, 63, 0.0, 0, 1e6)
    attempt = Attempts()
    found = {each.arm.negatives: each for each in critical_batches(read_sweep(tmp_path / "s"), 0.95, attempt).arms}
    assert found[15].fit
    assert found[63].fit is None
    assert all(each.censored for each in found[63].reached)
    assert any("63 negatives" in gap.analysis and "reached the target" in gap.reason for gap in attempt.gaps)
