"""What corrections after training explain, on sweeps where the truth is known."""

import json

import numpy as np
import pandas as pd
import pytest
from scored_sweep import write_scored_sweep
from simulated import cell_means
from sweep_fixture import SIZES

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.statistics.contrasts import quantile
from mixlingual.analysis.statistics.debiasing import CORRECTING_V, MIXING_V, _Four
from mixlingual.analysis.statistics.estimates import analyse
from mixlingual.config.identity import to_plain
from mixlingual.config.schema import AnalysisConfig, PostHocConfig
from mixlingual.reporting.estimate_tables import estimate_tables
from mixlingual.reporting.findings import findings

QUICK = AnalysisConfig(draws=1000)
RATIOS = (0.0, 0.5, 1.0)


def write_evaluation(run, gains, *, name="evaluation_mlqa_r", components=1):
    """As evaluate leaves it; the distances shrink by 50 for each .1 of mAP."""
    own = np.random.default_rng(list(run.name.encode()))
    plain = pd.read_parquet(run / "queries.parquet")
    plain.to_parquet(run / f"{name}.parquet")
    for correction, gain in gains.items():
        noise = own.normal(0, 0.001) + own.normal(0, 0.005, len(plain))
        plain.assign(ap=plain.ap + gain + noise, rank_distance=plain.rank_distance - 500 * (gain + noise)).to_parquet(
            run / f"{name}_{correction}.parquet"
        )
    options = to_plain(PostHocConfig(methods=list(gains), components=components))
    (run / f"{name}.json").write_text(json.dumps({"corrections": options}))


def corrected_sweep(root, seeds=3):
    """The large size gains .1 from mixing in the pool; centering gives pure encoders .04 of it, the mixed one .01."""
    folder = write_scored_sweep(root, seeds=seeds, ratios=RATIOS)
    for model in SIZES:
        for ratio in RATIOS:
            for seed in range(seeds):
                gain = 0.01 if ratio == 0.5 else 0.04
                write_evaluation(folder / f"{model}_r{ratio:g}_s{seed}", {"centering": gain, "lir": 0.0})
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return corrected_sweep(tmp_path_factory.mktemp("sweeps"))


@pytest.fixture(scope="module")
def answer(folder):
    return analyse(read_sweep(folder), QUICK)


def found(answer, model, correction="centering", pure=1.0, setting="multi", measure="map"):
    (one,) = [
        each
        for each in answer.debiasing
        if (each.model, each.correction, each.pure, each.setting, each.measure)
        == (model, correction, pure, setting, measure)
    ]
    return one


def test_the_truth_lies_in_the_intervals(answer):
    for pure in (0.0, 1.0):
        large = found(answer, "large", pure=pure)
        assert large.mixing.low < 0.1 < large.mixing.high
        assert large.correcting.value == pytest.approx(0.04, abs=0.004)
        assert 0 < large.correcting.high - large.correcting.low < 0.02
        assert large.remaining.low < 0.07 < large.remaining.high
        assert large.share.low < 0.4 < large.share.high
        assert large.share.high - large.share.low < 0.3
        assert found(answer, "large", "lir", pure).share.value == pytest.approx(0, abs=0.05)
    assert large.over_runs


def test_the_values_are_those_of_the_means(answer, folder):
    def mean(ratio, name):
        tables = [pd.read_parquet(folder / f"large_r{ratio:g}_s{seed}" / f"{name}.parquet") for seed in range(3)]
        return np.mean([table[table.setting == "multi"].groupby("query_language").ap.mean().mean() for table in tables])

    large = found(answer, "large", pure=0.0)
    pure, mixed = mean(0, "queries"), mean(0.5, "queries")
    corrected = mean(0, "evaluation_mlqa_r_centering")
    assert large.mixing.value == pytest.approx(mixed - pure, abs=1e-6)
    assert large.correcting.value == pytest.approx(corrected - pure, abs=1e-6)
    assert large.share.value == pytest.approx((pure - corrected) / (pure - mixed), abs=1e-4)
    assert large.remaining.value == pytest.approx(mean(0.5, "evaluation_mlqa_r_centering") - corrected, abs=1e-6)


def test_a_smaller_rank_distance_is_better(answer):
    """It grows by 50 from 0.5 to 1, and shrinks by 20 with centering: a gain of either, 40 %."""
    distance = found(answer, "small", measure="rank_distance")
    assert distance.mixing.value == pytest.approx(50, abs=3)
    assert distance.correcting.value == pytest.approx(20, abs=3)
    assert distance.share.low < 0.4 < distance.share.high


def test_there_is_no_share_of_a_gain_that_cannot_be_told_from_0(answer):
    small = found(answer, "small")
    assert small.mixing.low < 0 < small.mixing.high
    assert small.share is None


def test_the_findings_and_the_table_say_it(answer):
    said = [sentence for sentence in findings(answer) if "Correcting ratio" in sentence]
    large = found(answer, "large")
    wanted = f"Correcting ratio 1 after training: centering gains it {large.correcting.value:+.4f} ("
    (sentence,) = [each for each in said if wanted in each and "mAP, large" in each]
    assert f"{large.share.value:.0%} ({large.share.low:.0%} to {large.share.high:.0%}) of that" in sentence
    assert not any("mAP, small: ratio 0.5 is better than ratio 1" in each and "multi" in each for each in said)
    table = estimate_tables(answer)["debiasing"]
    assert len(table) == len(answer.debiasing) == 3 * 2 * 2 * 4
    row = table[(table.model == "small") & (table.setting == "multi") & (table.metric == "map")].iloc[0]
    assert np.isnan(row.share)


def test_one_seed_is_about_these_very_runs(tmp_path):
    folder = corrected_sweep(tmp_path, seeds=1)
    large = found(analyse(read_sweep(folder), QUICK), "large")
    assert not large.over_runs
    assert large.share.low < large.share.value < large.share.high


def test_evaluations_of_other_names_or_options_are_kept_apart(tmp_path):
    """A pure ratio with one component and a mixed one with two are no pair."""
    folder = write_scored_sweep(tmp_path, seeds=2, ratios=RATIOS)
    for seed in range(2):
        for ratio, components in ((0.0, 1), (0.5, 2), (1.0, 2)):
            run = folder / f"large_r{ratio:g}_s{seed}"
            write_evaluation(run, {"lir": 0.0}, components=components)
            write_evaluation(run, {"centering": 0.01}, name="other")
    (folder / "large_r0_s0" / "plain.json").write_text("{}")
    (folder / "large_r0_s0" / "torn.json").write_text("{")
    (folder / "large_r0_s0" / "foreign.json").write_text('{"corrections": [1]}')
    answer = analyse(read_sweep(folder), QUICK)
    kinds = {(each.evaluation, each.correction, each.pure) for each in answer.debiasing}
    assert kinds == {("evaluation_mlqa_r", "lir", 1.0), ("other", "centering", 0.0), ("other", "centering", 1.0)}


def test_scores_that_cannot_be_read_leave_their_run_out(tmp_path):
    folder = corrected_sweep(tmp_path, seeds=2)
    (folder / "large_r1_s0" / "evaluation_mlqa_r_centering.parquet").write_bytes(b"torn")
    answer = analyse(read_sweep(folder), QUICK)
    reason = answer.left_out["large_r1_s0, corrected with centering"]
    assert reason.startswith("evaluation_mlqa_r_centering.parquet cannot be read")
    assert found(answer, "large").over_runs, "the other seed and the other ratios are there"


def test_the_interval_of_a_share_is_all_shares_that_a_t_test_keeps():
    """Fieller's interval against its definition: |c - s m| within t standard errors of 0."""
    means = cell_means(3, lambda model, ratio: 0.5 + 0.1 * (ratio == 0.5), seeds=4)
    four = _Four(means, [means.place("small", ratio) for ratio in (0.0, 0.25, 0.5, 0.75)], 1.0, 0.95)
    share = four.share(CORRECTING_V, MIXING_V)
    assert share.low < share.value < share.high
    whole = quantile(0.95, means.variance(four._weights(MIXING_V)).freedom)
    part, other, both = (
        means.variance(four._weights(w)).error ** 2 for w in (CORRECTING_V, MIXING_V, CORRECTING_V + MIXING_V)
    )
    for end in (share.low, share.high):
        value = four._weights(CORRECTING_V - end * MIXING_V) @ means.mean_K
        variance = part + end**2 * other - end * (both - part - other)
        assert abs(value) == pytest.approx(whole * variance**0.5)
