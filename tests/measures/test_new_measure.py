"""A new measure is one file: here its whole text, and where it then appears."""

import importlib
import sys

import pytest
from parallel_benchmark import made
from sweep_fixture import result, write_done

from mixlingual import measures
from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.statistics.estimates import read_scores
from mixlingual.analysis.tables.grid import grid_axes, languages_table, results_table
from mixlingual.evaluation.protocol import score_benchmark
from mixlingual.measures import registry
from mixlingual.measures.measure import METRICS, SECTIONS
from mixlingual.reporting.figures import pictures
from mixlingual.reporting.payload import payload
from mixlingual.reporting.tables import all_tables, headline_tables
from mixlingual.tracking.tables import metric_tables, summary_scalars

FILE = """
from mixlingual.measures.measure import Measure, declare, in_section

declare(
    Measure(name="worst", place=45, label="toy of ranks", of_ranks=lambda ranked: 1.0 / ranked.rank_QR.max(axis=1)),
    Measure(
        name="toy", place=1000, group="Toys", label="toy of questions", direction="share; lower is better",
        larger_is_better=False, meaning="It counts.", unbiased="half of k", level=lambda k: k / 2, level_over="mean",
        foremost=True, headline=("multi",), picture="toys", of_questions=lambda found: found.own_Q + 0.5,
    ),
)

@in_section("toys", Measure(name="toys.figure", place=1001, group="Toys", label="toy of all", unbiased="1"))
def figure(found):
    return {"figure": float(len(found.languages)), "undefined": float("nan")}
"""


@pytest.fixture
def _one_more_file(tmp_path, monkeypatch):
    (tmp_path / "toy_measure.py").write_text(FILE, encoding="utf-8")
    monkeypatch.setattr(measures, "__path__", [*measures.__path__, str(tmp_path)])
    known, sections = dict(METRICS), list(SECTIONS)
    importlib.reload(registry)
    yield
    METRICS.clear()
    METRICS.update(known)
    SECTIONS[:] = sections
    del sys.modules["mixlingual.measures.toy_measure"]


@pytest.mark.usefixtures("_one_more_file")
def test_a_measure_in_a_file_of_its_own_is_computed_and_shown_everywhere(tmp_path):
    scores = score_benchmark(*made(0))
    found = scores.metrics
    assert scores.per_query["toy"].notna().equals(scores.per_query["setting"] == "multi")
    assert scores.per_query["worst"].notna().all()
    assert {setting: "worst" in found[setting] for setting in ("mono", "cross", "multi")} == dict.fromkeys(
        ("mono", "cross", "multi"), True
    )
    assert found["multi"]["toy"] == 2, "the mean of the columns of four languages, and a half"
    assert found["bias"]["toys"] == {"figure": 4}

    content = result("small", 0.5, 0)
    content["benchmarks"] = {"made": found}
    run = write_done(tmp_path / "sweep", content)
    scores.per_query.assign(benchmark="made").to_parquet(run / "queries.parquet")
    sweep = read_sweep(tmp_path / "sweep")
    results, axes = results_table(sweep), grid_axes(sweep)
    titles = [table.title for table in all_tables(results, axes, "made")]
    assert "made, multilingual: toy of questions (share; lower is better; one seed)" in titles
    assert "made, language bias: toy of all (higher is better; one seed)" in titles
    assert sum("toy of ranks" in title for title in titles) == 3

    assert "made, multilingual: toy of questions" in "".join(
        table.title for table in headline_tables(results, axes, "made")
    )
    assert [picture.name for picture in pictures(results, languages_table(sweep), axes, "made")][3] == "made_toys"

    page = payload(sweep, results, languages_table(sweep), axes, read_scores(sweep).parts)
    assert page["metrics"]["toy"]["meaning"] == "It counts."
    assert page["bias"][-1] == {
        "title": "Toys",
        "measures": [
            {"setting": "multi", "metric": "toy", "foremost": True},
            {"setting": "bias", "metric": "toys.figure", "foremost": False},
        ],
    }
    benchmark = page["benchmarks"]["made"]
    assert benchmark["scores"]["multi"]["toy"]["all"] == [2]
    assert benchmark["scores"]["bias"]["toys.figure"]["all"] == [4]
    assert 1 < benchmark["references"]["toy"] < 2, "half of the two to four languages of a question"

    done = sweep.in_state("done")[0].result
    shown = summary_scalars(done)
    assert (shown["eval/made/multi/toy"], shown["eval/made/bias/toys/figure"]) == (2, 4)
    columns, _ = metric_tables(done.benchmarks)["eval/languages"]
    assert {"toy", "worst"} <= set(columns)
    assert "| `multi.toy` | toy of questions (share; lower is better) | It counts. | half of k |" in (
        registry.measures_table()
    )

    pytest.importorskip("wandb_workspaces")
    from mixlingual.tracking.workspace import Shown, workspace

    view = workspace(Shown("demo", "", "p", ("small",), {"made": ()}, ()))
    (panel,) = [p for part in view.sections for p in part.panels if "toy" in (getattr(p, "title", "") or "")]
    assert (panel.title, panel.y.name) == ("toy of questions (share; lower is better)", "eval/made/multi/toy")
