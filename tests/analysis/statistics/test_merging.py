"""Merged encoders beside those trained at the ratio, where the truth is known."""

import json
import shutil
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scored_sweep import write_scored_sweep
from sweep_fixture import SIZES

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.statistics.contrasts import holm, two_sided
from mixlingual.analysis.statistics.estimates import analyse
from mixlingual.analysis.statistics.merging import outcome
from mixlingual.analysis.tables.grid import grid_axes
from mixlingual.config.schema import AnalysisConfig
from mixlingual.files import digest
from mixlingual.reporting.estimate_tables import estimate_tables
from mixlingual.reporting.findings import findings
from mixlingual.reporting.merging_pictures import merging_pictures
from mixlingual.reporting.write import write_report

QUICK = AnalysisConfig(draws=1000, smallest_effect={"map": 0.01})
SHARES = (0.25, 0.5, 0.75)
TRUTH = {
    ("small", "linear"): (0.0, 0.0, 0.0),
    ("base", "linear"): (-0.04, 0.0, 0.0),
    ("large", "linear"): (0.0, 0.04, 0.0),
    ("small", "spherical"): (0.01, 0.0, 0.0),
}
OUTCOMES = {
    ("small", "linear"): "traces",
    ("base", "linear"): "falls short of",
    ("large", "linear"): "beats",
    ("small", "spherical"): "not known",
}


def write_merge(folder, kind, model, share, seed, gain):
    """As `python -m mixlingual.merge` leaves it: better than the run at the share by `gain`, up to noise."""
    noise = {"linear": 0.001, "spherical": 0.02}[kind]
    own = np.random.default_rng((seed, int(100 * share), len(kind), list(SIZES).index(model)))
    trained = folder / f"{model}_r{share:g}_s{seed}"
    merged = folder / "merged" / f"{model}_{kind}_l{share:g}_s{seed}"
    merged.mkdir(parents=True)
    table = pd.read_parquet(trained / "queries.parquet")
    table.assign(ap=table.ap + gain + own.normal(0, noise) + own.normal(0, 0.005, len(table))).to_parquet(
        merged / "queries.parquet"
    )
    ends = {side: f"{model}_r{ratio}_s{seed}" for side, ratio in (("mono", 1), ("cross", 0))}
    record = {side: {"run": run, "result": digest(folder / run / "result.json")} for side, run in ends.items()}
    content = json.loads((trained / "result.json").read_text()) | {"run_name": merged.name}
    (merged / "result.json").write_text(json.dumps(content | {"merged": {"kind": kind, "share": share, **record}}))
    return merged


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = write_scored_sweep(tmp_path_factory.mktemp("sweeps"))
    for ((model, kind), gains), seed in product(TRUTH.items(), range(3)):
        for share, gain in zip(SHARES, gains, strict=True):
            write_merge(folder, kind, model, share, seed, gain)
    return folder


@pytest.fixture(scope="module")
def answer(folder):
    return analyse(read_sweep(folder), QUICK)


def families(answer, setting="multi", measure="map"):
    found = {}
    for each in answer.merging:
        if (each.setting, each.measure) == (setting, measure):
            found.setdefault((each.model, each.kind), []).append(each)
    return found


@pytest.mark.parametrize("setting", ["mono", "cross", "multi"])
def test_the_truth_lies_in_the_intervals_and_the_outcome_is_the_declared_one(answer, setting):
    for name, family in families(answer, setting).items():
        assert [each.share for each in family] == list(SHARES)
        assert {each.seeds for each in family} == {3}
        for each, gain in zip(family, TRUTH[name], strict=True):
            assert each.difference.low_all < gain < each.difference.high_all
            assert each.difference.over_runs
        assert outcome([answer.verdict("map", each.difference) for each in family]) == OUTCOMES[name]
    assert families(answer, setting).keys() == TRUTH.keys()


def test_the_values_are_those_of_the_means(answer, folder):
    def mean(run):
        table = pd.read_parquet(folder / run / "queries.parquet")
        return table[table.setting == "multi"].groupby("query_language").ap.mean().mean()

    for (model, kind), family in families(answer).items():
        for each in family:
            runs = [(f"merged/{model}_{kind}_l{each.share:g}_s{s}", f"{model}_r{each.share:g}_s{s}") for s in range(3)]
            expected = np.mean([mean(merged) - mean(trained) for merged, trained in runs])
            assert each.difference.value == pytest.approx(expected, abs=1e-6)


def test_p_is_holms_over_the_shares_of_a_size_and_kind(answer):
    for family in families(answer).values():
        alone = [two_sided(e.difference.value, e.difference.error, e.difference.freedom) for e in family]
        assert [e.difference.p for e in family] == pytest.approx(list(holm(alone)))


def test_merged_encoders_change_nothing_else(answer, folder, tmp_path):
    plain = shutil.copytree(folder, tmp_path / "plain", ignore=shutil.ignore_patterns("merged"))
    alone = analyse(read_sweep(plain), QUICK)
    assert alone.merging == ()
    assert [part.interaction for part in answer.measured] == [part.interaction for part in alone.measured]
    assert answer.effects == alone.effects
    assert [run.name for run in read_sweep(folder).runs] == [run.name for run in read_sweep(plain).runs]


def _retrained(folder):
    path = folder / "small_r1_s0/result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"commit": "another"}))


def _no_partner(folder):
    shutil.rmtree(folder / "small_r0.25_s0")


def _torn(folder):
    (folder / "merged/small_linear_l0.25_s0/result.json").write_text('{"half"')


def _no_record(folder):
    path = folder / "merged/small_linear_l0.25_s0/result.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"merged": {"kind": 3}}))


def _no_scores(folder):
    (folder / "merged/small_linear_l0.25_s0/queries.parquet").unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_retrained, "was trained again since"),
        (_no_partner, "no finished run at ratio 0.25 of its size and seed"),
        (_torn, "is not JSON"),
        (_no_record, "does not say what was merged"),
        (_no_scores, "no scores by question are kept of it"),
    ],
)
def test_what_cannot_be_compared_is_left_out_by_name_and_the_rest_is_not(folder, tmp_path, spoil, said):
    mine = shutil.copytree(folder, tmp_path / "mine")
    spoil(mine)
    answer = analyse(read_sweep(mine), QUICK)
    assert said in answer.left_out["merged/small_linear_l0.25_s0"]
    first = families(answer)["small", "linear"][0]
    assert (first.share, first.seeds) == (0.25, 2)
    assert families(answer)["base", "linear"][0].seeds == 3


def test_the_report_says_and_draws_it(answer, folder, tmp_path):
    said = [sentence for sentence in findings(answer) if "linear merging" in sentence]
    assert any("mAP, small: linear merging traces training at the ratio: as good at 0.25" in each for each in said)
    assert any("mAP, base: linear merging falls short of training" in each for each in said)
    table = estimate_tables(answer)["merging"]
    assert len(table) == len(answer.merging)
    assert {*table.verdict} == {"as good", "better", "worse", "undecided"}
    differences, curves = merging_pictures(answer, grid_axes(read_sweep(folder)))
    panel = differences.figure.axes[0]
    marks = sorted(round(float(m.get_ydata()[0]), 6) for m in panel.lines if m.get_marker() not in ("None", ""))
    assert marks == sorted(round(e.difference.value, 6) for f in families(answer, "mono").values() for e in f)
    merged = next(line for line in curves.figure.axes[0].lines if line.get_linestyle() == "--")
    assert list(merged.get_xdata()) == [0, *SHARES, 1]
    report = write_report(read_sweep(folder), tmp_path / "report")
    page = report.page.read_text()
    assert 'id="merging"' in page
    assert "statistics_merging.csv" in page
    assert (tmp_path / "report/figures/merging.svg").exists()


@pytest.mark.parametrize(
    ("verdicts", "word"),
    [
        (["as good", "as good", "as good"], "traces"),
        (["as good", "undecided", "as good"], "not known"),
        (["as good", "better", "undecided"], "beats"),
        (["worse", "as good"], "falls short of"),
        (["worse", "better"], "beats and falls short of"),
        ([], "not known"),
    ],
)
def test_the_outcome_follows_from_the_verdicts_as_declared(verdicts, word):
    assert outcome(verdicts) == word
