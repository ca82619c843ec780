"""A sweep in parts gives the estimates of the whole."""

import json
from dataclasses import replace

import pandas as pd
import pytest
from scored_sweep import LANGUAGES, write_scored_sweep, write_variant
from sweep_fixture import write_json

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.read.parts import PLAN, QUESTIONS, RUNS, restore
from mixlingual.analysis.statistics.estimates import analyse, read_scores
from mixlingual.analysis.tables.grid import languages_table, results_table
from mixlingual.config.schema import AnalysisConfig
from mixlingual.records import MixlingualError
from mixlingual.reporting.levels import unbiased_levels
from mixlingual.reporting.scores import question_table, runs_table

QUICK = AnalysisConfig(draws=1000)
RATIOS = (0.0, 0.5, 1.0)


def write_part(sweep, folder, runs=None):
    """What a report of some of the runs leaves to be read again."""
    folder.mkdir()
    kept = [run for run in sweep.runs if runs is None or run.name in runs]
    own = replace(sweep, runs=tuple(kept))
    runs_table(own).to_parquet(folder / RUNS)
    question_table(own).to_parquet(folder / QUESTIONS)
    write_json(folder / PLAN, json.loads((sweep.folder / "sweep.json").read_text()))
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
    restore(parts, "scored", folder)
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
        assert numbers(mine.interaction) == pytest.approx(numbers(other.interaction), rel=1e-3)
        assert mine.interaction.p == pytest.approx(other.interaction.p, abs=1e-3)
        for size, gain in other.gains.items():
            assert numbers(mine.gains[size]) == pytest.approx(numbers(gain), rel=1e-3)
            assert mine.curves[size].best.value == pytest.approx(other.curves[size].best.value, abs=1e-3)
        assert mine.model.interaction.p == pytest.approx(other.model.interaction.p, rel=1e-2, abs=1e-6)
        assert mine.components.seed == pytest.approx(other.components.seed, rel=1e-3)
        assert mine.languages == {}
        assert other.languages
    for place, curves in whole.utilities.items():
        for size, curve in curves.items():
            assert found.utilities[place][size].best.value == pytest.approx(curve.best.value, abs=1e-3)
    assert {effect.kind for effect in found.paired} == {"hybrid, batching.batch_size=32", "zero-shot"}
    for mine, other in zip(found.paired, whole.paired, strict=True):
        assert (mine.kind, mine.setting, mine.measure) == (other.kind, other.setting, other.measure)
        assert numbers(mine.overall) == pytest.approx(numbers(other.overall), rel=1e-3, abs=1e-6)


def numbers(estimate):
    return [estimate.value, estimate.low, estimate.high, estimate.error]


def test_where_languages_lack_questions_the_errors_are_nearly_those_of_the_whole(tmp_path):
    """A third of the questions is in two languages of four, as in MLQA-R."""
    folder = write_scored_sweep(tmp_path, seeds=2, ratios=RATIOS)
    for path in folder.glob("*/queries.parquet"):
        rows = pd.read_parquet(path)
        rare = rows["query"].str.slice(1).astype(int) % 3 == 0
        kept = rows["query_language"].isin(["ar", "de"]) & rows["candidate_language"].isin(["ar", "de", "all"])
        rows[~rare | kept].to_parquet(path)
    sweep = read_sweep(folder)
    restore([write_part(sweep, tmp_path / "part")], "scored", tmp_path / "joined")
    whole, found = analyse(sweep, QUICK), analyse(read_sweep(tmp_path / "joined"), QUICK)
    for mine, other in zip(found.measured, whole.measured, strict=True):
        assert mine.interaction.value == pytest.approx(other.interaction.value, abs=1e-4)
        assert mine.interaction.error == pytest.approx(other.interaction.error, rel=0.1)
    for place, curves in whole.utilities.items():
        means = [curve.mean_K for curve in (curves["large"], found.utilities[place]["large"])]
        assert means[1] == pytest.approx(means[0], abs=0.003)


def test_a_part_with_fewer_languages_is_left_out_as_in_the_whole(tmp_path):
    folder = write_scored_sweep(tmp_path, seeds=2, ratios=RATIOS)
    for path in folder.glob("large_*/queries.parquet"):
        rows = pd.read_parquet(path)
        rows[rows["query_language"] != "es"].to_parquet(path)
    sweep = read_sweep(folder)
    large = {run.name for run in sweep.runs if run.point.model == "large"}
    parts = [write_part(sweep, tmp_path / "one", {run.name for run in sweep.runs} - large)]
    parts.append(write_part(sweep, tmp_path / "two", large))
    restore(parts, "scored", tmp_path / "joined")
    found = analyse(read_sweep(tmp_path / "joined"), QUICK).left_out
    assert found.keys() == large
    assert "not those of most runs" in found["large_r0_s0"]
    assert found == analyse(sweep, QUICK).left_out


def test_chance_levels_that_need_languages_are_left_out(sweep, joined):
    for kept, absent in ((sweep, False), (joined, True)):
        scores = results_table(kept)
        levels = unbiased_levels(read_scores(kept).parts, "mlqa_r", scores, len(LANGUAGES))
        assert ("rank_distance" not in levels) == absent


def test_a_joined_sweep_is_a_part_again(joined, tmp_path):
    restore([write_part(joined, tmp_path / "again")], "scored", tmp_path / "once_more")
    again = analyse(read_sweep(tmp_path / "once_more"), QUICK)
    for mine, other in zip(again.measured, analyse(joined, QUICK).measured, strict=True):
        assert numbers(mine.interaction) == pytest.approx(numbers(other.interaction), rel=1e-6)


def test_runs_that_no_part_has_finished_are_missing(sweep, tmp_path):
    one = write_part(sweep, tmp_path / "one", {run.name for run in sweep.runs} - {"large_r0_s0"})
    restore([one], "scored", tmp_path / "joined")
    found = read_sweep(tmp_path / "joined")
    assert [run.name for run in found.in_state("planned")] == ["large_r0_s0"]
    assert json.loads((tmp_path / "joined" / "sweep.json").read_text())["sweep_name"] == "scored"


def test_parts_without_a_plan_are_read(sweep, tmp_path):
    part = write_part(sweep, tmp_path / "one")
    (part / PLAN).unlink()
    restore([part], "scored", tmp_path / "joined")
    assert len(read_sweep(tmp_path / "joined").in_state("done")) == len(sweep.runs)


def test_a_run_in_two_parts_is_refused(parts, tmp_path):
    with pytest.raises(MixlingualError, match=r"one and .*one both hold the run small_r0_s0"):
        restore([parts[0], parts[0]], "scored", tmp_path / "joined")


def test_parts_that_declare_other_analyses_are_refused(sweep, parts, tmp_path):
    other = write_part(sweep, tmp_path / "other", {"large_r0_s0"})
    plan = json.loads((other / PLAN).read_text())
    write_json(other / PLAN, plan | {"analysis": {"ratio": 0.25}})
    with pytest.raises(MixlingualError, match=r"declare different analyses: .*ratio=0\.5.*ratio=0\.25"):
        restore([parts[0], other], "scored", tmp_path / "joined")


@pytest.mark.parametrize("name", [RUNS, QUESTIONS, PLAN])
def test_a_broken_file_is_named(sweep, tmp_path, name):
    part = write_part(sweep, tmp_path / "part")
    (part / name).write_bytes(b"PAR1")
    with pytest.raises(MixlingualError, match=r"part.*cannot be read"):
        restore([part], "scored", tmp_path / "joined")


def test_a_folder_that_holds_no_report_is_named(sweep):
    with pytest.raises(MixlingualError, match=r"scored holds no runs.parquet and .*multirun/SWEEP/report"):
        restore([sweep.folder], "scored", sweep.folder / "joined")


@pytest.mark.parametrize(
    ("name", "column", "value", "message"),
    [
        (QUESTIONS, "paragraph", None, "column paragraph of questions.parquet holds other things than text"),
        (QUESTIONS, "score", "0.5", "column score of questions.parquet holds other things than numbers"),
        (QUESTIONS, "score", float("nan"), "column score of questions.parquet holds other things than numbers"),
        (QUESTIONS, "weight", 0.0, "a weight in questions.parquet is not above 0"),
        (QUESTIONS, "query", "same", "the same row twice"),
        (RUNS, "result", None, "column result of runs.parquet holds other things than text"),
        (RUNS, "run", 5, "column run of runs.parquet holds other things than text"),
        *(
            (RUNS, "run", run, "is no name of a run")
            for run in ("../out", "..", "", "/tmp/out", "sweep.json", "a\0b", "x" * 300)
        ),
    ],
)
def test_a_file_that_holds_something_else_is_named(sweep, tmp_path, name, column, value, message):
    part = write_part(sweep, tmp_path / "part", {"large_r0_s0"})
    table = pd.read_parquet(part / name)
    table.assign(**{column: [value] * len(table)}).to_parquet(part / name)
    with pytest.raises(MixlingualError, match=f"part cannot be read again.*{message}"):
        restore([part], "scored", tmp_path / "a" / "joined")
    assert {path.name for path in tmp_path.iterdir()} == {"part"}, "nothing is written"


def test_a_report_of_another_version_is_named(sweep, tmp_path):
    part = write_part(sweep, tmp_path / "part")
    pd.read_parquet(part / QUESTIONS).drop(columns="paragraph").to_parquet(part / QUESTIONS)
    with pytest.raises(MixlingualError, match=r"part cannot be read again.*paragraph"):
        restore([part], "scored", tmp_path / "joined")
