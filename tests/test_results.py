"""The figures that docs/results states are those of the tables that the report left beside it."""

from pathlib import Path

import pandas as pd
import pytest

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.read.parts import restore
from mixlingual.analysis.tables.grid import results_table
from mixlingual.reporting.page import without_dead_links

RESULTS = Path(__file__).parents[1] / "docs" / "results"
TEXT = (RESULTS / "README.md").read_text(encoding="utf-8")


GRID = RESULTS / "me5_grid"
PLACE = ["benchmark", "setting", "metric", "model"]


def table(name, folder=GRID):
    return pd.read_csv(folder / f"statistics_{name}.csv")


def shown(row, name=""):
    """A value with its interval, as the text has it."""
    ends = (row[name or "value"], *(row[f"{name}_{end}" if name else end] for end in ("low", "high")))
    form = "+,.0f" if row.metric == "rank_distance" else "+.4f"
    value, low, high = (format(end, form) for end in ends)
    return f"{value} ({low} to {high})"


def between_0_and_1(value):
    return f"{value:.2f}".rstrip("0").rstrip(".").replace("0.", ".")


@pytest.mark.parametrize("page", sorted(RESULTS.glob("*/index.html")), ids=lambda page: page.parent.name)
def test_every_link_of_a_published_page_leads_somewhere(page):
    """Where one does not: python -m tools.publish_report FOLDER."""
    html = page.read_text(encoding="utf-8")
    assert without_dead_links(html, page.parent) == html


@pytest.mark.parametrize(("name", "number"), [("gains", 32), ("contrasts", 8)])
def test_every_gain_and_contrast_is_in_the_text(name, number):
    rows = table(name)
    assert len(rows) == number
    assert [text for _, row in rows.iterrows() if (text := shown(row)) not in TEXT] == []


def test_every_gain_over_monolingual_batches_is_in_the_text():
    rows = table("contrasts_fixed").query("against == 1")
    assert len(rows) == 8
    for _, row in rows.iterrows():
        p = f"{row.p:.1e}" if row.p < 0.001 else f"{row.p:.3f}"
        assert f"{shown(row)} | {p} |" in TEXT


def test_every_best_ratio_is_in_the_text():
    rows = table("best_ratios").query("setting in ('mono', 'cross', 'multi')")
    assert len(rows) == 32
    for _, row in rows.iterrows():
        best, low, high = map(between_0_and_1, (row.best_ratio, row.best_low, row.best_high))
        assert f"{best} ({low} to {high})" in TEXT


def test_the_gains_follow_from_the_scores_by_question():
    """The mean at 0.5 less that of the better pure ratio, with nothing but the published scores."""
    scores = pd.read_parquet(GRID / "questions.parquet").rename(columns={"measure": "metric"})
    runs = pd.read_csv(GRID / "results.csv").query("series == 'hybrid'")[["run", "model", "ratio"]].drop_duplicates()
    of_runs = scores.groupby(["benchmark", "setting", "metric", "run"], as_index=False)["score"].mean().merge(runs)
    cells = of_runs.groupby([*PLACE, "ratio"])["score"].mean().unstack("ratio")
    lower = cells.index.get_level_values("metric") == "rank_distance"
    better = cells[[0.0, 1.0]].max(axis=1).where(~lower, cells[[0.0, 1.0]].min(axis=1))
    expected = (cells[0.5] - better) * (1 - 2 * lower)
    gains = table("gains").set_index(PLACE)["value"]
    assert gains.to_dict() == pytest.approx(expected[gains.index].to_dict(), rel=1e-4, abs=1e-6)


def test_the_published_report_can_be_a_part(tmp_path):
    restore([GRID], "me5_grid", tmp_path)
    sweep = read_sweep(tmp_path)
    assert len(sweep.in_state("done")) == pd.read_csv(GRID / "batches.csv")["run"].nunique()
    published = pd.read_csv(GRID / "results.csv")
    found = results_table(sweep)
    columns = ["run", "series", "benchmark", "setting", "metric"]
    pd.testing.assert_series_equal(
        found.set_index(columns)["value"].sort_index(), published.set_index(columns)["value"].sort_index()
    )


def test_every_share_is_in_the_text():
    rows = pd.concat([table("debiasing", GRID / "by_part" / part) for part in ("1", "2")])
    rows = rows.query("correction == 'centering' and share.notna() and mixing > 0")
    assert set(rows.model) == {"me5_small_l2", "me5_small"}
    for _, row in rows.iterrows():
        share = f"{row.share:.0%} ({row.share_low:.0%} to {row.share_high:.0%})"
        line = " | ".join((shown(row, "mixing"), shown(row, "correcting"), share, shown(row, "remaining")))
        assert line in TEXT


def test_no_gain_is_separably_above_0():
    """Its first finding, in words."""
    assert (table("gains").low <= 0).all()


def test_no_declared_contrast_is_separable():
    """Its second."""
    assert (table("contrasts").p >= 0.05).all()


def test_where_the_mixed_model_finds_an_interaction():
    """Its third: in both pools of all, also after eight tests, and nowhere else."""
    p = (
        table("mixed_model")
        .query("term == 'p of the interaction'")
        .set_index(["benchmark", "setting", "metric"])["value"]
    )
    pools = p.index.get_level_values("setting") == "multi"
    assert (len(p), sum(pools)) == (8, 4)
    assert (p[pools] * len(p)).round(3).max() == 0.005
    assert p[pools].round(4).to_dict() == {
        ("mlqa_r", "multi", "map"): 0.0001,
        ("mlqa_r", "multi", "rank_distance"): 0.0006,
        ("xquad_r", "multi", "map"): 0.0,
        ("xquad_r", "multi", "rank_distance"): 0.0,
    }
    assert p[~pools].round(2).tolist() == [0.09, 0.98, 0.13, 0.68]
    text = " ".join(TEXT.split())
    assert (
        "(mAP: p = .0001 on MLQA-R, below .0001 on XQuAD-R; rank distance, in logarithms: .0006 and below .0001;"
        in text
    )
    assert "inside a language (.09 and .13) or across languages (.98 and .68)" in text
