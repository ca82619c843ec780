"""A sweep in parts gives the estimates of the whole."""

import json
from dataclasses import replace

import pandas as pd
import pytest
from scored_sweep import write_scored_sweep, write_variant
from sweep_fixture import write_json

from mixlingual.analysis.collect import read_sweep
from mixlingual.analysis.estimates import analyse
from mixlingual.analysis.grid import languages_table, results_table
from mixlingual.analysis.parts import PLAN, QUESTIONS, RUNS, restore
from mixlingual.config import AnalysisConfig
from mixlingual.records import MixlingualError
from mixlingual.reporting.scores import question_table, runs_table

QUICK = AnalysisConfig(draws=300, permutations=200)
RATIOS = (0.0, 0.5, 1.0)


def write_part(sweep, folder, runs=None):
    """What a report of some of the runs leaves to be read again."""
    folder.mkdir()
    kept = [run for run in sweep.runs if runs is None or run.name in runs]
    own = replace(sweep, runs=tuple(kept))
    runs_table(own).to_parquet(folder / RUNS)
    question_table(own).to_parquet(folder / QUESTIONS)
    plan = json.loads((sweep.folder / PLAN).read_text())
    plan["runs"] = [run for run in plan["runs"] if runs is None or run["run_name"] in runs]
    write_json(folder / PLAN, plan)
    return folder


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = write_scored_sweep(tmp_path_factory.mktemp("sweeps"), seeds=2, ratios=RATIOS)
    for seed in (0, 1):
        write_variant(folder, "small", 0.5, seed, 0.01, batch_size=32)
        write_variant(folder, "small", 0.5, seed, -0.2, steps=0)
    return read_sweep(folder)


@pytest.fixture(scope="module")
def parts(sweep, tmp_path_factory):
    """The large encoder ran elsewhere."""
    folder = tmp_path_factory.mktemp("parts")
    large = {run.name for run in sweep.runs if run.point.model == "large"}
    others = {run.name for run in sweep.runs} - large
    return [write_part(sweep, folder / "one", others), write_part(sweep, folder / "two", large)]


@pytest.fixture(scope="module")
def joined(parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("joined")
    restore(parts, folder)
    return read_sweep(folder)


def by_run(table):
    return table.sort_values([column for column in table if column != "value"]).reset_index(drop=True)


def test_results_and_places_are_those_of_the_whole(sweep, joined):
    assert {run.name: run.point for run in joined.runs} == {run.name: run.point for run in sweep.runs}
    assert {run.name: run.result for run in joined.runs} == {run.name: run.result for run in sweep.runs}
    for table in (results_table, languages_table):
        pd.testing.assert_frame_equal(by_run(table(joined)), by_run(table(sweep)))


def test_estimates_are_those_of_the_whole(sweep, joined):
    """All questions of this benchmark are in all languages, so that nothing is lost but the languages."""
    whole, found = analyse(sweep, QUICK), analyse(joined, QUICK)
    assert found.left_out == {}
    assert len(found.measured) == 4
    for mine, other in zip(found.measured, whole.measured, strict=True):
        assert (mine.setting, mine.measure) == (other.setting, other.measure)
        close = pytest.approx([other.interaction.value, other.interaction.error, other.interaction.p], abs=1e-5)
        if other.measure == "map":
            assert [mine.interaction.value, mine.interaction.error, mine.interaction.p] == close
        for size, gain in other.gains.items():
            assert [mine.gains[size].value, mine.gains[size].low] == pytest.approx([gain.value, gain.low], rel=1e-4)
            best = other.curves[size].best
            assert mine.curves[size].best.value == pytest.approx(best.value, abs=1e-3)
        assert mine.mixed.p == pytest.approx(other.mixed.p, rel=1e-3)
        assert mine.components.seed == pytest.approx(other.components.seed, rel=1e-3)
        assert mine.languages == {}
    for place, estimate in whole.by_paragraph.items():
        assert found.by_paragraph[place].error == pytest.approx(estimate.error, rel=1e-4)
    assert [(effect.kind, effect.setting) for effect in found.paired] == [
        (effect.kind, effect.setting) for effect in whole.paired
    ]
    assert {effect.kind for effect in found.paired} == {"hybrid, batching.batch_size=32", "zero-shot"}


def test_a_joined_sweep_is_a_part_again(joined, tmp_path):
    restore([write_part(joined, tmp_path / "again")], tmp_path / "once_more")
    again = read_sweep(tmp_path / "once_more")
    assert analyse(again, QUICK).measured[0].interaction == analyse(joined, QUICK).measured[0].interaction


def test_runs_that_no_part_has_finished_are_missing(sweep, parts, tmp_path):
    one = write_part(sweep, tmp_path / "one", {run.name for run in sweep.runs} - {"large_r0_s0"})
    plan = json.loads((sweep.folder / PLAN).read_text())
    write_json(one / PLAN, plan)
    restore([one], tmp_path / "joined")
    assert [run.name for run in read_sweep(tmp_path / "joined").in_state("missing")] == ["large_r0_s0"]


def test_parts_without_a_plan_are_read(sweep, tmp_path):
    part = write_part(sweep, tmp_path / "one")
    (part / PLAN).unlink()
    restore([part], tmp_path / "joined")
    assert len(read_sweep(tmp_path / "joined").in_state("done")) == len(sweep.runs)


def test_a_run_in_two_parts_is_refused(parts, tmp_path):
    with pytest.raises(MixlingualError, match=r"one and .*one both hold the run small_r0_s0"):
        restore([parts[0], parts[0]], tmp_path / "joined")


def test_parts_that_declare_other_analyses_are_refused(sweep, parts, tmp_path):
    other = write_part(sweep, tmp_path / "other", {"large_r0_s0"})
    plan = json.loads((other / PLAN).read_text())
    write_json(other / PLAN, plan | {"analysis": {"ratio": 0.25}})
    with pytest.raises(MixlingualError, match=r"declare different analyses: .*ratio=0\.5.*ratio=0\.25"):
        restore([parts[0], other], tmp_path / "joined")


@pytest.mark.parametrize("name", [RUNS, QUESTIONS, PLAN])
def test_a_broken_file_is_named(sweep, tmp_path, name):
    part = write_part(sweep, tmp_path / "part")
    (part / name).write_bytes(b"PAR1")
    with pytest.raises(MixlingualError, match=r"part.*(cannot be read|can be read again)"):
        restore([part], tmp_path / "joined")


def test_a_report_of_another_version_is_named(sweep, tmp_path):
    part = write_part(sweep, tmp_path / "part")
    pd.read_parquet(part / QUESTIONS).drop(columns="paragraph").to_parquet(part / QUESTIONS)
    with pytest.raises(MixlingualError, match="paragraph"):
        restore([part], tmp_path / "joined")


@pytest.mark.parametrize("name", ["../out", "..", "", "/tmp/out"])
def test_a_run_never_leaves_its_folder(sweep, tmp_path, name):
    part = write_part(sweep, tmp_path / "part", {"large_r0_s0"})
    pd.read_parquet(part / RUNS).assign(run=name).to_parquet(part / RUNS)
    with pytest.raises(MixlingualError, match="is no name of a run"):
        restore([part], tmp_path / "a" / "joined")
    assert not (tmp_path / "out").exists()
