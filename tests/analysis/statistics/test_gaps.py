"""An analysis that the runs do not allow is a named gap, and takes no other with it."""

import json
import os
import signal
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
from scored_sweep import write_scored_sweep

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.statistics import estimates
from mixlingual.analysis.statistics.estimates import analyse, read_scores
from mixlingual.analysis.statistics.gaps import Attempts, Gap, NotPossibleError
from mixlingual.analysis.tables.grid import grid_axes, results_table
from mixlingual.config.schema import AnalysisConfig
from mixlingual.reporting.estimate_tables import TABLES
from mixlingual.reporting.tables import summary_markdown
from mixlingual.reporting.write import write_report

QUICK = AnalysisConfig(draws=1000)
RATIOS = (0.0, 0.5, 1.0)


def raising(error):
    def compute():
        raise error

    return compute


def test_results_are_kept_and_gaps_have_a_name_and_a_reason():
    attempt = Attempts()
    assert attempt("One", lambda: 1) == 1
    assert attempt("Two", raising(NotPossibleError("it takes two"))) is None
    assert attempt("Three", raising(np.linalg.LinAlgError("Singular matrix"))) is None
    assert attempt.gaps == [Gap("Two", "it takes two"), Gap("Three", "it ended in LinAlgError: Singular matrix")]
    with pytest.raises(KeyboardInterrupt):
        attempt("Four", raising(KeyboardInterrupt()))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return read_sweep(write_scored_sweep(tmp_path_factory.mktemp("sweeps"), seeds=2, ratios=RATIOS))


ANALYSES = (
    "fit_size_by_ratio", "components", "language_gains", "slope_on_size", "fit_curve", "debiasing", "on_scales",
    "paired_effects", "pairs_of", "utility", "fronts",
)  # fmt: skip


def test_no_analysis_ends_the_others(sweep, monkeypatch):
    """Each fails in turn, and all at once."""
    scores = read_scores(sweep)
    whole = analyse(sweep, QUICK, scores)
    for name in ANALYSES:
        monkeypatch.setattr(estimates, name, lambda *_, **__: raising(ZeroDivisionError("division"))())
        found = analyse(sweep, QUICK, scores)
        assert any("ZeroDivisionError" in gap.reason for gap in found.gaps), name
        assert [part.interaction for part in found.measured] == [part.interaction for part in whole.measured]
        assert [part.gains for part in found.measured] == [part.gains for part in whole.measured]


PARTS = {
    "write.grid_axes": "Sizes and ratios",
    "write.results_table": "Results",
    "write.languages_table": "Results by language",
    "write.learning_table": "Learning curves",
    "write.read_scores": "Scores by question",
    "write.analyse": "The statistics",
    "figures.pictures": "Pictures",
    "figures.ratio_lines": "Picture rank_distance of mlqa_r",
    "figures.language_maps": "Picture languages of mlqa_r",
    "figures.write_picture": "The file mlqa_r_languages.svg",
    "write.answer": "Answer on mlqa_r",
    "payload.effect_charts": "Charts of differences",
    "effect_pictures.effect_pictures": "Pictures of differences",
    "dial_pictures.dial_picture": "Picture of the dial",
    "dial_pictures.small_models_picture": "Picture of small models",
    "write.screen": "The summary on the terminal",
    "write.nature": "What the statistics are over",
    "write.benchmark_notes": "Notes on mlqa_r",
    "write.headline_tables": "Tables of mlqa_r",
    "write.beside_published": "Published figures of mlqa_r",
    "write.all_tables": "Grids of mlqa_r",
    "write.grid_markdown": "The file grid_mlqa_r.md",
    "write.batches_table": "The file batches.csv",
    "write.exposure_table": "The file exposure.csv",
    "write.runs_table": "The file runs.parquet",
    "write.question_table": "The file questions.parquet",
    "estimate_tables._gains": "The file statistics_gains.csv",
    "estimate_tables._best_ratios": "The file statistics_best_ratios.csv",
    "payload._benchmark": "Charts of mlqa_r",
    "payload._curve": "Training curves",
    "write.payload": "Charts",
    "findings._axis": "Findings on the ratio axis",
    "findings.dial_findings": "Findings on own language first as a dial",
    "findings.told_findings": "Findings on what small models tell",
    "findings.primary_findings": "Findings on the primary contrasts",
    "write.render_page": "The page",
    "write.summary_markdown": "The summary",
}
"""Part of a report -> the name of its gap. Where a part is looked up by name at each call it can be replaced."""


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_fails_is_named_and_takes_nothing_else_with_it(sweep, tmp_path, monkeypatch, part):
    calls = []

    def failing(given, *rest, **named):
        """Of the tables of results only those of the whole sweep, so that there is something to go on with."""
        calls.append(part)
        if part.endswith("_table") and not getattr(given, "runs", True):
            return whole(given, *rest, **named)
        raise ZeroDivisionError("division")

    owner, _, name = f"mixlingual.reporting.{part}".rpartition(".")
    whole = getattr(import_module(owner), name)
    if part.startswith("estimate_tables"):
        table = PARTS[part].removeprefix("The file statistics_").removesuffix(".csv")
        monkeypatch.setitem(TABLES, table, failing)
    else:
        monkeypatch.setattr(f"mixlingual.reporting.{part}", failing)
    if not part.startswith("figures"):
        monkeypatch.setattr("mixlingual.reporting.figures.pictures", lambda *_: [])  # they take most of the time
    if not part.startswith("effect_pictures"):
        monkeypatch.setattr("mixlingual.reporting.effect_pictures.effect_pictures", lambda *_, **__: [])
    if not part.startswith("dial_pictures"):
        for picture in ("dial_picture", "small_models_picture"):
            monkeypatch.setattr(f"mixlingual.reporting.dial_pictures.{picture}", lambda *_: [])
    paths = write_report(sweep, tmp_path)
    gap, page, summary = PARTS[part], paths.page.read_text(), paths.summary.read_text()
    written = {path.name for path in tmp_path.iterdir()}
    assert len(paths.figures) == FIGURES.get(part, 0)
    assert WHOLE - written <= {gap.removeprefix("The file ")} | LOST.get(part, set())
    assert "it ended in ZeroDivisionError: division" in summary
    assert gap.split(" of mlqa_r")[0] in summary.partition("What failed")[2].replace("\\", "")
    assert gap in page or part == "write.summary_markdown"


WHOLE = {
    "index.html", "summary.md", "results.csv", "languages.parquet", "runs.parquet", "questions.parquet", "batches.csv",
    "exposure.csv", "grid_mlqa_r.md", "grid_mlqa_r.tex", "statistics_contrasts.csv", "statistics_gains.csv",
}  # fmt: skip
_OF_SCORES = {"statistics_contrasts.csv", "statistics_gains.csv"}
LOST = {
    "write.grid_axes": {"grid_mlqa_r.md", "grid_mlqa_r.tex"},
    "write.results_table": {"grid_mlqa_r.md", "grid_mlqa_r.tex"},
    "write.all_tables": {"grid_mlqa_r.md", "grid_mlqa_r.tex"},
    "write.read_scores": _OF_SCORES,
    "write.analyse": _OF_SCORES,
}
"""Part of a report -> files that are made from it alone."""
FIGURES = {"figures.ratio_lines": 2, "figures.language_maps": 3, "dial_pictures.dial_picture": 1}
"""Part -> pictures that there still are."""


def test_a_picture_process_that_is_killed_is_a_gap():
    attempt = Attempts()
    found = attempt.beside("Pictures", lambda _: os.kill(os.getpid(), signal.SIGKILL))
    assert found() is None
    assert attempt.gaps == [Gap("Pictures", "it ended in its process being killed, as where memory is short")]
    found = attempt.beside("Others", lambda own: (own("One of them", raising(ValueError("no"))), 7))
    assert found() == (None, 7)
    assert attempt.gaps[1:] == [Gap("One of them", "it ended in ValueError: no")]


def changed(folder, run, change):
    path = folder / run / "result.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: content["parameters"].update(non_embedding=-5), "non_embedding is -5"),
        (lambda content: content["parameters"].pop("non_embedding"), "non_embedding is None"),
        (lambda content: content.update(batches=None), "batches is no object"),
        (lambda content: content.update(benchmarks=[1]), "benchmarks is no object"),
    ],
)
def test_a_bad_run_is_listed_as_unreadable_and_hides_nothing_else(tmp_path, change, reason):
    folder = write_scored_sweep(tmp_path, seeds=2, ratios=RATIOS)
    changed(folder, "small_r0.5_s0", change)
    sweep = read_sweep(folder)
    (bad,) = sweep.in_state("unreadable")
    assert bad.name == "small_r0.5_s0"
    assert reason in bad.reason
    assert len(analyse(sweep, QUICK).measured) == 4
    assert reason in summary_markdown(sweep, results_table(sweep), grid_axes(sweep))


@pytest.mark.parametrize("table", ["text", "same", "empty"])
def test_scores_of_any_kind_leave_a_report(tmp_path, table):
    """One run with text for scores; all runs with the same scores; no run with any row."""
    folder = write_scored_sweep(tmp_path, seeds=2, ratios=RATIOS)
    for path in sorted(folder.glob("*/queries.parquet"))[: 1 if table == "text" else None]:
        scores = pd.read_parquet(path)
        if table == "text":
            scores["ap"] = scores["ap"].astype(str)
        elif table == "same":
            scores["ap"], scores["rank_distance"] = 0.5, 10.0
        else:
            scores = scores.iloc[:0]
        scores.to_parquet(path)
    sweep = read_sweep(folder)
    found = analyse(sweep, QUICK)
    paths = write_report(sweep, tmp_path / "report")
    assert paths.page.exists()
    if table == "text":
        assert len(found.left_out) + len(sweep.in_state("unreadable")) == 1
        assert all(part.gains for part in found.measured)
    elif table == "same":
        assert {part.interaction.p for part in found.measured} == {1.0}
        assert any("the same" in gap.reason for gap in found.gaps)


def test_sizes_whose_levels_of_languages_differ_have_a_report(tmp_path):
    """One seed, five languages, levels of .02: where a mixed model's search ended in a singular matrix."""
    rng = np.random.default_rng(0)
    folder = write_scored_sweep(tmp_path, seeds=1)
    shift = {(model, language): rng.normal(0, 0.02) for model in ("small", "base", "large") for language in
             ("ar", "de", "en", "es")}  # fmt: skip
    for path in folder.glob("*/queries.parquet"):
        scores = pd.read_parquet(path)
        own = scores["query_language"].map(lambda language, path=path: shift[path.parent.name.split("_")[0], language])
        scores.assign(ap=scores["ap"] + own).to_parquet(path)
    found = analyse(read_sweep(folder), QUICK)
    assert all(part.model for part in found.measured)
