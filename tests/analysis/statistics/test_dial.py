"""What own language first costs, in experiments and sweeps with a known truth."""

import numpy as np
import pandas as pd
import pytest
from scored_sweep import queries, write_scored_sweep
from simulated import RATIOS, experiment
from sweep_fixture import SIZES, write_json

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.statistics.cells import RunValues
from mixlingual.analysis.statistics.dial import Dial, costs
from mixlingual.analysis.statistics.estimates import analyse
from mixlingual.analysis.statistics.gaps import Attempts, NotPossibleError
from mixlingual.config.identity import to_plain
from mixlingual.config.schema import AnalysisConfig, PostHocConfig
from mixlingual.reporting.estimate_tables import estimate_tables

QUICK = AnalysisConfig(draws=1000)
WEIGHTS = {"small": 1, "middle": 2, "large": 3}


def turned(model, ratio):
    """Preference rises by .2 from ratio 0 to 1."""
    return 0.3 + 0.2 * ratio


def paid(model, ratio):
    """And costs the large size .05 mAP, which is .0025 a point."""
    return 0.5 - (0.05 if model == "large" else 0.0) * ratio


def dial_of(seed, preference=turned, *, coupled=0.0, **options):
    """Runs and questions that score high on the one may score low on the other."""
    relevance, trials = experiment(seed, paid, **options)
    own, _ = experiment(seed + 1000, preference, **options)
    first, second = RunValues.of(relevance), RunValues.of(own)
    mixed = RunValues(
        second.runs, second.clusters,
        second.value_R + coupled * (first.value_R - [paid(*t[:2]) for t in trials]),
        second.influence_RC + coupled * first.influence_RC,
    )  # fmt: skip
    return Dial.of(first, mixed, dict(zip(relevance.runs, trials, strict=True)))


def cost_of(dial, model="large", stretch=(0.0, 1.0)):
    found = costs(dial, WEIGHTS, "toy", "multi", QUICK, Attempts())
    (one,) = [each for each in found if each.model == model and (each.start, each.stop) == stretch]
    return one


def test_the_cost_is_that_of_least_squares_on_the_ratio():
    dial = dial_of(1)
    relevance, preference = dial.sides()
    places = [relevance.place("large", ratio) for ratio in RATIOS]
    slopes = [np.polyfit(RATIOS, side.mean_K[places], 1)[0] for side in (relevance, preference)]
    found = cost_of(dial)
    assert found.cost.value == pytest.approx(-0.01 * slopes[0] / slopes[1])
    assert (found.relevance.value, found.preference.value) == pytest.approx(slopes)
    half = cost_of(dial, stretch=(0.0, 0.5))
    assert half.preference.value == pytest.approx(np.polyfit(RATIOS[:3], preference.mean_K[places[:3]], 1)[0] / 2)


@pytest.mark.parametrize(("coupled", "runs"), [(0.8, 0.01), (-0.8, 0.03)])
def test_the_true_cost_is_covered(coupled, runs):
    """Of 60 intervals at 95 %, 9 misses have a chance of less than .3 %."""
    missed = 0
    for seed in range(30):
        found = costs(
            dial_of(seed, coupled=coupled, questions=60, between_runs=runs), WEIGHTS, "", "", QUICK, Attempts()
        )
        ends = {each.model: each.cost for each in found if (each.start, each.stop) == (0.0, 1.0)}
        for model, truth in (("large", 0.0025), ("small", 0.0)):
            missed += not ends[model].low <= truth <= ends[model].high
    assert missed < 9


def test_a_ratio_that_moves_no_preference_has_no_cost():
    found = cost_of(dial_of(1, lambda model, ratio: 0.3))
    assert found.cost is None
    assert found.preference.low < 0 < found.preference.high


def test_what_runs_have_in_common_is_in_the_interval():
    """Runs that lie high on the one lie high on the other, so that the slope is better known than from either alone."""
    wide, narrow = (cost_of(dial_of(3, coupled=c, between_runs=0.03)).cost for c in (0.0, -0.8))
    assert wide.high - wide.low != pytest.approx(narrow.high - narrow.low, rel=0.02)


def test_runs_without_the_other_measure_are_left_out():
    relevance, trials = experiment(1, paid)
    own = RunValues.of(relevance)
    places = dict(zip(relevance.runs, trials, strict=True))
    assert len(Dial.of(own, own.of_runs(own.runs[:4]), places).trials) == 4
    with pytest.raises(NotPossibleError, match="no run has both"):
        Dial.of(own, own.of_runs([]), places)


def with_preference(table, ratio, shift=0.0):
    own = np.random.default_rng(int(100 * ratio)).random(len(table))
    return table.assign(own_first=np.where(table.setting == "multi", own < 0.3 + 0.4 * ratio + shift, np.nan))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Preference rises with the ratio; centering takes it down by .1 and gains .03 mAP; lir changes nothing."""
    folder = write_scored_sweep(tmp_path_factory.mktemp("sweeps"), seeds=2)
    for run in folder.glob("*/queries.parquet"):
        model, ratio, seed = run.parent.name.split("_")
        plain = with_preference(queries(model, float(ratio[1:]), int(seed[1:])), float(ratio[1:]))
        plain.to_parquet(run)
        plain.to_parquet(run.with_name("evaluation.parquet"))
        plain.to_parquet(run.with_name("evaluation_lir.parquet"))
        moved = with_preference(plain, float(ratio[1:]), -0.1)
        moved.assign(ap=moved.ap + 0.03).to_parquet(run.with_name("evaluation_centering.parquet"))
        options = to_plain(PostHocConfig(methods=["centering", "lir"]))
        write_json(run.with_name("evaluation.json"), {"corrections": options})
    return folder


@pytest.fixture(scope="module")
def answer(folder):
    return analyse(read_sweep(folder), QUICK)


def test_a_sweep_has_costs_over_questions_and_runs(answer):
    assert [gap for gap in answer.gaps if gap.is_fault] == []
    pool = [c for c in answer.costs if c.setting == "multi" and (c.start, c.stop) == (0, 1)]
    assert [each.model for each in pool] == list(SIZES)
    assert all(each.over_questions and each.over_runs for each in pool)
    assert all(each.preference.low < 0.4 < each.preference.high for each in pool)
    assert {each.setting for each in answer.costs} == {"mono", "cross", "multi"}


def test_a_correction_that_does_nothing_stays_on_the_dial(answer):
    found = [each for each in answer.moved if each.correction == "lir"]
    assert len(found) == len(SIZES) * len(RATIOS)
    assert [each.excess.value for each in found] == pytest.approx([0] * len(found), abs=1e-9)
    assert not any(each.beyond for each in found)


def test_a_correction_that_gains_beside_the_dial_lies_above_it(answer):
    found = {(e.model, e.ratio): e for e in answer.moved if e.correction == "centering"}
    small = found["small", 1.0]  # its curve is flat, so that all of the gain is excess
    assert small.excess.value == pytest.approx(0.03, abs=0.005)
    assert small.excess.low > 0
    assert small.preference == pytest.approx(0.6, abs=0.06)
    assert not small.beyond
    assert found["small", 0.0].beyond


def test_the_tables_have_every_cost_and_correction(answer):
    tables = estimate_tables(answer)
    assert len(tables["dial"]) == len(answer.costs) == 3 * 3 * 3
    assert len(tables["dial_corrections"]) == len(answer.moved)
    assert len(tables["transfer"]) == len(answer.told)
    row = tables["dial"].query("setting == 'multi' and model == 'large' and start == 0 and stop == 1").iloc[0]
    assert row.cost_of_a_point_low <= row.cost_of_a_point <= row.cost_of_a_point_high


def test_without_scores_of_preference_by_question_the_figures_of_the_runs_are_taken(tmp_path):
    folder = write_scored_sweep(tmp_path, seeds=2)
    for path in folder.glob("*/result.json"):
        content = pd.read_json(path, typ="series").to_dict()
        noise = 0.01 * content["seed"] if "seed" in content else 0.01 * content["config"]["seed"]
        content["benchmarks"]["mlqa_r"]["multi"]["own_first"] = (
            0.3 + 0.2 * content["config"]["batching"]["monolingual_ratio"] + noise
        )
        write_json(path, content)
    answer = analyse(read_sweep(folder), QUICK)
    pool = [c for c in answer.costs if c.setting == "multi" and (c.start, c.stop) == (0, 1)]
    assert [each.preference.value for each in pool] == pytest.approx([0.2] * 3)
    assert all(each.over_runs and not each.over_questions for each in pool)


def test_a_sweep_without_preference_names_the_gap(tmp_path):
    answer = analyse(read_sweep(write_scored_sweep(tmp_path, seeds=2)), QUICK)
    assert not answer.costs
    reasons = {g.analysis: g.reason for g in answer.gaps}
    assert reasons["mlqa_r, multi: what own language first costs"] == "no run has both measures"
