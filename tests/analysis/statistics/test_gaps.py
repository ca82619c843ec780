"""An analysis that the runs do not allow is a named gap, and takes no other with it."""

import json

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


PARTS = (
    "write.write_picture", "write.benchmark_notes", "write.headline_tables", "write.all_tables", "write.grid_markdown",
    "write.beside_published", "write.batches_table", "write.exposure_table", "write.runs_table", "write.question_table",
    "write.estimate_tables", "payload._benchmark", "write.summary_markdown", "write.headline", "figures.ratio_lines",
    "figures.language_maps",
)  # fmt: skip


def test_no_picture_or_table_ends_the_report(tmp_path, monkeypatch):
    """Two pictures fail, and then all that can: the page is written, names them and shows the others."""
    sweep = read_sweep(write_scored_sweep(tmp_path, seeds=2, ratios=(0.0, 0.5)))
    for part in PARTS[-2:]:
        monkeypatch.setattr(f"mixlingual.reporting.{part}", lambda *_: raising(ZeroDivisionError("picture"))())
    paths = write_report(sweep, tmp_path / "pictures")
    assert [path.name for path in paths.figures] == ["mlqa_r_map_grid.svg", "mlqa_r_map_grid.png"]
    assert "Picture by language on mlqa_r" in paths.page.read_text()
    assert "Picture by language on mlqa_r" in (tmp_path / "pictures/statistics_gaps.csv").read_text()
    for part in PARTS[:-2]:
        monkeypatch.setattr(f"mixlingual.reporting.{part}", lambda *_: raising(ZeroDivisionError("none"))())
    paths = write_report(sweep, tmp_path / "nothing")
    assert {path.name for path in paths.tables} >= {"results.csv", "languages.parquet", "summary.md"}
    assert "The file exposure.csv" in paths.page.read_text()


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
